// The collections: what each keeps, how many documents and letters there are, and a new one.

import {button, h, replace, table} from '../dom.js';
import {badge, count, number, pointer} from '../format.js';
import {collections, listPath} from '../collections.js';
import {definer} from '../define.js';
import {go} from '../router.js';
import {needs} from '../rights.js';

const EXAMPLE = `collection: readings
one: reading
title: Readings
about: What meters have said.
schema:
  type: object
  required: [meter, value, at]
  properties:
    meter: {type: string, minLength: 1, maxLength: 64}
    value: {type: integer, minimum: 0}
    at: {type: string, format: date-time}
key: [/meter, /at]
keep: first
lookups: [/meter]
`;

const KEEPS = {first: 'the first for each key', latest: 'the latest for each key'};

export async function view(place) {
  const items = await collections({again: true});
  const desk = h('div', {class: 'stack'});
  const making = h('div', {class: 'stack'});
  const opener = needs('define', button('Define a new one …', () => {
    replace(making, definer(place, null, EXAMPLE, desk, (name) => go(`/collections/${name}`)));
    making.querySelector('textarea').focus();
  }));
  place.show('Collections', h('h1', {}, 'Collections'),
    h('p', {class: 'lead'}, 'What may be sent, and what becomes of it: each collection has a schema, a key and rules, written in one definition.'),
    table('Collections', [
      {label: 'Collection', wide: true, cell: (one) => [h('a', {href: `/collections/${encodeURIComponent(one.name)}`, 'data-row': '', class: 'sentence'}, one.title), h('span', {class: 'under'}, one.about || one.name)]},
      {label: 'Keeps', cell: (one) => [one.key.length ? KEEPS[one.keep] : 'each message', h('span', {class: 'under'}, [one.key.map(pointer).join(', '), one.sums ? 'with sums' : ''].filter(Boolean).join(' · '))]},
      {label: 'Documents', num: true, cell: (one) => h('a', {href: listPath(one.name)}, number(one.counts.documents))},
      {label: 'Rejected', num: true, cell: (one) => count(one.counts.dead_letters)},
      {label: 'State', cell: (one) => (one.trouble ? h('span', {}, badge('failed', 'trouble'), h('span', {class: 'under'}, one.trouble)) : badge('done', 'in force'))},
    ], items, {list: true, empty: 'No collection is defined.'}),
    h('p', {class: 'actions left'}, opener), making, desk);
}
