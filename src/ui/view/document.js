// One document, as a person reads it; or why it is not there.

import {copyButton, h} from '../dom.js';
import {get, getText, Problem} from '../api.js';
import {format, parse} from '../json.js';
import {orderPath, shown} from '../format.js';
import {missing} from '../missing.js';
import {sheet} from '../sheet.js';
import {orders} from '../dress/orders.js';

const SCHEMA = '/schema/order.json';

// A document whose schema cannot be had now is drawn without.
async function schemaOf(signal) {
  try {
    return await get(SCHEMA, signal);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return {};
  }
}

export async function view(place) {
  const [key] = place.params;
  const path = orderPath(key);
  let raw;
  let schema;
  try {
    [raw, schema] = await Promise.all([getText(path, place.signal), schemaOf(place.signal)]);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    place.show(`No order ${shown(key, 40)}`, h('article', {class: 'card'}, missing(place, key, error)));
    return;
  }
  const kind = shown(schema.title ?? 'Order', 60);
  place.show(`${kind} ${shown(key, 40)}`, h('article', {class: 'card paper'}, drawn({kind, key, doc: parse(raw), schema}), actions(path, raw)));
}

// Orders may be defined without what their dress reads: then they are drawn as any document.
function drawn(what) {
  try {
    return sheet({...what, dress: orders});
  } catch {
    return sheet(what);
  }
}

function actions(path, raw) {
  const json = h('pre', {class: 'code', tabindex: 0, role: 'region', 'aria-label': 'The JSON', hidden: true});
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
  return [
    h('p', {class: 'actions left'}, toggle, copyButton(raw, 'Copy JSON'), copyButton(location.origin + path, 'Copy address'),
      h('a', {class: 'button', href: `/api/v1${path}`, target: '_blank', rel: 'noopener'}, 'Raw')),
    json,
  ];
}
