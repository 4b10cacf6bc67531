// The first view: one field, and what comes in meanwhile.

import {h, replace, say, table} from '../dom.js';
import {get, Problem, query} from '../api.js';
import {money, number, orderLink, orderPath, plural, rate, shown, since, time} from '../format.js';
import {levels, live, rates, watch} from '../live.js';
import {line} from '../chart.js';
import {go} from '../router.js';
import {missing} from '../missing.js';

export const orderColumns = [
  {label: 'Order', cell: (order) => orderLink(order.key, {'data-row': ''})},
  {label: 'Track number', cell: (order) => h('a', {href: `/?q=${encodeURIComponent(order.track_number)}`}, shown(order.track_number, 40))},
  {label: 'Customer', cell: (order) => h('a', {href: `/?q=${encodeURIComponent(order.customer_id)}`}, shown(order.customer_id, 40))},
  {label: 'Items', num: true, cell: (order) => number(Array.isArray(order.items) ? order.items.length : order.items)},
  {label: 'Amount', num: true, cell: (order) => (order.payment ? money(order.payment.amount, order.payment.currency) : money(order.amount, order.currency))},
  {label: 'Made', cell: (order) => time(order.date_created)},
];

export function newest(signal) {
  const list = table('The newest orders', orderColumns, live.orders, {list: true, empty: 'No orders yet. They appear here as they come in.'});
  watch((_, change) => {
    if (change.kind === 'order') list.prepend1(change.order, 12);
  }, signal);
  return list;
}

function figures(signal) {
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
  const all = [
    figure('Messages a second', '/live', {value: () => rate(last(rates('messages'))), points: () => rates('messages')}),
    figure('Orders', '/live', {value: () => number(live.stats?.orders), points: () => rates('orders')}),
    figure('Open dead letters', '/groups', {value: () => number(live.stats?.open), points: () => levels('open')}),
    figure('Not yet projected', '/live', {value: () => number(live.stats?.pending), points: () => levels('pending'), least: 10}),
  ];
  watch((_, change) => {
    if (change.kind !== 'order') all.forEach((one) => one.update());
  }, signal);
  return h('div', {class: 'figures'}, all.map((one) => one.element));
}

// An order by its id, or all with this track number or of this customer, or why there is none.
async function search(place, text, into) {
  replace(into, h('p', {class: 'soft'}, 'Looking …'));
  const ask = async (promise) => {
    try {
      return {found: await promise};
    } catch (error) {
      if (error instanceof Problem) return {problem: error};
      throw error;
    }
  };
  const {signal} = place;
  const [one, tracked, customers] = await Promise.all([
    ask(get(`/orders/${encodeURIComponent(text)}`, signal)),
    ask(get(`/orders${query({track_number: text, limit: 50})}`, signal)),
    ask(get(`/orders${query({customer_id: text, limit: 50})}`, signal)),
  ]);
  if (one.found) {
    go(orderPath(text), {replacing: true});
    return;
  }
  const lists = [
    ['with the track number', 'track_number', tracked.found],
    ['of the customer', 'customer_id', customers.found],
  ].filter(([, , page]) => page?.items.length);
  if (!lists.length) {
    const problem = [one, tracked, customers].map((answer) => answer.problem).find((error) => error?.away) ?? one.problem;
    say('No order found');
    replace(into, h('section', {class: 'card'}, missing(place, text, problem, {searched: true})));
    return;
  }
  say('Orders found');
  replace(into, lists.map(([what, name, page]) => results(place, text, what, name, page)));
}

function results(place, text, what, name, page) {
  const count = page.next ? `The newest ${page.items.length} orders` : plural(page.items.length, 'order');
  const list = table(`Orders ${what} ${text}`, orderColumns, page.items, {list: true});
  let next = page.next;
  const items = [...page.items];
  const more = h('button', {
    type: 'button',
    hidden: !next,
    on: {
      click: async () => {
        const older = await get(`/orders${query({[name]: text, limit: 50, after: next})}`, place.signal);
        items.push(...older.items);
        next = older.next;
        more.hidden = !next;
        list.update(items);
      },
    },
  }, 'Older ones');
  return h('section', {}, h('h2', {}, `${count} ${what} `, h('q', {}, shown(text))), list, h('p', {}, more));
}

export async function view(place) {
  const text = place.query.get('q')?.trim() ?? '';
  const field = h('input', {
    id: 'find-field', type: 'search', name: 'q', value: text, 'data-focus': '', autocomplete: 'off',
    autocapitalize: 'none', spellcheck: 'false', maxlength: 1000, placeholder: 'Order id, track number or customer id',
  });
  const found = h('div', {class: 'found'});
  place.show(text ? `“${shown(text, 40)}”` : '',
    h('h1', {class: text ? 'small' : 'hero'}, h('label', {for: 'find-field'}, 'Find an order')),
    h('form', {
      class: 'find', role: 'search',
      on: {
        submit: (event) => {
          event.preventDefault();
          const wanted = field.value.trim();
          if (wanted) go(`/?q=${encodeURIComponent(wanted)}`);
        },
      },
    }, field, h('button', {type: 'submit', class: 'main'}, 'Find')),
    found,
    text ? null : [
      h('h2', {class: 'hidden'}, 'Now'),
      figures(place.signal),
      h('h2', {}, 'The newest orders'),
      newest(place.signal),
    ]);
  if (text) await search(place, text, found);
}
