// Numbers, money, times, names for the states: as a person reads them.

import {h} from './dom.js';

const whole = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, {maximumFractionDigits: 1});
const moment = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'medium'});
const ago = new Intl.RelativeTimeFormat('en', {numeric: 'auto', style: 'long'});

export function number(value) {
  return value === null || value === undefined ? '–' : whole.format(value);
}

// A column of zeros is noise beside the numbers that count.
export function count(value) {
  return Number(value) === 0 ? h('span', {class: 'zero'}, '0') : number(value);
}

export function rate(value) {
  if (value === null || value === undefined) return '–';
  return value < 100 ? tenths.format(value) : whole.format(Math.round(value));
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${Number(count) === 1 ? one : many}`;
}

// The unit is the sender's own (nobody says whether cents or not), so nothing is divided.
export function money(amount, currency) {
  return h('span', {class: 'money'}, number(amount), currency ? h('span', {class: 'currency'}, ` ${currency}`) : null);
}

export function bytes(count) {
  if (count < 1024) return plural(count, 'byte');
  if (count < 1024 * 1024) return `${tenths.format(count / 1024)} KiB`;
  return `${tenths.format(count / 1024 / 1024)} MiB`;
}

// Local time; the exact one on hover.
export function time(iso) {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return iso ? h('span', {}, iso) : '–';
  return h('time', {datetime: iso, title: iso}, moment.format(date));
}

export function since(iso) {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return '–';
  return h('time', {datetime: iso, title: `${moment.format(date)} (${iso})`, 'data-since': ''}, distance(date));
}

function distance(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  const size = Math.abs(seconds);
  if (size < 10) return 'just now';
  if (size < 60) return ago.format(Math.round(seconds), 'second');
  if (size < 3600) return ago.format(Math.round(seconds / 60), 'minute');
  if (size < 86400) return ago.format(Math.round(seconds / 3600), 'hour');
  if (size < 30 * 86400) return ago.format(Math.round(seconds / 86400), 'day');
  return moment.format(date);
}

// "just now" does not stay so.
setInterval(() => {
  for (const element of document.querySelectorAll('time[data-since]')) {
    const text = distance(new Date(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}, 15_000);

const REASONS = {
  not_utf8: 'not UTF-8',
  not_json: 'not JSON',
  schema: 'not as the schema',
  rule: 'against a rule',
  unstorable: 'cannot be stored',
  conflict: 'conflict',
  collection: 'no collection',
  sum: 'against its sum',
};

export const reasonNames = Object.entries(REASONS);

export function reason(name) {
  return REASONS[name] ?? name;
}

const GOOD = ['replaced', 'done', 'connected', 'document', 'already_so'];
const WAIT = ['open', 'freezing', 'pending', 'running', 'paused', 'still_failing', 'awaited', 'stopped'];
const BAD = ['failed', 'lost', 'too_late', 'away'];

export function badge(state, label) {
  const kind = GOOD.includes(state) ? 'good' : WAIT.includes(state) ? 'wait' : BAD.includes(state) ? 'bad' : 'calm';
  return h('span', {class: `badge ${kind}`}, label ?? state.replaceAll('_', ' '));
}

// "stan:waybill/orders" as people say it.
export function source(name) {
  const [kind, rest] = [name.split(':', 1)[0], name.slice(name.indexOf(':') + 1)];
  if (kind === 'http') return 'HTTP';
  if (kind === 'operator') return 'an operator';
  return kind === 'stan' ? `NATS Streaming, ${rest}` : name;
}

// "/items/0/price" as people write it.
export function pointer(text) {
  if (!text) return 'the whole message';
  return text.slice(1).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path ? `${path}.${part}` : part), '');
}

export function documentLink(collection, key, props = {}) {
  return h('a', {href: documentPath(collection, key), class: 'uid', title: key, ...props}, shown(key));
}

// Orders have the addresses of 0.1.
export function documentPath(collection, key) {
  return `${collection === 'orders' ? '' : '/c'}/${encodeURIComponent(collection)}/${encodeURIComponent(key)}`;
}

// date_created is "Date created", customerID "Customer ID".
export function words(name) {
  const text = shown(name, 60).replace(/_+/g, ' ').trim()
    .replace(/([a-z\d])([A-Z])(?=[a-z])/g, (_, end, start) => `${end} ${start.toLowerCase()}`).replace(/([a-z\d])([A-Z])/g, '$1 $2');
  return text ? text[0].toUpperCase() + text.slice(1) : '(no name)';
}

// What a definition calls a document, in a sentence: "an order", "2 entries".
export const a = (one) => `${/^[aeiou]/i.test(one) ? 'an' : 'a'} ${one}`;
export const many = (one) => (/[^aeiou]y$/.test(one) ? `${one.slice(0, -1)}ies` : /(s|x|z|ch|sh)$/.test(one) ? `${one}es` : `${one}s`);

// A name that is thousands of characters long says no more than its beginning.
export function shown(text, limit = 120) {
  const string = String(text);
  return string.length > limit ? `${string.slice(0, limit)}…` : string;
}

// Who decided, and how that was proven; the service's own decisions need no proof.
export function by({who, proof}) {
  return h('span', {class: 'by'}, who, who === 'waybill' && !proof ? null : h('span', {class: 'soft'}, proof ? ` (${proof})` : ' (unproven)'));
}
