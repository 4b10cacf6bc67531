// One document, as a person reads it; or why it is not there.

import {copyButton, h, replace} from '../dom.js';
import {getText, Problem} from '../api.js';
import {apiPath, collections, listPath, named} from '../collections.js';
import {format, parse} from '../json.js';
import {documentPath, shown, words} from '../format.js';
import {dressOf} from '../dress/orders.js';
import {missing} from '../missing.js';
import {sheet} from '../sheet.js';
import {versions} from '../versions.js';
import {schemaOf} from './find.js';

export async function view(place) {
  const [name, key] = place.params;
  const {signal} = place;
  // What it is called may be learned later: what the cache holds is shown also while Postgres is away.
  const known = collections().catch(() => []);
  if (name !== 'orders') await known;
  const collection = named(name);
  const more = h('div', {class: 'stack'});
  const beside = known.then(() => named(name).keep === 'latest' && replace(more, versions(name, key, signal)));
  let raw;
  let schema;
  try {
    [raw, schema] = await Promise.all([getText(apiPath(name, key), signal), schemaOf(name, signal)]);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    place.show(`No ${collection.one} ${shown(key, 40)}`, h('article', {class: 'card'}, missing(place, collection, key, error)), more);
    return;
  }
  const kind = shown(schema.title || words(collection.one), 60);
  place.show(`${kind} ${shown(key, 40)}`,
    name === 'orders' ? null : h('p', {class: 'crumbs'}, h('a', {href: listPath(name)}, collection.title)),
    h('article', {class: 'card paper'}, drawn({kind, key, doc: parse(raw), schema}, dressOf(name)), actions(name, key, raw)), more);
  await beside;
}

// A collection may be defined without what its dress reads: then it is drawn as any document.
function drawn(what, dress) {
  try {
    return sheet({...what, dress});
  } catch {
    return sheet(what);
  }
}

function actions(name, key, raw) {
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
    h('p', {class: 'actions left'}, toggle, copyButton(raw, 'Copy JSON'), copyButton(location.origin + documentPath(name, key), 'Copy address'),
      h('a', {class: 'button', href: `/api/v1${apiPath(name, key)}`, target: '_blank', rel: 'noopener'}, 'Raw')),
    json,
  ];
}
