// The first view of a collection: one field, and what comes in meanwhile.

import {button, h, replace, say, table} from '../dom.js';
import {get, Problem, query} from '../api.js';
import {a, documentPath, many, number, plural, rate, shown, words} from '../format.js';
import {all, apiPath, collections, dotted, listPath, named, said} from '../collections.js';
import {columnsOf, pages} from '../columns.js';
import {dressOf} from '../dress/orders.js';
import {levels, live, newest, rates, watch} from '../live.js';
import {line} from '../chart.js';
import {go} from '../router.js';

const PAGE = 50;
const SHOWN = 12;

// What the columns are called; without it they are called by their names.
export async function schemaOf(name, signal) {
  try {
    return await get(`/collections/${encodeURIComponent(name)}/schema`, signal);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return {};
  }
}

// A dress has its own columns, and needs no schema.
async function columns(collection, signal) {
  const dress = dressOf(collection.name);
  return columnsOf(collection, dress ? {} : await schemaOf(collection.name, signal), dress);
}

export function newestOf(collection, columns, signal) {
  const list = table(`The newest ${many(collection.one)}`, columns, newest(collection.name).slice(0, SHOWN), {list: true, empty: `No ${many(collection.one)} yet. They appear here as they come in.`});
  watch((_, change) => {
    if (change.kind !== 'document' || change.document.collection !== collection.name) return;
    if (collection.keep === 'latest') list.update(newest(collection.name).slice(0, SHOWN));
    else list.prepend1(change.document, SHOWN);
  }, signal);
  return list;
}

function figures({one, name}, signal) {
  const figure = (label, href, draw) => {
    const value = h('strong', {}, '–');
    const chart = line(label, draw.least);
    const element = h('a', {class: 'figure', href}, h('span', {class: 'label'}, label), value, chart);
    const update = () => {
      value.textContent = draw.value();
      chart.draw(draw.points());
    };
    return {element, update};
  };
  const last = (points) => points.at(-1)?.[1];
  // The stream counts all collections together.
  const label = all().length > 1 ? 'Documents, of all collections' : words(many(one));
  const four = [
    figure('Messages a second', '/live', {value: () => rate(last(rates('messages'))), points: () => rates('messages')}),
    figure(label, '/live', {value: () => number(live.stats?.documents), points: () => rates('documents')}),
    figure('Open dead letters', all().length > 1 ? `/groups${query({collection: name})}` : '/groups', {value: () => number(live.stats?.open), points: () => levels('open')}),
    figure('Not yet projected', '/live', {value: () => number(live.stats?.pending), points: () => levels('pending'), least: 10}),
  ];
  watch((_, change) => {
    if (change.kind !== 'document') four.forEach((figured) => figured.update());
  }, signal);
  return h('div', {class: 'figures'}, four.map((figured) => figured.element));
}

async function ask(promise) {
  try {
    return {found: await promise};
  } catch (error) {
    if (error instanceof Problem) return {problem: error};
    throw error;
  }
}

// A document by its key, or all that a lookup finds by this text, or the account of this name; or why there is none.
async function search(place, collection, text, into) {
  replace(into, h('p', {class: 'soft'}, 'Looking …'));
  const {signal} = place;
  const {name, one, lookups, sums} = collection;
  const list = (pointer, after) => `/${encodeURIComponent(name)}${query({[dotted(pointer)]: text, limit: PAGE, after})}`;
  const account = `/collections/${encodeURIComponent(name)}/sums/${encodeURIComponent(text)}`;
  const [exact, summed, ...lists] = await Promise.all([
    ask(get(apiPath(name, text), signal)),
    sums ? ask(get(`${account}?limit=1`, signal)) : {},
    ...lookups.map((pointer) => ask(get(list(pointer), signal))),
  ]);
  if (exact.found) {
    go(documentPath(name, text), {replacing: true});
    return;
  }
  const found = lists.map(({found: page}, index) => [lookups[index], page]).filter(([, page]) => page?.items.length);
  if (!found.length && !summed.found) {
    const problem = [exact, ...lists].map((answer) => answer.problem).find((error) => error?.away) ?? exact.problem;
    const {missing} = await import('../missing.js');
    say(`No ${one} found`);
    replace(into, h('section', {class: 'card'}, missing(place, collection, text, problem, {searched: true})));
    return;
  }
  const shape = await columns(collection, signal);
  say(`${words(many(one))} found`);
  replace(into,
    summed.found ? h('p', {class: 'told good'}, h('a', {href: `/sums/${encodeURIComponent(name)}/${encodeURIComponent(text)}`}, `Account ${shown(text, 60)}`), ': its sum is ', h('strong', {}, number(summed.found.sum)), '.') : null,
    found.map(([pointer, page]) => {
      const counted = page.next ? `The newest ${page.items.length} ${many(one)}` : plural(page.items.length, one, many(one));
      return h('section', {}, h('h2', {}, `${counted} with the ${said(pointer)} `, h('q', {}, shown(text))),
        pages(`${words(many(one))} with the ${said(pointer)} ${text}`, collection, shape, page, (after) => list(pointer, after), signal));
    }));
}

