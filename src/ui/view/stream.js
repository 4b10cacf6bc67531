// Live: the last minutes as small charts, and the newest documents.

import {h, replace} from '../dom.js';
import {many, number, plural, rate} from '../format.js';
import {levels, live, rates, watch} from '../live.js';
import {line} from '../chart.js';
import {atHand} from '../collections.js';
import {columnsOf} from '../columns.js';
import {dressOf} from '../dress/orders.js';
import {newestOf, schemaOf} from './find.js';

// Hits of all lookups, second by second.
function hitShare() {
  const hits = rates('cache_hits');
  const misses = rates('cache_misses');
  return hits.map(([at, hit], index) => {
    const all = hit + misses[index][1];
    return [at, all > 0 ? (100 * hit) / all : null];
  });
}

const last = (points) => points.at(-1)?.[1];

const CHARTS = [
  ['Messages a second', () => rates('messages'), (points) => rate(last(points)), (stats) => `${number(stats.messages)} received`],
  ['Documents a second', () => rates('documents'), (points) => rate(last(points)), (stats) => `${plural(stats.documents, 'document')}, ${plural(stats.duplicates, 'duplicate')}${stats.superseded ? `, ${number(stats.superseded)} superseded` : ''}`],
  ['Rejected a second', () => rates('dead_letters'), (points) => rate(last(points)), () => 'new dead letters'],
  ['Open dead letters', () => levels('open'), (points) => number(last(points)), (stats) => `of ${number(stats.dead_letters)} that were ever rejected`],
  ['Behind the broker', () => levels('broker_lag'), (points) => number(last(points)), (stats) => (stats.broker === 'none' ? 'no broker is set' : stats.broker_lag === null ? 'not known: the broker’s monitoring does not answer' : 'messages not yet acknowledged'), 10],
  ['Behind the inbox', () => levels('pending'), (points) => number(last(points)), () => 'rows not yet projected', 10],
  ['Cache hits a second', () => rates('cache_hits'), (points) => rate(last(points)), (stats) => `${number(stats.cache_hits)} hits, ${plural(stats.cache_misses, 'miss', 'misses')}`],
  ['Share of hits', hitShare, () => {
    const {cache_hits: hits, cache_misses: misses} = live.stats ?? {};
    return hits + misses > 0 ? `${rate((100 * hits) / (hits + misses))} %` : '–';
  }, (stats) => `${plural(stats.cache_documents, 'document')} in the cache`, 1, 100],
];

function chart([label, points, value, more, least, limit], signal) {
  const now = h('strong', {}, '–');
  const top = h('span', {class: 'top-mark', 'aria-hidden': 'true'});
  const said = h('span', {class: 'more'});
  const drawn = line(label, least, limit);
  watch((_, change) => {
    if (change.kind === 'document') return;
    const all = points();
    now.textContent = value(all);
    top.textContent = number(drawn.draw(all));
    if (live.stats) said.textContent = more(live.stats);
  }, signal);
  return h('section', {class: 'figure tall'}, h('h3', {class: 'label'}, label), now, h('div', {class: 'drawn'}, top, drawn), said);
}

function lamps(signal) {
  const lamp = (name) => {
    const text = h('span', {}, '–');
    const element = h('li', {'data-state': 'wait'}, h('span', {class: 'dot', 'aria-hidden': 'true'}), h('strong', {}, name), ' ', text);
    return {element, set: (state, words) => { element.dataset.state = state; text.textContent = words; }};
  };
  const [service, database, broker] = ['Service', 'Database', 'Broker'].map(lamp);
  watch(() => {
    const {stats, connection, lost} = live;
    service.set(connection === 'open' ? 'good' : lost ? 'bad' : 'wait', connection === 'open' ? 'answers' : lost ? 'does not answer' : 'connecting');
    if (!stats) return;
    const stale = connection !== 'open';
    database.set(stale ? 'wait' : stats.database === 'connected' ? 'good' : 'bad', stale ? 'not known' : stats.database === 'connected' ? 'connected' : 'away');
    broker.set(stale ? 'wait' : stats.broker === 'connected' ? 'good' : stats.broker === 'none' ? 'calm' : 'bad',
      stale ? 'not known' : stats.broker === 'none' ? 'none is set; messages come over HTTP' : `${stats.broker}${stats.channel ? `, channel ${stats.channel}` : ''}${stats.broker_problem ? `: ${stats.broker_problem}` : ''}`);
  }, signal);
  return h('ul', {class: 'lamps'}, [service, database, broker].map((one) => one.element));
}

export async function view(place) {
  const collection = atHand();
  const recent = h('div', {class: 'stack'});
  place.show('Live',
    h('h1', {}, 'Live'),
    lamps(place.signal),
    h('h2', {}, 'The last five minutes'),
    h('div', {class: 'figures four'}, CHARTS.map((one) => chart(one, place.signal))),
    h('h2', {}, `The newest ${many(collection.one)}`),
    recent);
  const dress = dressOf(collection.name);
  const columns = columnsOf(collection, dress ? {} : await schemaOf(collection.name, place.signal), dress);
  replace(recent, newestOf(collection, columns, place.signal));
}
