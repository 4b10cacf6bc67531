// Operations: all that runs or ran; one of them; and starting a replay.

import {button, h, replace, table} from '../dom.js';
import {get, post} from '../api.js';
import {badge, number, shown, since} from '../format.js';
import {needs} from '../rights.js';
import {askWho, form} from '../dialog.js';
import {card, controls, facts, over, progress, sentence} from '../operation.js';
import {go} from '../router.js';

const PAGE = 50;

export async function view(place) {
  return place.params.length ? one(place) : all(place);
}

async function one(place) {
  const operation = await get(`/operations/${place.params[0]}`, place.signal);
  place.show(`Operation ${operation.id}`, h('p', {class: 'crumbs'}, h('a', {href: '/operations'}, 'Operations'), ` / ${operation.id}`), h('h1', {}, sentence(operation)), facts(operation), card(operation, place.signal, undefined, {alone: true}));
}

async function all(place) {
  const after = place.query.get('after');
  const path = `/operations?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ''}`;
  const page = await get(path, place.signal);
  const told = h('p', {class: 'wrong', role: 'alert', hidden: true});
  let load = async () => {};
  const list = table('Operations', [
    {label: 'Operation', wide: true, cell: (operation) => [h('a', {href: `/operations/${operation.id}`, 'data-row': ''}, shown(sentence(operation), 160)),
      h('span', {class: 'under'}, `${operation.id} · `, h('span', {class: 'by'}, operation.asked_by), operation.reason ? ` · ${shown(operation.reason)}` : '')]},
    {label: 'State', cell: (operation) => badge(operation.state)},
    {label: 'Progress', class: 'course', cell: (operation) => {
      const done = operation.kind === 'bulk' ? `${number(operation.done)} of ${number(operation.total)}` : '';
      if (over(operation)) return h('span', {class: 'nowrap'}, done || '–');
      const buttons = controls(operation, (_, error) => {
        told.hidden = !error;
        told.textContent = error?.message ?? '';
        load();
      });
      return h('span', {}, progress(operation), h('span', {class: 'under'}, done), h('span', {class: 'steer'}, buttons));
    }},
    {label: 'Asked', cell: (operation) => since(operation.created_at)},
  ], page.items, {list: true, empty: 'Nothing runs, and nothing ran.'});
  const replay = needs('operate', button('Start a replay …', async () => {
    const answer = await form('Fold the log again?', {
      text: 'All tables are built again from the log, beside those that serve, and change places with them at the end. No fate changes, and the service goes on meanwhile.',
      fields: [{name: 'reason', label: 'Reason', required: true}],
      go: 'Start it',
    });
    if (!answer) return;
    const who = await askWho();
    if (who === undefined) return;
    try {
      const operation = await post('/replays', {as: who, reason: answer.reason});
      go(`/operations/${operation.id}`);
    } catch (error) {
      told.hidden = false;
      replace(told, error.message, ' ', error.linked?.('operation').map((id) => h('a', {href: `/operations/${id}`}, `Operation ${id}`)));
    }
  }));
  place.show('Operations', h('h1', {}, 'Operations'),
    h('p', {class: 'lead'}, 'Work that takes a while: decisions about many letters, plans for a definition, replays. It survives a restart.'),
    h('p', {class: 'actions left'}, replay), told, list,
    page.next ? h('p', {}, h('a', {class: 'button', href: `/operations?after=${encodeURIComponent(page.next)}`}, 'Older ones')) : null);

  let items = page.items;
  load = async () => {
    const now = await get(path, place.signal);
    const changed = JSON.stringify(now.items) !== JSON.stringify(items);
    items = now.items;
    if (!changed) return;
    const focused = document.activeElement?.closest?.('tr') && list.contains(document.activeElement) ? [document.activeElement.getAttribute('href'), document.activeElement.textContent] : null;
    list.update(items);
    if (focused) [...list.querySelectorAll('a, button')].find((element) => element.getAttribute('href') === focused[0] && element.textContent === focused[1])?.focus();
  };
  const look = async () => {
    if (place.signal.aborted) return;
    try {
      await load();
    } catch {
      // The frame says that the service or Postgres is away.
    }
    const timer = setTimeout(look, items.some((operation) => !over(operation)) ? 1000 : 4000);
    place.signal.addEventListener('abort', () => clearTimeout(timer));
  };
  setTimeout(look, 1000);
}
