// Dead letters, like with like: what is wrong, how often, and whether it goes on.

import {field, h, replace, select, table} from '../dom.js';
import {get, query} from '../api.js';
import {badge, count, plural, pointer, reason, reasonNames, shown, since} from '../format.js';
import {bars} from '../chart.js';
import {watch} from '../live.js';
import {go} from '../router.js';
import {chooser, collections, named, several} from '../collections.js';

const STATES = [['open', 'Open'], ['replaced', 'Replaced'], ['discarded', 'Discarded'], ['', 'All']];
const SPANS = [['1', 'hour'], ['24', 'day'], ['168', 'week']];

export async function view(place) {
  const filter = {
    state: place.query.get('state') ?? 'open',
    reason: place.query.get('reason') ?? '',
    hours: place.query.get('hours') ?? '24',
    collection: place.query.get('collection') ?? '',
  };
  const load = () => Promise.all([
    get(`/dead-letter-groups${query({state: filter.state, reason: filter.reason, collection: filter.collection})}`, place.signal),
    get(`/dead-letter-groups/trend${query({hours: filter.hours})}`, place.signal),
  ]);
  const change = (name, value) => go(`/groups?${new URLSearchParams({...filter, [name]: value})}`);
  await collections().catch(() => []);
  const chosen = chooser(filter.collection);
  chosen.addEventListener('change', () => change('collection', chosen.value));
  const states = h('div', {class: 'segments', role: 'group', 'aria-label': 'State'}, STATES.map(([key, label]) =>
    h('button', {type: 'button', 'aria-pressed': String(filter.state === key), on: {click: () => change('state', key)}}, label)));
  const reasons = select([['', 'Any reason'], ...reasonNames], filter.reason);
  reasons.addEventListener('change', () => change('reason', reasons.value));
  const spans = select(SPANS.map(([key, label]) => [key, `The last ${label}`]), filter.hours);
  spans.addEventListener('change', () => change('hours', spans.value));

  let trends = new Map();
  const span = SPANS.find(([key]) => key === filter.hours)?.[1] ?? 'day';
  const letters = (group) => `/letters${query({state: filter.state, fingerprint: group.fingerprint})}`;
  const columns = [
    {label: 'What is wrong', wide: true, cell: (group) => [
      h('a', {href: letters(group), 'data-row': '', class: 'sentence'}, shown(group.message, 160)),
      h('span', {class: 'under'}, several() && group.collection ? [badge('calm', named(group.collection).title), ' '] : null, badge('calm', reason(group.reason)), ' ', h('code', {}, pointer(group.pointer)))]},
    {label: 'Open', num: true, class: 'big', cell: (group) => count(group.open)},
    {label: 'Replaced', num: true, cell: (group) => count(group.replaced)},
    {label: 'Discarded', num: true, cell: (group) => count(group.discarded)},
    {label: `Trend, last ${span}`, cell: (group) => trend(trends.get(group.fingerprint), span)},
    {label: 'First seen', cell: (group) => since(group.first_seen)},
    {label: 'Last seen', cell: (group) => since(group.last_seen)},
  ];
  const list = table('Groups of dead letters', columns, [], {list: true, empty: filter.state === 'open' ? 'No open dead letters: every message found its place.' : 'No such dead letters.'});
  const sum = h('p', {class: 'lead'});
  const fill = ([groups, trend]) => {
    trends = new Map(trend.items.map((item) => [item.fingerprint, item.counts]));
    list.update(groups.items);
    const open = groups.items.reduce((total, group) => total + group.open, 0);
    replace(sum, filter.state === 'open'
      ? `${plural(open, 'open letter')} in ${plural(groups.items.length, 'group')}. Each was received whole, and waits until it is mended or let go.`
      : groups.items.length ? `${plural(groups.items.length, 'group')}.` : null);
  };
  fill(await load());
  place.show('Dead letters', h('h1', {}, 'Dead letters'), sum,
    h('div', {class: 'filters'}, states, several() ? field('Collection', chosen) : null, field('Reason', reasons), field('Trend', spans),
      h('a', {class: 'button', href: `/letters${query({state: filter.state, reason: filter.reason, collection: filter.collection})}`}, 'All letters, one by one')),
    list);

  // Anew when the numbers of the stream say so, at most every three seconds, and never under a reader's hands.
  let known = null;
  let busy = false;
  watch(async (live, change) => {
    if (change.kind !== 'stats' || busy) return;
    const now = `${live.stats.open} ${live.stats.dead_letters}`;
    if (known === null) known = now;
    if (now === known || list.contains(document.activeElement)) return;
    known = now;
    busy = true;
    try {
      fill(await load());
      await new Promise((done) => setTimeout(done, 3000));
    } catch {
      // The frame says that the service or Postgres is away.
    }
    busy = false;
  }, place.signal);
}

function trend(counts, span) {
  if (!counts) return h('span', {class: 'soft'}, 'none');
  const total = counts.reduce((sum, count) => sum + count, 0);
  return bars(counts, `${plural(total, 'letter')} in the last ${span}`);
}