// All of them, page by page: newest first, or by their keys.
function everything(collection, columns, signal) {
  const {name, one, keep} = collection;
  const path = (after) => `/${encodeURIComponent(name)}${query({limit: PAGE, after})}`;
  const order = keep === 'latest' ? 'by key' : 'newest first';
  const box = h('section', {});
  const opener = button(`All ${many(one)}, ${order}`, async () => {
    const page = await get(path(), signal);
    replace(box, h('h2', {}, `All ${many(one)}, ${order}`), pages(`All ${many(one)}`, collection, columns, page, path, signal));
  });
  replace(box, h('p', {}, opener));
  return box;
}

export async function view(place) {
  const [wanted = 'orders'] = place.params;
  // Of `/` the field is there at once; only what is not orders has to be asked for.
  if (wanted !== 'orders') await collections();
  const there = all();
  if (there.length && !there.some((one) => one.name === wanted)) {
    if (!place.params.length) return go(listPath(there[0].name), {replacing: true});
    place.show('No such collection', h('h1', {}, `There is no collection ${shown(wanted, 60)}`), h('p', {class: 'lead'}, 'Or it is not yours to see. ', h('a', {href: '/collections'}, 'All collections')));
    return undefined;
  }
  const collection = named(wanted);
  const {one, lookups, sums} = collection;
  const text = place.query.get('q')?.trim() ?? '';
  const by = [`${words(one)} id`, ...lookups.map(said)];
  const field = h('input', {
    id: 'find-field', type: 'search', name: 'q', value: text, 'data-focus': '', autocomplete: 'off',
    autocapitalize: 'none', spellcheck: 'false', maxlength: 1000, placeholder: by.length > 1 ? `${by.slice(0, -1).join(', ')} or ${by.at(-1)}` : by[0],
  });
  const found = h('div', {class: 'found'});
  const recent = h('div', {class: 'stack'});
  place.show(text ? `“${shown(text, 40)}”` : place.params.length ? collection.title : '',
    h('h1', {class: text ? 'small' : 'hero'}, h('label', {for: 'find-field'}, `Find ${a(one)}`)),
    h('form', {
      class: 'find', role: 'search',
      on: {
        submit: (event) => {
          event.preventDefault();
          const looked = field.value.trim();
          if (looked) go(`${listPath(wanted)}?q=${encodeURIComponent(looked)}`);
        },
      },
    }, field, h('button', {type: 'submit', class: 'main'}, 'Find')),
    found,
    text ? null : [
      h('h2', {class: 'hidden'}, 'Now'),
      figures(collection, place.signal),
      collection.trouble ? h('p', {class: 'told bad'}, collection.trouble) : null,
      h('h2', {}, `The newest ${many(one)}`),
      recent,
    ]);
  if (text) {
    await search(place, collection, text, found);
    return undefined;
  }
  const shape = await columns(collection, place.signal);
  replace(recent, newestOf(collection, shape, place.signal),
    sums ? h('p', {}, h('a', {class: 'button', href: `/sums/${encodeURIComponent(wanted)}`}, 'The sums, by account')) : null,
    everything(collection, shape, place.signal));
  return undefined;
}
