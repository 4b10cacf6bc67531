// The account: every row that was received, and what became of it; what a broker gave, and what it did not.

import {button, h, replace, svg, table} from '../dom.js';
import {get} from '../api.js';
import {badge, count, number, plural, source} from '../format.js';

const FATES = [['documents', 'Documents', 'valid, stored and served'], ['superseded', 'Superseded', 'valid, and something newer was there'], ['duplicates', 'Duplicates', 'documents that came again'], ['dead_letters', 'Dead letters', 'rejected, and kept'],
  ['decisions', 'Decisions', 'what operators decided, and definitions'], ['pending', 'Pending', 'received, not yet projected']];

export async function view(place) {
  const account = await get('/reconciliation', place.signal);
  const checked = h('div', {role: 'status', 'aria-live': 'polite'});
  const book = h('div', {class: 'stack'});
  const draw = (now) => replace(book, fates(now), sources(now));
  draw(account);
  const count = button('Count every row again', async () => {
    count.disabled = true;
    replace(checked, h('p', {class: 'soft'}, 'Counting …'));
    try {
      const now = await get('/reconciliation?verify=true', place.signal);
      draw(now);
      const {rows, findings} = now.verified;
      replace(checked, findings.length
        ? h('div', {class: 'told bad'}, h('strong', {}, `${plural(rows, 'row')} counted, and not all fits:`), h('ul', {}, findings.map((text) => h('li', {}, text))))
        : h('div', {class: 'told good'}, h('strong', {}, `${plural(rows, 'row')} counted. `), 'Each has exactly one fate, and all counters agree.'));
    } catch (error) {
      if (!place.signal.aborted) replace(checked, h('div', {class: 'told bad'}, error.message));
    }
    count.disabled = false;
  });
  place.show('Account', h('h1', {}, 'Account'),
    h('p', {class: 'lead'}, 'Every row that was received has exactly one fate. Each number is counted on its own; none is the remainder.'),
    book,
    h('p', {class: 'actions left'}, count),
    checked,
    h('h2', {}, 'For programs'),
    h('ul', {class: 'links'},
      h('li', {}, h('a', {href: '/docs'}, 'Swagger UI'), ': the API, to try'),
      h('li', {}, h('a', {href: '/metrics'}, 'Metrics'), ' for Prometheus'),
      h('li', {}, h('a', {href: '/openapi.json'}, 'OpenAPI specification')),
      h('li', {}, h('a', {href: '/healthz/ready'}, 'Health'))));
}

function fates(account) {
  return h('section', {}, h('h2', {}, 'Fates'),
    h('p', {class: `told ${account.balanced ? 'good' : 'bad'}`}, h('strong', {}, account.balanced ? '✓ It balances. ' : '✗ It does not balance. '),
      `${number(account.received)} received = ${FATES.map(([name, label]) => `${number(account[name])} ${label.toLowerCase()}`).join(' + ')}`),
    shares(account),
    table('Fates', [
      {label: 'Fate', cell: ([name, label]) => h('span', {}, h('span', {class: `swatch ${name}`, 'aria-hidden': 'true'}), label)},
      {label: 'Rows', num: true, cell: ([name]) => number(account[name])},
      {label: 'Share', num: true, cell: ([name]) => (account.received ? `${((100 * account[name]) / account.received).toFixed(1)} %` : '–')},
      {label: 'What they are', wide: true, cell: ([, , words]) => h('span', {class: 'soft'}, words)},
    ], FATES));
}

// The same as the table, for the eye.
function shares(account) {
  let x = 0;
  const parts = FATES.map(([name]) => {
    // What is there is to be seen, be it one of a million.
    const width = account[name] ? Math.max(0.4, (100 * account[name]) / account.received) : 0;
    x += width;
    return svg('rect', {class: name, x: (x - width).toFixed(2), y: 0, width: width.toFixed(2), height: 10});
  });
  return svg('svg', {class: 'shares', viewBox: `0 0 ${Math.max(x, 1).toFixed(2)} 10`, preserveAspectRatio: 'none', 'aria-hidden': 'true'}, parts);
}

function sources(account) {
  return h('section', {}, h('h2', {}, 'Sources'),
    h('p', {class: 'soft'}, 'An epoch is one life of a broker’s store: it ends where the broker begins to count anew.'),
    gaps(account),
    table('Sources and epochs', [
      {label: 'Source', cell: ({source: name}) => source(name)},
      {label: 'Epoch', num: true, cell: (source) => number(source.epoch)},
      {label: 'Rows', num: true, cell: (source) => number(source.rows)},
      {label: 'First', num: true, cell: (source) => number(source.first_sequence)},
      {label: 'Last', num: true, cell: (source) => number(source.last_sequence)},
      {label: 'Broker’s last', num: true, cell: (source) => number(source.broker_last_sequence)},
      {label: 'Missing', num: true, cell: (source) => count(source.missing)},
      {label: 'Holes', wide: true, cell: holes},
    ], account.sources, {empty: 'No broker has brought anything; HTTP and operators have no sequences of their own.'}));
}

// What brokers counted and we have not, in a sentence. A source lists its first 200 holes.
function gaps({sources: all}) {
  const sum = (list, of) => list.reduce((total, one) => total + Number(of(one)), 0);
  const lost = sum(all, (source) => source.lost);
  const awaited = sum(all, (source) => sum(source.holes.filter((hole) => hole.state === 'awaited'), (hole) => hole.last - hole.first + 1));
  const others = sum(all, (source) => source.missing) - lost - awaited;
  const said = [
    [lost, 'lost', 'The broker no longer has them, or should have sent them long ago.', 'bad'],
    [awaited, 'awaited', 'The broker may still send them.', 'wait'],
    [others, 'missing besides', 'In more holes than are listed.', 'wait'],
  ].filter(([many]) => many > 0);
  return said.length ? h('div', {class: 'stack tight'}, said.map(([many, what, why, kind]) =>
    h('p', {class: `told ${kind}`}, h('strong', {}, `${plural(many, 'message')} ${many === 1 ? 'is' : 'are'} ${what}. `), why))) : null;
}

function holes(source) {
  if (!source.hole_count) return h('span', {class: 'soft'}, 'none');
  const list = h('ul', {class: 'holes'}, source.holes.slice(0, 20).map((hole) => h('li', {}, badge(hole.state), ' ', hole.first === hole.last ? number(hole.first) : `${number(hole.first)} – ${number(hole.last)}`)));
  const more = source.hole_count - Math.min(20, source.holes.length);
  return [list, more > 0 ? h('span', {class: 'soft'}, `and ${number(more)} more`) : null];
}
