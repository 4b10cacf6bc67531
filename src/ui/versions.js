// All that came for a key, where the latest is kept: each version, and what changed from the one before.

import {button, h, replace} from './dom.js';
import {get, query} from './api.js';
import {badge, number, time} from './format.js';
import {difference} from './diff.js';

const PAGE = 50;
const WORDS = {document: 'took the place of the one before', superseded: 'came too late: something newer was there', duplicate: 'came again'};

// Numbers of more digits than JavaScript has as they were sent.
const raw = (_, value) => (typeof value === 'bigint' ? JSON.rawJSON?.(String(value)) ?? String(value) : value);
const text = (version) => JSON.stringify(version.document, raw, 2);

export function versions(collection, key, signal) {
  const path = (after) => `/collections/${encodeURIComponent(collection)}/versions${query({key, limit: PAGE, after})}`;
  const box = h('section', {class: 'versions'});
  const list = h('ol', {class: 'history wide'});
  const found = [];
  let next = null;
  const more = button('Older ones', () => load().catch(told), {});
  const told = (error) => {
    if (!signal.aborted) replace(list, h('li', {class: 'calm'}, error.message));
  };
  // What a duplicate said is known already: what changed is told from the version that there was.
  const earlier = (index) => (found[index].what === 'duplicate' ? null : found.slice(index + 1).find((version) => version.what === 'document'));
  async function load() {
    const page = await get(path(next), signal);
    found.push(...page.items);
    next = page.next;
    more.hidden = !next;
    const documents = found.filter((version) => version.what === 'document');
    replace(list, found.map((version, index) => entry(version, earlier(index), version === documents[0], version === documents.at(-1) && !next)));
    if (!found.length) replace(list, h('li', {class: 'calm'}, 'None.'));
  }
  load().catch(told);
  return replace(box, h('h2', {}, 'Versions'), list, h('p', {}, more));
}

function entry(version, before, newest, first) {
  const what = version.gone ? 'took it away' : first ? 'was the first' : WORDS[version.what] ?? version.what;
  const changed = before ? h('details', {open: newest}, h('summary', {}, `What changed from position ${number(before.position)}`), difference(text(before), text(version)))
    : h('details', {}, h('summary', {}, 'What it said'), h('pre', {class: 'code', tabindex: 0, role: 'region', 'aria-label': `The version of position ${version.position}`}, text(version)));
  return h('li', {class: version.what === 'document' ? null : 'calm'}, h('strong', {}, `Position ${number(version.position)}`), ` ${what} `,
    version.gone ? badge('gone') : badge(version.what), h('span', {class: 'under'}, time(version.received_at), version.age === version.position ? '' : ` · first sent at position ${number(version.age)}`), changed);
}
