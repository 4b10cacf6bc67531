// A document as a person reads it, drawn by its JSON Schema: an object is a section, a list of objects a table, all else a fact.
//
// What is drawn is what the document holds; the schema says labels, order, formats and defaults of it. A dress says what a schema
// cannot. Each part of a dress may be missing:
//
//     under(doc), beside(doc)   what stands under the key, and at the other end of its line
//     own                       a heading for the document's own facts, which then come after its objects
//     columns                   of a list of such documents, besides the key
//     fields                    by name, in the order in which they are drawn; null: another part of the dress draws it
//
// and so may each part of a field of it:
//
//     label, num, wide          as in a column of `table`
//     show(value, parent, doc)  what is drawn for the value; '' for nothing
//     into                      the object beside it, under whose heading this fact is drawn
//     lead(value, doc), tail(value, doc), fields    of an object or a list: before it, after it, what is in it

import {h, table} from './dom.js';
import {badge, number, shown, time, words} from './format.js';

// The level of the last heading that there is: the fields of what is deeper are told in a line.
const DEEPEST = 6;
// So many objects or lists in each other a line tells; of what is deeper it says that there is something.
const IN_A_LINE = 3;
// So many values are drawn of a document in all: within half a second on two slow cores. The others are in the JSON.
const MOST = 10_000;
// So many columns of a table, and values of a list in a line: a sender may have as many as his message has room for.
const WIDEST = 24;
const LONGEST_LIST = 100;
// So many characters of a text, and of a name.
const TEXT = 300;
const NAME = 60;
// A table of more columns than these slides sideways on its own.
const FITTING = 5;

const NOTHING = {};

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isTable = (value) => Array.isArray(value) && value.every(isObject) && value.some((row) => Object.keys(row).length);

// Never what every object inherits: a document may have a field that is called "constructor".
const own = (object, name) => (isObject(object) && Object.hasOwn(object, name) ? object[name] : undefined);
const within = (schema, name) => [own(schema, name)].find(isObject) ?? {};

// Nothing, or a default that says nothing.
function isEmpty(value, schema) {
  if (value === undefined || value === null || value === '') return true;
  if (typeof value === 'object') return Object.keys(value).length === 0;
  return (value === 0 || value === false) && schema.default === value;
}

// The fields that these objects have: first as the dress names them, then as the schema does, then those that neither knows.
function fieldsOf(objects, schema, dress) {
  const names = new Set(objects.flatMap(Object.keys));
  const properties = within(schema, 'properties');
  return [...new Set([...Object.keys(dress.fields ?? {}), ...Object.keys(properties), ...names])]
    .filter((name) => names.has(name) && own(dress.fields, name) !== null)
    .map((name) => {
      const [said, dressed] = [within(properties, name), own(dress.fields, name) ?? NOTHING];
      return {
        name, schema: said, dress: dressed, parent: objects[0],
        label: dressed.label ?? (said.title ? shown(said.title, NAME) : words(name)),
        title: said.description ? shown(said.description, TEXT) : null,
      };
    });
}

function text(value, schema) {
  if (schema.format === 'date-time' && !Number.isNaN(Date.parse(value))) return time(value);
  if (Array.isArray(schema.enum) && schema.enum.includes(value)) return badge(value, shown(value, NAME));
  return shown(value, TEXT);
}

// One document while it is drawn: how much may still be drawn of it, and whether something was left out.
class Sheet {
  constructor(doc) {
    this.doc = doc;
    this.left = MOST;
    this.cut = false;
  }

  take(all, most = this.left) {
    const room = Math.max(most, 0);
    this.cut ||= all.length > room;
    return all.slice(0, room);
  }

  // A field where there is no room for a section; '' is nothing.
  value({name, schema, dress}, parent) {
    const value = own(parent, name);
    this.left -= 1;
    if (dress.show) return value === undefined ? '' : dress.show(value, parent, this.doc);
    return isEmpty(value, schema) ? '' : this.line(value, schema, 0);
  }

  line(value, schema, depth) {
    if (isEmpty(value, {})) return '–';
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    if (typeof value === 'string') return text(value, schema);
    if (typeof value !== 'object') return shown(value, TEXT);
    if (depth === IN_A_LINE) return Array.isArray(value) ? '[…]' : '{…}';
    return Array.isArray(value) ? this.list(value, within(schema, 'items'), depth + 1) : this.pairs(value, schema, depth + 1);
  }

  // Objects get a line each: what separates their fields separates texts and numbers here.
  list(values, schema, depth) {
    const parts = this.take(values, Math.min(this.left, LONGEST_LIST)).map((value) => h(isObject(value) ? 'div' : 'bdi', {}, this.counted(value, schema, depth)));
    const more = values.length - parts.length;
    return [parts.map((part, index) => [index && part.localName === 'bdi' ? ' · ' : null, part]), more ? ` … and ${number(more)} more` : null];
  }

