// Which collections there are, what their documents are called, and which one is at hand: the address says so.

import {select} from './dom.js';
import {get} from './api.js';
import {a, shown} from './format.js';

// What every database begins with. Said here, so that the first view waits for nothing, and so that it is there while Postgres
// is away.
const USUAL = {name: 'orders', one: 'order', title: 'Orders', keep: 'first', key: ['/order_uid'], lookups: ['/track_number', '/customer_id'], sums: false};

let asked = null;
let known = [];
let chosen = USUAL.name;

// Asks once; `again` where something may have changed.
export function collections({again = false} = {}) {
  if (again) asked = null;
  asked ??= get('/collections').then(({items}) => {
    known = items;
    dispatchEvent(new Event('waybill:collections'));
    return items;
  }, (error) => {
    asked = null;
    throw error;
  });
  return asked;
}

export const all = () => known;
export const several = () => known.length > 1;

// What is known of it by now; of one that is not known, what can be said of any.
export function named(name) {
  return known.find((one) => one.name === name) ?? (name === USUAL.name ? USUAL : {name, one: 'document', title: name, keep: 'first', key: [], lookups: [], sums: false});
}

// "an order", of a letter whose collection may be gone.
export const oneOf = (name) => named(name).one;
export const aOne = (name) => a(oneOf(name));

// The one at hand; where the address names none, the one before.
export function atHand({pathname, search} = location) {
  const [, first, second] = pathname.split('/');
  let name = null;
  if (first === 'orders' || (pathname === '/' && (!known.length || known.some((one) => one.name === USUAL.name)))) name = USUAL.name;
  else if (['c', 'collections', 'sums'].includes(first)) name = second && decodeURIComponent(second);
  else name = new URLSearchParams(search).get('collection');
  if (name) chosen = name;
  else if (known.length && !known.some((one) => one.name === chosen)) chosen = known[0].name;
  return named(chosen);
}

// The address of a collection's documents; orders have those of 0.1.
export function listPath(name) {
  return name === USUAL.name ? '/' : `/c/${encodeURIComponent(name)}`;
}

// The same view of another collection, where it has one.
export function samePlace({name, sums}, {pathname, search} = location) {
  const [, first] = pathname.split('/');
  if (['groups', 'letters'].includes(first)) {
    const filter = new URLSearchParams(search);
    for (const one of ['fingerprint', 'after']) filter.delete(one);
    filter.set('collection', name);
    return `/${first}?${filter}`;
  }
  if (first === 'collections' || (first === 'sums' && sums)) return `/${first}/${encodeURIComponent(name)}`;
  return listPath(name);
}

// Where the API has it: a key of several parts, or a strange one, is no segment of a path.
export function apiPath(name, key) {
  return name === USUAL.name ? `/orders/${encodeURIComponent(key)}` : `/${encodeURIComponent(name)}?key=${encodeURIComponent(key)}`;
}

const parts = (pointer) => pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

// What stands at a JSON pointer; never what every object inherits.
export function at(document, pointer) {
  return parts(pointer).reduce((value, part) => (value !== null && typeof value === 'object' && Object.hasOwn(value, part) ? value[part] : undefined), document);
}

// As the service writes it; null if documents are known by their position alone, which is not in them.
export function keyOf({key}, document) {
  if (!key.length) return null;
  const values = key.map((pointer) => at(document, pointer));
  return key.length === 1 ? String(values[0]) : JSON.stringify(values.map((value) => (typeof value === 'bigint' ? Number(value) : value)));
}

// As a parameter: "payment.currency".
export const dotted = (pointer) => parts(pointer).join('.');

// "Customer id", of the last part.
export const said = (pointer) => shown(parts(pointer).at(-1) ?? '', 60).replace(/_+/g, ' ').trim();

// To filter by one, also by one that is no longer there.
export function chooser(chosen = '') {
  const there = known.map((one) => [one.name, one.title]);
  const others = chosen && !there.some(([name]) => name === chosen) ? [[chosen, chosen]] : [];
  return select([['', 'Any collection'], ...there, ...others], chosen);
}
