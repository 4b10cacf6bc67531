// Letters one by one; the address holds the filter.

import {button, field, h, select, table} from '../dom.js';
import {get, query} from '../api.js';
import {badge, documentLink, number, plural, pointer, reason, reasonNames, shown, since, words} from '../format.js';
import {all, chooser, collections, named, oneOf, several} from '../collections.js';
import {bulk} from '../bulk.js';
import {go} from '../router.js';

const FIELDS = ['state', 'reason', 'code', 'fingerprint', 'collection', 'key', 'source', 'since', 'until', 'from', 'to', 'text'];
const NUMBERS = ['from', 'to'];
const STATES = [['open', 'Open'], ['replaced', 'Replaced'], ['discarded', 'Discarded'], ['', 'All']];
const TIMES = [['', 'Any time'], ['15m', 'The last 15 minutes'], ['1h', 'The last hour'], ['24h', 'The last day'], ['7d', 'The last week']];
const PAGE = 50;

function input(name, value, props = {}) {
  return h('input', {type: 'text', name, value: value ?? '', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...props});
}

// datetime-local has neither zone nor seconds.
function local(iso) {
  const date = new Date(iso ?? '');
  if (Number.isNaN(date.getTime())) return '';
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function filterForm(filter) {
  const inputs = {
    reason: select([['', 'Any reason'], ...reasonNames], filter.reason ?? ''),
    collection: chooser(filter.collection),
    text: input('text', filter.text, {type: 'search', placeholder: 'In the sentence or the key'}),
    since: select(TIMES.some(([key]) => key === (filter.since ?? '')) ? TIMES : [...TIMES, [filter.since, 'Since a moment']], filter.since ?? ''),
    code: input('code', filter.code),
    key: input('key', filter.key),
    source: input('source', filter.source, {placeholder: 'stan, http'}),
    after: input('after', local(filter.since), {type: 'datetime-local'}),
    until: input('until', local(filter.until), {type: 'datetime-local'}),
    from: input('from', filter.from, {inputmode: 'numeric', pattern: '[0-9]*'}),
    to: input('to', filter.to, {inputmode: 'numeric', pattern: '[0-9]*'}),
  };
  const chosen = () => {
    const next = {...filter};
    for (const name of ['reason', 'collection', 'text', 'code', 'key', 'source', 'from', 'to']) next[name] = inputs[name].value.trim();
    next.since = inputs.after.value && inputs.after.value !== local(filter.since) ? new Date(inputs.after.value).toISOString() : inputs.since.value;
    next.until = inputs.until.value ? new Date(inputs.until.value).toISOString() : '';
    return next;
  };
  const send = () => go(`/letters${query({...chosen(), state: filter.state ?? 'any'})}`);
  for (const name of ['reason', 'collection', 'since']) inputs[name].addEventListener('change', send);
  const rare = ['code', 'key', 'source', 'until', 'from', 'to'].some((name) => filter[name]);
  return h('form', {class: 'filterform', on: {submit: (event) => { event.preventDefault(); send(); }}},
    h('div', {class: 'filters'}, h('div', {class: 'field long'}, field('Text', inputs.text)), several() ? field('Collection', inputs.collection) : null, field('Reason', inputs.reason), field('Received', inputs.since), h('button', {type: 'submit'}, 'Filter')),
    h('details', {open: rare}, h('summary', {}, 'More filters'),
      h('div', {class: 'filters'}, field('Code', inputs.code), field('Key', inputs.key), field('Source', inputs.source),
        field('Since', inputs.after), field('Until', inputs.until), field('From position', inputs.from), field('To position', inputs.to))));
}

export async function view(place) {
  const filter = Object.fromEntries(FIELDS.map((name) => [name, place.query.get(name)]).filter(([, value]) => value));
  // No state in the address is the usual question: what is open? "any" is all of them.
  if (!place.query.has('state')) filter.state = 'open';
  if (filter.state === 'any') delete filter.state;
  const after = place.query.get('after');
  const [page, groups] = await Promise.all([
    get(`/dead-letters${query({...filter, after, limit: PAGE})}`, place.signal),
    filter.fingerprint ? get('/dead-letter-groups', place.signal) : null,
    collections().catch(() => []),
  ]);
  const group = groups?.items.find((one) => one.fingerprint === filter.fingerprint);

  const address = (change) => `/letters${query({...filter, state: filter.state ?? 'any', ...change})}`;
  const states = h('div', {class: 'segments', role: 'group', 'aria-label': 'State'}, STATES.map(([key, label]) =>
    button(label, () => go(address({state: key || 'any'})), {'aria-pressed': String((filter.state ?? '') === key)})));

  const picked = new Set();
  const everyone = h('input', {type: 'checkbox', 'aria-label': 'Choose all on this page'});
  const count = group && Object.keys(filter).every((name) => ['state', 'fingerprint'].includes(name))
    ? (filter.state ? group[filter.state] : group.open + group.replaced + group.discarded) : null;
  const decide = bulk(() => {
    if (picked.size) return {filter: {ids: [...picked]}, words: `${plural(picked.size, 'letter')} chosen in the list.`};
    const set = {...filter};
    for (const name of NUMBERS) if (set[name]) set[name] = Number(set[name]);
    const empty = Object.keys(set).length === 0;
    return {filter: set, all: empty, words: empty ? 'Every dead letter there is.' : `${count === null ? 'All letters' : plural(count, 'letter')} that this filter finds, on all pages; or choose some in the list.`};
  }, place.signal);
  decide.hidden = true;

  const list = table('Dead letters', [
    {label: 'Letter', class: 'nowrap', cell: (letter) => h('span', {}, tick(letter), h('a', {href: `/letters/${letter.id}`, 'data-row': ''}, String(letter.id)))},
    {label: 'What is wrong', wide: true, cell: (letter) => [h('span', {class: 'sentence'}, shown(letter.message, 160)),
      group ? null : h('span', {class: 'under'}, badge('calm', reason(letter.reason)), ' ', h('code', {}, pointer(letter.pointer)))]},
    several() ? {label: 'Collection', cell: (letter) => named(letter.collection).title} : null,
    {label: several() ? 'Key' : words(oneOf(all()[0]?.name ?? 'orders')), cell: (letter) => (letter.key ? documentLink(letter.collection, letter.key) : h('span', {class: 'soft'}, 'not readable'))},
    {label: 'State', cell: (letter) => badge(letter.state)},
    {label: 'Attempts', num: true, cell: (letter) => number(letter.attempts)},
    {label: 'Received', cell: (letter) => since(letter.received_at)},
  ].filter(Boolean), page.items, {list: true, empty: 'No letter is like that.'});

  function tick(letter) {
    return h('input', {
      type: 'checkbox', 'aria-label': `Choose letter ${letter.id}`, 'data-id': letter.id,
      on: {
        change: (event) => {
          if (event.target.checked) picked.add(letter.id);
          else picked.delete(letter.id);
          decide.refresh();
        },
      },
    });
  }
  everyone.addEventListener('change', () => {
    for (const box of list.querySelectorAll('input[data-id]')) {
      box.checked = everyone.checked;
      if (everyone.checked) picked.add(Number(box.dataset.id));
      else picked.delete(Number(box.dataset.id));
    }
    decide.refresh();
  });

  const opener = button('Decide about all of them', () => {
    decide.hidden = !decide.hidden;
    opener.setAttribute('aria-expanded', String(!decide.hidden));
    if (!decide.hidden) decide.querySelector('select').focus();
  }, {'aria-expanded': 'false'});
  place.show('Dead letters', h('p', {class: 'crumbs'}, h('a', {href: '/groups'}, 'Dead letters')),
    h('h1', {}, group ? shown(group.message, 160) : 'Letters'),
    group ? h('p', {class: 'lead'}, badge('calm', reason(group.reason)), ' ', h('code', {}, pointer(group.pointer)), ` · ${number(group.open)} open, ${number(group.replaced)} replaced, ${number(group.discarded)} discarded`, ' · last seen ', since(group.last_seen)) : null,
    h('div', {class: 'filters'}, states, group ? h('a', {class: 'button', href: address({fingerprint: ''})}, 'Not this group alone') : null, h('span', {class: 'gap'}), opener),
    filterForm(filter),
    decide,
    page.items.length ? h('p', {class: 'choose'}, h('label', {}, everyone, ' All on this page')) : null,
    list,
    h('p', {class: 'actions left'},
      after ? h('a', {class: 'button', href: address({})}, 'The newest') : null,
      page.next ? h('a', {class: 'button', href: address({after: page.next})}, 'Older ones') : null));
}