  pairs(object, schema, depth) {
    const fields = fieldsOf([object], schema, NOTHING).filter(({name, schema: said}) => !isEmpty(object[name], said));
    return this.take(fields, Math.min(this.left, LONGEST_LIST)).map(({name, schema: said, label, title}, index) => [
      index ? ' · ' : null, h('span', {class: 'soft', title}, label), ' ', h('bdi', {}, this.counted(object[name], said, depth))]);
  }

  counted(value, schema, depth) {
    this.left -= 1;
    return this.line(value, schema, depth);
  }

  // [facts, sections] of an object whose heading has this level.
  parts(object, schema, dress, level) {
    const isSection = ({name}) => level < DEEPEST && (isObject(object[name]) || isTable(object[name]));
    const fields = fieldsOf([object], schema, dress);
    return [fields.filter((field) => !isSection(field)), fields.filter(isSection)];
  }

  facts(fields) {
    const filled = fields.filter(({name, schema, dress, parent}) => dress.show || !isEmpty(parent[name], schema));
    const said = this.take(filled).map((field) => [field, this.value(field, field.parent)]).filter(([, value]) => value !== '');
    return said.length ? h('dl', {class: 'facts'}, said.map(([{label, title}, value]) => h('div', {}, h('dt', {title}, label), h('dd', {}, value)))) : null;
  }

  // An object, or a list of objects, under its heading; `more` are facts from beside it.
  section({name, parent, label, title, schema, dress}, level, more = []) {
    const value = parent[name];
    const content = [
      dress.lead?.(value, this.doc),
      Array.isArray(value) ? this.rows(value, within(schema, 'items'), dress, label) : this.inside(value, schema, dress, level, more),
      dress.tail?.(value, this.doc),
    ].flat(Infinity).filter(Boolean);
    return content.length ? h('section', {}, h(`h${level}`, {title}, label), content) : null;
  }

  inside(object, schema, dress, level, more) {
    const [facts, sections] = this.parts(object, schema, dress, level);
    return [this.facts([...facts, ...more]), this.take(sections).map((field) => this.section(field, level + 1))];
  }

  rows(all, schema, dress, label) {
    const fields = fieldsOf(all, schema, dress).filter((field) => field.dress.show || all.some((row) => !isEmpty(own(row, field.name), field.schema)));
    const columns = this.take(fields, WIDEST).map((field) => ({
      label: field.label, title: field.title, wide: field.dress.wide,
      num: field.dress.num ?? all.every((row) => ['number', 'bigint'].includes(typeof (own(row, field.name) ?? 0))),
      class: field.dress === NOTHING ? 'free' : null,
      cell: (row) => {
        const value = this.value(field, row);
        return Array.isArray(value) ? h('div', {}, value) : value === '' ? '–' : value;
      },
    }));
    const rows = this.take(all, Math.ceil(this.left / Math.max(columns.length, 1)));
    const list = table(label, columns, rows);
    const slides = columns.length > FITTING && columns.some((column) => column.class);
    return slides ? h('div', {class: 'slides', tabindex: 0, role: 'region', 'aria-label': label}, list) : list;
  }
}

// All that a document says, under its key; `kind` is what such a document is called.
export function sheet({kind, key, doc, schema, dress = NOTHING}) {
  const drawing = new Sheet(doc);
  const [facts, sections] = drawing.parts(doc, schema, dress, 1);
  const [objects, lists] = [true, false].map((wanted) => sections.filter(({name}) => isObject(doc[name]) === wanted));
  const elsewhere = objects.flatMap(({name}) => facts.filter((fact) => fact.dress.into === name));
  const here = drawing.facts(facts.filter((fact) => !elsewhere.includes(fact)));
  return [
    h('header', {class: 'papertop'},
      h('div', {}, h('p', {class: 'eyebrow'}, kind), h('h1', {class: 'uid'}, shown(key, TEXT)), dress.under ? h('p', {class: 'soft'}, dress.under(doc)) : null),
      dress.beside?.(doc)),
    dress.own ? null : here,
    h('div', {class: 'columns'},
      drawing.take(objects).map((field) => drawing.section(field, 2, elsewhere.filter((fact) => fact.dress.into === field.name))),
      here && dress.own ? h('section', {}, h('h2', {}, dress.own), here) : null),
    drawing.take(lists).map((field) => drawing.section(field, 2)),
    drawing.cut ? h('p', {class: 'remark'}, 'There is more than is drawn here. The JSON has all of it.') : null,
  ];
}
