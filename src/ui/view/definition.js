// The definition of a collection: what is in force, what was before and what changed; and the next one.

import {button, h, replace, say} from '../dom.js';
import {get, Problem, query} from '../api.js';
import {badge, by, number, plural, shown, time} from '../format.js';
import {collections, listPath} from '../collections.js';
import {definer} from '../define.js';
import {difference} from '../diff.js';

const PAGE = 50;

export async function view(place) {
  const [name] = place.params;
  const path = `/collections/${encodeURIComponent(name)}`;
  const [now, past] = await Promise.all([current(path, place.signal), get(`${path}/definitions?limit=${PAGE}`, place.signal), collections().catch(() => [])]);
  if (!now && !past.items.length) {
    place.show('No such collection', h('h1', {}, `There is no collection ${shown(name, 60)}`), h('p', {class: 'lead'}, 'Or it is not yours to see. ', h('a', {href: '/collections'}, 'All collections')));
    return;
  }
  const desk = h('div', {class: 'stack'});
  const again = async () => {
    await view({...place, moved: false});
    say('It is in force');
  };
  place.show(now?.title ?? name,
    h('p', {class: 'crumbs'}, h('a', {href: '/collections'}, 'Collections'), ` / ${name}`),
    h('h1', {}, now?.title ?? name),
    now ? [
      now.about ? h('p', {class: 'lead'}, now.about) : null,
      now.trouble ? h('p', {class: 'told bad'}, now.trouble) : null,
      h('p', {class: 'lead'}, `In force ${now.position ? `from position ${number(now.position)} on` : 'since the database began'} · ${now.hash.slice(0, 12)} · `, h('a', {href: listPath(name)}, `${plural(now.counts.documents, 'document')} received`)),
    ] : h('p', {class: 'told bad'}, 'It was dropped, and is not there now. Its past is; defined again it begins with nothing.'),
    definer(place, now, now?.text ?? past.items.find((one) => one.action === 'define' && one.result === 'done')?.text ?? '', desk, again),
    desk,
    h('section', {}, h('h2', {}, 'History'), history(path, past, now, place.signal)));
}

async function current(path, signal) {
  try {
    return await get(path, signal);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

function history(path, past, now, signal) {
  const list = h('ol', {class: 'history wide'});
  const items = [...past.items];
  let {next} = past;
  const draw = () => replace(list, items.map((one, index) => entry(one, before(items, index, !next), now)));
  const more = button('Older ones', async () => {
    const older = await get(`${path}/definitions${query({limit: PAGE, after: next})}`, signal);
    items.push(...older.items);
    next = older.next;
    more.hidden = !next;
    draw();
  }, {hidden: !next});
  draw();
  return items.length ? [list, h('p', {}, more)] : h('p', {class: 'empty'}, 'It is what the database began with.');
}

// The text that this one took the place of: '' for the first of all, null where that is on a page not asked for.
function before(items, index, complete) {
  const earlier = items.slice(index + 1).find((one) => one.result === 'done');
  if (earlier) return earlier.action === 'drop' ? '' : earlier.text;
  return complete ? '' : null;
}

const ACTIONS = {define: 'Defined', drop: 'Dropped', rules: 'Rules of 0.1'};

function entry(one, earlier, now) {
  const force = one.position === now?.position;
  return h('li', {class: force ? null : 'calm'},
    h('strong', {}, `${ACTIONS[one.action] ?? one.action} at position ${number(one.position)}`), ' ',
    force ? badge('done', 'now') : one.result === 'done' ? null : badge(one.result),
    one.why ? h('p', {class: 'quote'}, one.why) : null,
    h('span', {class: 'under'}, by(one), ' · ', time(one.at), one.hash ? ` · ${one.hash.slice(0, 12)}` : ''),
    one.text && earlier ? h('details', {}, h('summary', {}, one.result === 'done' ? 'What changed' : 'What it would have changed'), difference(earlier, one.text)) : null,
    one.text ? h('details', {}, h('summary', {}, 'Text'), h('pre', {class: 'code', tabindex: 0, role: 'region', 'aria-label': `The definition of position ${one.position}`}, one.text)) : null);
}
