// A list of documents of any collection: its key, what it is looked for by, and a few fields that say something at a glance.

import {h, table} from './dom.js';
import {get} from './api.js';
import {at, keyOf, listPath, said} from './collections.js';
import {badge, documentLink, number, shown, time, words} from './format.js';

// So many fields besides key and lookups.
const MORE = 3;
const SCALARS = ['string', 'integer', 'number', 'boolean'];

const typeOf = (schema) => (Array.isArray(schema.type) ? schema.type.find((one) => one !== 'null') : schema.type ?? (schema.enum ? 'string' : null));

function schemaAt(schema, pointer) {
  return pointer.split('/').slice(1).reduce((found, part) => (Object.hasOwn(found?.properties ?? {}, part) ? found.properties[part] : {}), schema);
}

function value(found, schema) {
  if (found === undefined || found === null || found === '') return '–';
  if (typeof found === 'boolean') return found ? 'yes' : 'no';
  if (typeof found === 'object') return h('span', {class: 'soft'}, Array.isArray(found) ? '[…]' : '{…}');
  if (schema.format === 'date-time') return time(String(found));
  if (Array.isArray(schema.enum)) return badge(String(found), shown(found, 40));
  // A fraction keeps its digits.
  return typeof found === 'string' ? shown(found, 60) : Number.isInteger(found) || typeof found === 'bigint' ? number(found) : String(found);
}

// Of rows {key, document}; `dress` has columns of its own.
export function columnsOf(collection, schema, dress) {
  const link = (row) => (row.key === null ? h('span', {class: 'soft'}, 'by its position') : documentLink(collection.name, row.key, {'data-row': ''}));
  const first = {label: words(collection.one), cell: link};
  // What is too large for the stream is not there; and a definition may have taken away what the dress reads.
  const safely = (cell) => (row) => {
    try {
      return row.document ? cell(row.document) : '–';
    } catch {
      return '–';
    }
  };
  if (dress?.columns) return [first, ...dress.columns.map((column) => ({...column, cell: safely(column.cell)}))];
  const lookups = collection.lookups.filter((pointer) => !collection.key.includes(pointer));
  const others = Object.entries(schema.properties ?? {})
    .filter(([name, one]) => SCALARS.includes(typeOf(one)) && !collection.key.includes(`/${name}`) && !lookups.includes(`/${name}`))
    .slice(0, MORE).map(([name]) => `/${name}`);
  const column = (pointer, cell) => {
    const of = schemaAt(schema, pointer);
    return {label: of.title ? shown(of.title, 40) : words(said(pointer)), title: of.description, num: ['integer', 'number'].includes(typeOf(of)) && !of.format, class: 'free', cell: safely((document) => cell(at(document, pointer), of))};
  };
  return [first,
    ...lookups.map((pointer) => column(pointer, (found, of) => (found === undefined || found === null || found === '' ? '–'
      : h('a', {href: `${listPath(collection.name)}?q=${encodeURIComponent(found)}`}, of.format === 'date-time' ? value(found, of) : shown(found, 40))))),
    ...others.map((pointer) => column(pointer, value))];
}

export const rowsOf = (collection, documents) => documents.map((document) => ({key: keyOf(collection, document), document}));

// A page of the API's list, and a button for what comes after it.
export function pages(caption, collection, columns, page, path, signal) {
  const rows = rowsOf(collection, page.items);
  const list = table(caption, columns, rows, {list: true});
  let {next} = page;
  const more = h('button', {
    type: 'button', hidden: !next,
    on: {
      click: async () => {
        const further = await get(path(next), signal);
        rows.push(...rowsOf(collection, further.items));
        next = further.next;
        more.hidden = !next;
        list.update(rows);
      },
    },
  }, collection.keep === 'latest' ? 'More' : 'Older ones');
  return [list, h('p', {}, more)];
}
