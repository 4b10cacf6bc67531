// What a plan has found, in sentences: what a definition would make of history, and what is to be done after it is applied.

import {h, table} from './dom.js';
import {documentLink, number, plural, pointer} from './format.js';

const SAMPLES = 3;

export function planned(found) {
  const line = (counted, ...rest) => h('li', {}, h('strong', {}, counted), ' ', ...rest);
  const refused = Object.entries(found.refused_by ?? {});
  const passing = Object.entries(found.passing_by ?? {});
  const later = [
    found.looks_otherwise && 'Documents would look otherwise: they are written anew after it is applied, and the service goes on meanwhile.',
    found.lookups?.length && `To be built after it is applied: ${found.lookups.length === 1 ? 'the index' : 'indexes'} on ${found.lookups.map(pointer).join(', ')}. Until then lists are not filtered by ${found.lookups.length === 1 ? 'it' : 'them'}.`,
  ].filter(Boolean);
  return [
    found.fixed ? h('p', {class: 'told bad'}, h('strong', {}, 'It would be refused. '), 'It changes what is fixed for the life of a collection: key, keep, version, what one is called, or whether and by whom there is a sum. Drop the collection first, or take another name.') : null,
    found.same ? h('p', {class: 'told good'}, 'It means what the definition in force means: nothing would be judged otherwise.') : null,
    found.new ? h('p', {class: 'told good'}, h('strong', {}, `${found.collection} would be new. `), 'It begins with what is sent from then on, and with the letters that wait for it.') : null,
    h('ul', {class: 'results'},
      line(number(found.messages_taken), `of ${plural(found.messages_checked, 'message')} would be taken`),
      found.new ? null : line(number(found.documents_refused), `of today’s ${plural(found.documents_checked, 'document')} would be refused`),
      line(number(found.letters_passing), `of ${plural(found.letters_checked, 'open letter')} would come home`)),
    found.documents_refused > 0 ? h('p', {class: 'remark'}, 'A document stays a document: those would be refused only if they came today.') : null,
    later.map((text) => h('p', {class: 'remark'}, text)),
    refused.length ? table('Today’s documents that it would refuse', [
      {label: 'By', cell: ([name]) => h('code', {}, name)},
      {label: 'What it says', wide: true, cell: ([, one]) => one.message},
      {label: 'Documents', num: true, cell: ([, one]) => number(one.count)},
      {label: 'Some of them', cell: ([, one]) => one.samples.slice(0, SAMPLES).map((key) => h('div', {}, documentLink(found.collection, key)))},
    ], refused, {titled: true}) : null,
    passing.length ? table('Open letters that would come home', [
      {label: 'What was wrong', wide: true, cell: ([, one]) => one.message},
      {label: 'Letters', num: true, cell: ([, one]) => number(one.count)},
      {label: 'Some of them', cell: ([, one]) => one.samples.slice(0, SAMPLES).map((id) => h('div', {}, h('a', {href: `/letters/${id}`}, `Letter ${id}`)))},
    ], passing, {titled: true}) : null,
  ];
}
