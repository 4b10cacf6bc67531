// Who was let in, who was turned away, who took data out.

import {field, h, select, table} from '../dom.js';
import {get, query} from '../api.js';
import {badge, number, shown, time} from '../format.js';
import {go} from '../router.js';

const WHAT = [['', 'Anything'], ['signed_in', 'Signed in'], ['sign_in_failed', 'Sign-in failed'], ['signed_out', 'Signed out'], ['refused', 'Refused'],
  ['exported', 'Exported'], ['replay', 'Replay'], ['steered', 'Steered'], ['new_address', 'New address']];
const NAMES = Object.fromEntries(WHAT);
const KINDS = {sign_in_failed: 'bad', refused: 'wait', new_address: 'wait'};

export async function view(place) {
  const asked = Object.fromEntries(['what', 'who', 'since', 'after'].map((name) => [name, place.query.get(name) ?? '']));
  const page = await get(`/audit${query(asked)}`, place.signal);
  const what = select(WHAT, asked.what);
  const who = h('input', {type: 'text', value: asked.who, autocomplete: 'off', maxlength: 200});
  const since = h('input', {type: 'text', value: asked.since, autocomplete: 'off', placeholder: '1d'});
  const show = (event) => {
    event?.preventDefault();
    go(`/audit${query({what: what.value, who: who.value.trim(), since: since.value.trim()})}`);
  };
  what.addEventListener('change', show);
  place.show('Audit', h('h1', {}, 'Audit'),
    h('p', {class: 'lead'}, 'Who was let in, who was turned away, and who took data out. Decisions about messages stand in each letter’s story.'),
    h('form', {class: 'filters', on: {submit: show}}, field('What', what), field('Who', who), field('Since', since), h('button', {type: 'submit'}, 'Show')),
    table('Audit', [
      {label: 'When', cell: (entry) => time(entry.at)},
      {label: 'What', cell: (entry) => badge(KINDS[entry.what] ?? 'calm', NAMES[entry.what] ?? entry.what)},
      {label: 'Who', cell: (entry) => [shown(entry.who, 60) || '–', h('span', {class: 'under'}, entry.proof)]},
      {label: 'From', cell: (entry) => shown(entry.address, 60)},
      {label: 'Times', num: true, cell: (entry) => number(entry.times)},
      {label: 'About', wide: true, cell: (entry) => shown(entry.detail, 300)},
    ], page.items, {empty: 'Nothing of the kind.'}),
    page.next ? h('p', {}, h('a', {class: 'button', href: `/audit${query({...asked, after: page.next})}`}, 'Older ones')) : null);
}
