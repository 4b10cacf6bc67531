// One order, as a person reads it; or why it is not there.

import {copy, copyButton, h, svg, table} from '../dom.js';
import {getText, Problem} from '../api.js';
import {format, parse} from '../json.js';
import {money, number, orderPath, plural, shown, time} from '../format.js';
import {missing} from '../missing.js';

export async function view(place) {
  const [uid] = place.params;
  let raw;
  try {
    raw = await getText(`/orders/${encodeURIComponent(uid)}`, place.signal);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    place.show(`No order ${shown(uid, 40)}`, h('article', {class: 'card'}, missing(place, uid, error)));
    return;
  }
  const order = parse(raw);
  place.show(`Order ${shown(uid, 40)}`, paper(place, order, raw));
}

function facts(...pairs) {
  return h('dl', {class: 'facts'}, pairs.filter(([, value]) => value !== '' && value !== null && value !== undefined)
    .map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

function paper(place, order, raw) {
  const {delivery, payment, items} = order;
  const json = h('pre', {class: 'code', tabindex: 0, role: 'region', 'aria-label': 'The order as JSON', hidden: true});
  const toggle = h('button', {
    type: 'button', 'aria-expanded': 'false',
    on: {
      click: () => {
        json.hidden = !json.hidden;
        if (!json.hidden && !json.firstChild) json.textContent = format(raw).text;
        toggle.setAttribute('aria-expanded', String(!json.hidden));
        toggle.textContent = json.hidden ? 'Show JSON' : 'Hide JSON';
      },
    },
  }, 'Show JSON');
  const link = h('button', {
    type: 'button',
    on: {
      click: async () => {
        await copy(location.origin + orderPath(order.order_uid));
        link.textContent = 'Copied';
        setTimeout(() => { link.textContent = 'Copy address'; }, 1500);
      },
    },
  }, 'Copy address');
  return h('article', {class: 'card paper'},
    h('header', {class: 'papertop'},
      h('div', {},
        h('p', {class: 'eyebrow'}, 'Order'),
        h('h1', {class: 'uid'}, shown(order.order_uid, 300)),
        h('p', {class: 'soft'}, time(order.date_created), ' · ', plural(items.length, 'item'), ' · customer ',
          h('a', {href: `/?q=${encodeURIComponent(order.customer_id)}`}, shown(order.customer_id)))),
      h('div', {class: 'tracking'}, strokes(order.track_number), h('a', {class: 'uid', href: `/?q=${encodeURIComponent(order.track_number)}`}, shown(order.track_number, 60)))),
    h('div', {class: 'columns'},
      h('section', {}, h('h2', {}, 'Delivery'),
        h('address', {}, [delivery.name, delivery.address, [delivery.zip, delivery.city].filter(Boolean).join(' '), delivery.region]
          .filter(Boolean).map((text) => h('span', {}, text))),
        facts(['Phone', delivery.phone], ['E-mail', delivery.email], ['Carrier', order.delivery_service])),
      h('section', {}, h('h2', {}, 'Payment'),
        h('p', {class: 'sum'}, money(payment.amount, payment.currency)),
        facts(['Paid', paid(payment.payment_dt)], ['Provider', payment.provider], ['Bank', payment.bank],
          ['Transaction', payment.transaction === order.order_uid ? 'as the order' : h('span', {class: 'uid'}, payment.transaction)], ['Request', payment.request_id])),
      h('section', {}, h('h2', {}, 'Handling'),
        facts(['Entry', order.entry], ['Locale', order.locale], ['Shard', order.shardkey], ['OOF shard', order.oof_shard],
          ['SM id', String(order.sm_id)], ['Signature', order.internal_signature]))),
    h('section', {}, h('h2', {}, 'Items'), goods(order)),
    h('p', {class: 'actions left'}, toggle, copyButton(raw, 'Copy JSON'), link,
      h('a', {class: 'button', href: `/api/v1${orderPath(order.order_uid)}`, target: '_blank', rel: 'noopener'}, 'Raw')),
    json);
}

// Seconds since 1970, as the model has it; a zero says nothing.
function paid(seconds) {
  const at = new Date(Number(seconds) * 1000);
  if (!seconds || Number.isNaN(at.getTime())) return seconds ? String(seconds) : '';
  return time(at.toISOString());
}

function goods({items, payment, track_number: track}) {
  const {currency} = payment;
  const list = table('Items', [
    {label: 'Item', wide: true, cell: (item) => [h('span', {class: 'name'}, item.name || '–'), item.brand ? h('span', {class: 'soft'}, ` ${item.brand}`) : null]},
    {label: 'Article', cell: (item) => h('span', {class: 'uid', title: `chrt_id ${item.chrt_id}, rid ${item.rid}`}, String(item.nm_id))},
    {label: 'Size', cell: (item) => item.size || '–'},
    {label: 'Status', num: true, cell: (item) => String(item.status)},
    {label: 'Price', num: true, cell: (item) => number(item.price)},
    {label: 'Sale', num: true, cell: (item) => (item.sale ? `${number(item.sale)} %` : '–')},
    {label: 'Total', num: true, cell: (item) => number(item.total_price)},
  ], items);
  const sum = items.reduce((total, item) => total + BigInt(item.total_price), 0n);
  const total = (label, amount, strong) => h('div', {class: strong ? 'strong' : null}, h('dt', {}, label), h('dd', {}, money(amount, strong ? currency : '')));
  const notes = [];
  if (sum !== BigInt(payment.goods_total)) notes.push(`The items add up to ${number(sum)}, and the payment says ${number(payment.goods_total)} for goods.`);
  if (BigInt(payment.goods_total) + BigInt(payment.delivery_cost) + BigInt(payment.custom_fee) !== BigInt(payment.amount)) notes.push('Goods, delivery and customs do not add up to the amount.');
  if (items.some((item) => item.track_number !== track)) notes.push('Some items have another track number than the order.');
  return [
    list,
    h('dl', {class: 'totals'}, total('Goods', payment.goods_total), total('Delivery', payment.delivery_cost), total('Customs', payment.custom_fee), total('Amount', payment.amount, true)),
    notes.map((text) => h('p', {class: 'remark'}, text)),
  ];
}

// Bars out of the track number's characters: decoration that is the same for the same number.
function strokes(text) {
  const bars = [];
  let x = 0;
  for (const character of String(text).slice(0, 24)) {
    const code = character.codePointAt(0);
    for (const bit of [0, 2, 4]) {
      const width = 1 + ((code >> bit) & 3) * 0.7;
      bars.push(svg('rect', {x: x.toFixed(1), y: 0, width: width.toFixed(1), height: 30}));
      x += width + 1.4 + ((code >> (bit + 1)) & 1);
    }
  }
  return svg('svg', {class: 'strokes', viewBox: `0 0 ${Math.max(x, 1).toFixed(1)} 30`, preserveAspectRatio: 'none', 'aria-hidden': 'true'}, bars);
}
