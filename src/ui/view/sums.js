// The sums of a collection, by account; and the statement of one account.

import {h, table} from '../dom.js';
import {get, Problem, query} from '../api.js';
import {number, plural, shown, time} from '../format.js';
import {collections, listPath, named} from '../collections.js';
import {go} from '../router.js';

const PAGE = 50;

export async function view(place) {
  const [name, account] = place.params;
  await collections().catch(() => []);
  return account === undefined ? accounts(place, name) : statement(place, name, account);
}

const address = (name, account) => `/sums/${encodeURIComponent(name)}/${encodeURIComponent(account)}`;
const crumbs = (name, ...rest) => h('p', {class: 'crumbs'}, h('a', {href: listPath(name)}, named(name).title), ...rest);

// A list and a button for what comes after.
function paged(list, items, page, path, label, signal) {
  let {next} = page;
  const more = h('button', {
    type: 'button', hidden: !next,
    on: {
      click: async () => {
        const further = await get(path(next), signal);
        items.push(...further.items);
        next = further.next;
        more.hidden = !next;
        list.update(items);
      },
    },
  }, label);
  return [list, h('p', {}, more)];
}

async function accounts(place, name) {
  const path = (after) => `/collections/${encodeURIComponent(name)}/sums${query({limit: PAGE, after})}`;
  const page = await get(path(), place.signal);
  const field = h('input', {type: 'search', id: 'account', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: 1000, placeholder: 'Account'});
  const list = table('Sums by account', [
    {label: 'Account', cell: (one) => h('a', {href: address(name, one.account), class: 'uid', 'data-row': ''}, shown(one.account, 60))},
    {label: 'Sum', num: true, class: 'big', cell: (one) => number(one.sum)},
    {label: 'Entries', num: true, cell: (one) => number(one.entries)},
    {label: 'Last at position', num: true, cell: (one) => number(one.last_position)},
  ], page.items, {list: true, empty: 'No account has a sum yet.'});
  place.show(`${named(name).title}: sums`, crumbs(name, ' / sums'), h('h1', {}, 'Sums'),
    h('p', {class: 'lead'}, 'One running sum for each account, by its name.'),
    h('form', {class: 'filters', role: 'search', on: {submit: (event) => { event.preventDefault(); if (field.value.trim()) go(address(name, field.value.trim())); }}},
      h('label', {class: 'hidden', for: 'account'}, 'Account'), field, h('button', {type: 'submit'}, 'Show')),
    paged(list, page.items, page, path, 'More', place.signal));
}

async function statement(place, name, account) {
  const path = (after) => `/collections/${encodeURIComponent(name)}/sums/${encodeURIComponent(account)}${query({limit: PAGE, after})}`;
  let page;
  try {
    page = await get(path(), place.signal);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    place.show('No such account', crumbs(name, ' / ', h('a', {href: `/sums/${encodeURIComponent(name)}`}, 'sums')), h('h1', {}, `No account ${shown(account, 60)}`), h('p', {class: 'lead'}, error.message));
    return;
  }
  const {one} = named(name);
  const list = table(`Statement of ${account}`, [
    {label: 'Position', cell: (entry) => number(entry.position)},
    {label: 'Added', num: true, class: 'big', cell: (entry) => `${entry.value > 0 ? '+' : ''}${number(entry.value)}`},
    {label: 'Received', cell: (entry) => time(entry.received_at)},
  ], page.items, {empty: 'Nothing was added yet.'});
  place.show(`${shown(account, 40)}: sum`, crumbs(name, ' / ', h('a', {href: `/sums/${encodeURIComponent(name)}`}, 'sums')),
    h('h1', {}, h('span', {class: 'uid'}, shown(account, 120))),
    h('p', {class: 'sum'}, number(page.sum)),
    h('p', {class: 'lead'}, `${plural(page.entries, 'entry', 'entries')}, newest first. `, h('a', {href: `${listPath(name)}?q=${encodeURIComponent(account)}`}, `Find each ${one}`)),
    paged(list, page.items, page, path, 'Older ones', place.signal));
}
