// One stream for all views: the numbers of now, those of the last minutes, the newest documents.

import {get} from './api.js';
import {parse} from './json.js';
import {learned} from './session.js';

const REMEMBERED = 300;
// Documents of each collection.
const NEWEST = 20;

export const live = {
  connection: 'wait',
  // True once it has failed, or was silent for some seconds.
  lost: false,
  stats: null,
  columns: [],
  rows: [],
  // By the collection's name, newest first: {collection, position, key, document}.
  newest: new Map(),
};

export const newest = (collection) => live.newest.get(collection) ?? [];

const watchers = new Set();
let source = null;
let heard = 0;

// Calls now, and at each change: {kind: 'stats' | 'document' | 'history' | 'state', document}.
export function watch(listener, signal) {
  watchers.add(listener);
  signal?.addEventListener('abort', () => watchers.delete(listener));
  listener(live, {kind: 'state'});
}

function tell(change) {
  for (const listener of [...watchers]) listener(live, change);
}

function set(connection, lost) {
  if (live.connection === connection && live.lost === lost) return;
  live.connection = connection;
  live.lost = lost;
  tell({kind: 'state'});
}

function listen() {
  if (source) return;
  source = new EventSource('/api/v1/stream');
  const on = (name, handle) => source.addEventListener(name, (event) => {
    heard = Date.now();
    handle(parse(event.data));
  });
  on('history', (history) => {
    live.columns = history.columns;
    live.rows = history.rows;
    set('open', false);
    tell({kind: 'history'});
  });
  on('document', (document) => {
    const before = newest(document.collection);
    if (before.some((known) => known.position >= document.position)) return;
    // Where the latest is kept, it takes the place of the one before.
    live.newest.set(document.collection, [document, ...before.filter((known) => known.key !== document.key)].slice(0, NEWEST));
    tell({kind: 'document', document});
  });
  on('stats', (stats) => {
    live.stats = stats;
    const row = live.columns.map((name) => stats[name] ?? null);
    if (row[0] !== live.rows.at(-1)?.[0]) live.rows.push(row);
    live.rows.splice(0, Math.max(0, live.rows.length - REMEMBERED));
    set('open', false);
    tell({kind: 'stats'});
  });
  source.addEventListener('error', () => {
    set('wait', true);
    // A refusal closes it for good; a lost connection comes back by itself.
    if (source?.readyState === EventSource.CLOSED) {
      leave();
      // It cannot be told from here why: if it was the token, this asks for one.
      setTimeout(() => get('/me').then(learned, () => {}).finally(connect), 2000);
    }
  });
}

function leave() {
  source?.close();
  source = null;
}

// A page that nobody sees holds no connection: a browser has six for all its tabs.
export function connect() {
  if (document.visibilityState === 'visible') listen();
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') connect();
  else leave();
});
addEventListener('pagehide', leave);
addEventListener('pageshow', connect);
setInterval(() => {
  if (source && live.connection === 'open' && Date.now() - heard > 8000) set('wait', true);
}, 1000);

// How much a counter grew each second, over a few seconds, so that a line is a line.
const OVER = 4000;

export function rates(name) {
  const at = live.columns.indexOf('at');
  const column = live.columns.indexOf(name);
  const points = [];
  let first = 0;
  for (let index = 1; index < live.rows.length; index += 1) {
    const now = live.rows[index];
    while (first < index - 1 && live.rows[first + 1][at] <= now[at] - OVER) first += 1;
    if (live.rows[index - 1][column] === null) first = index - 1;
    const before = live.rows[first];
    const seconds = (now[at] - before[at]) / 1000;
    const known = before[column] !== null && now[column] !== null && seconds > 0;
    points.push([now[at], known ? Math.max(0, now[column] - before[column]) / seconds : null]);
  }
  return points;
}

export function levels(name) {
  const at = live.columns.indexOf('at');
  const column = live.columns.indexOf(name);
  return live.rows.map((row) => [row[at], row[column]]);
}
