// What an order's schema does not say: amounts are in the payment's currency, an address is read as one, and sums should add up.

import {h, svg} from '../dom.js';
import {money, number, plural, shown, time} from '../format.js';

const code = (value, title) => h('span', {class: 'uid', title}, shown(value, 300));
const look = (text, limit, props) => h('a', {href: `/?q=${encodeURIComponent(text)}`, ...props}, shown(text, limit));

function address({name, address: street, zip, city, region}) {
  const lines = [name, street, [zip, city].filter(Boolean).join(' '), region].filter(Boolean);
  return lines.length ? h('address', {}, lines.map((line) => h('span', {}, shown(line, 300)))) : null;
}

// Seconds since 1970; a zero says nothing.
function paid(seconds) {
  const at = new Date(Number(seconds) * 1000);
  if (!seconds || Number.isNaN(at.getTime())) return seconds ? String(seconds) : '';
  return time(at.toISOString());
}

function totals(items, {payment, track_number: track}) {
  const {currency, amount, goods_total: goods, delivery_cost: delivery, custom_fee: customs} = payment;
  const line = (label, value, props, unit) => h('div', props, h('dt', {}, label), h('dd', {}, money(value, unit)));
  const sum = items.reduce((total, item) => total + BigInt(item.total_price), 0n);
  const remarks = [
    sum !== BigInt(goods) && `The items add up to ${number(sum)}, and the payment says ${number(goods)} for goods.`,
    BigInt(goods) + BigInt(delivery) + BigInt(customs) !== BigInt(amount) && 'Goods, delivery and customs do not add up to the amount.',
    items.some((item) => item.track_number !== track) && 'Some items have another track number than the order.',
  ];
  return [
    h('dl', {class: 'totals'}, line('Goods', goods), line('Delivery', delivery), line('Customs', customs), line('Amount', amount, {class: 'strong'}, currency)),
    remarks.filter(Boolean).map((text) => h('p', {class: 'remark'}, text)),
  ];
}

// Bars out of the track number's characters: decoration that is the same for the same number.
function strokes(text) {
  const bars = [];
  let x = 0;
  for (const character of text.slice(0, 24)) {
    const point = character.codePointAt(0);
    for (const bit of [0, 2, 4]) {
      const width = 1 + ((point >> bit) & 3) * 0.7;
      bars.push(svg('rect', {x: x.toFixed(1), y: 0, width: width.toFixed(1), height: 30}));
      x += width + 1.4 + ((point >> (bit + 1)) & 1);
    }
  }
  return svg('svg', {class: 'strokes', viewBox: `0 0 ${Math.max(x, 1).toFixed(1)} 30`, preserveAspectRatio: 'none', 'aria-hidden': 'true'}, bars);
}

const orders = {
  columns: [
    {label: 'Track number', cell: (order) => look(order.track_number, 40)}, {label: 'Customer', cell: (order) => look(order.customer_id, 40)},
    {label: 'Items', num: true, cell: (order) => number(order.items.length)}, {label: 'Amount', num: true, cell: ({payment}) => money(payment.amount, payment.currency)},
    {label: 'Made', cell: (order) => time(order.date_created)},
  ],
  under: (order) => [time(order.date_created), ' · ', plural(order.items.length, 'item'), ' · customer ', look(order.customer_id, 120)],
  beside: ({track_number: track}) => h('div', {class: 'tracking'}, strokes(track), look(track, 60, {class: 'uid'})),
  own: 'Handling',
  fields: {
    order_uid: null, track_number: null, customer_id: null, date_created: null,
    delivery: {lead: address, fields: {name: null, address: null, zip: null, city: null, region: null, phone: {}, email: {label: 'E-mail'}}},
    delivery_service: {label: 'Carrier', into: 'delivery'},
    payment: {
      lead: ({amount, currency}) => h('p', {class: 'sum'}, money(amount, currency)),
      fields: {
        amount: null, currency: null, goods_total: null, delivery_cost: null, custom_fee: null, payment_dt: {label: 'Paid', show: paid}, provider: {}, bank: {},
        transaction: {show: (id, _, order) => (id === order.order_uid ? 'as the order' : code(id))}, request_id: {label: 'Request'},
      },
    },
    entry: {}, locale: {}, shardkey: {label: 'Shard'}, oof_shard: {label: 'OOF shard'}, sm_id: {label: 'SM id'}, internal_signature: {label: 'Signature'},
    items: {tail: totals, fields: {
      chrt_id: null, rid: null, brand: null, track_number: null,
      name: {label: 'Item', wide: true, show: (name, {brand}) => [h('span', {class: 'name'}, shown(name, 300) || '–'), brand ? h('span', {class: 'soft'}, ` ${shown(brand)}`) : null]},
      nm_id: {label: 'Article', num: false, show: (id, item) => code(id, `chrt_id ${item.chrt_id}, rid ${item.rid}`)},
      size: {show: String}, status: {show: String}, price: {show: number}, sale: {show: (part) => (part ? `${number(part)} %` : '')}, total_price: {label: 'Total', show: number},
    }},
  },
};
export const dressOf = (collection) => (collection === 'orders' ? orders : undefined);
