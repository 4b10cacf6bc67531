// A definition in the making: its text, a plan that says what it would make of history, the difference, and applying it.

import {button, field, h, replace, say} from './dom.js';
import {get, Problem, query, send} from './api.js';
import {number, plural, shown} from './format.js';
import {collections} from './collections.js';
import {needs} from './rights.js';
import {askWho} from './dialog.js';
import {difference} from './diff.js';
import {numbered} from './editor.js';
import {offsetOf} from './json.js';
import {card} from './operation.js';

// The name that the text itself says; the service has the last word.
const nameIn = (text) => /^collection:[ \t]*["']?([a-z][a-z0-9_]*)/m.exec(text)?.[1] ?? null;
const path = (name) => `/collections/${encodeURIComponent(name)}`;

// `now`: {name, position, text} in force, or null for a new one. `desk` is where plan and difference appear. `applied(name)` afterwards.
export function definer(place, now, start, desk, applied) {
  const area = h('textarea', {class: 'code editor', rows: 24, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'none', wrap: 'off', value: start});
  const told = h('div', {role: 'status', 'aria-live': 'polite'});
  let base = now;

  function fail(error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.mistakes.length) {
      replace(told, h('div', {class: 'told bad'}, error.message));
      return;
    }
    replace(told, h('div', {class: 'told bad'}, h('strong', {}, `${plural(error.mistakes.length, 'mistake')}; nothing was changed.`),
      h('ol', {class: 'findings'}, error.mistakes.map((one) => h('li', {}, one.message, ' ', button(`line ${one.line}, column ${one.column}`, () => {
        const at = offsetOf(area.value, one.line, one.column);
        area.focus();
        area.setSelectionRange(at, at + 1);
        area.scrollTop = Math.max(0, (one.line - 6) * (area.scrollHeight / area.value.split('\n').length));
      }, {class: 'link'}))))));
  }

  async function plan() {
    replace(told);
    const who = await askWho();
    if (who === undefined) return;
    try {
      const operation = await send('POST', `/plans${query({as: who})}`, area.value);
      replace(desk, card(operation, place.signal));
      say('The plan is being made');
    } catch (error) {
      fail(error);
    }
  }

  function review() {
    replace(told);
    const name = nameIn(area.value);
    if (!name) {
      replace(told, h('div', {class: 'told bad'}, 'Begin with `collection:` and its name.'));
      return;
    }
    const why = h('input', {type: 'text', maxlength: 2000, autocomplete: 'off'});
    const apply = needs('define', button('Apply', async () => {
      const who = await askWho();
      if (who === undefined) return;
      apply.disabled = true;
      try {
        const outcome = await send('PUT', `${path(name)}${query({as: who, reason: why.value.trim(), replaces: base?.name === name ? base.position : null})}`, area.value);
        await collections({again: true}).catch(() => []);
        say(outcome.result === 'already_so' ? 'It was in force already' : outcome.result === 'pending' ? 'It is in the log, and not yet in force' : 'It is in force');
        await applied(name);
      } catch (error) {
        apply.disabled = false;
        if (error instanceof Problem && error.kind === 'definition-replaced') await others(name);
        else fail(error);
      }
    }, {class: 'main'}));
    replace(desk, h('section', {class: 'card'}, h('h2', {}, base ? 'What changes' : `A new collection: ${name}`), difference(base?.text ?? '', area.value),
      field('Reason', why, 'For those who read the history.'),
      h('p', {class: 'actions'}, button('Leave it', () => replace(desk)), apply)));
    why.focus();
  }

  // Others came between: what the text is compared with is now theirs; the text stays.
  async function others(name) {
    const [found, past] = await Promise.all([get(path(name), place.signal).catch(() => null), get(`${path(name)}/definitions?limit=20`, place.signal).catch(() => ({items: []}))]);
    base = found ?? {name, position: past.items[0]?.position ?? 0, text: ''};
    const latest = past.items.find((one) => one.result === 'done') ?? null;
    replace(told, h('div', {class: 'told bad'}, h('strong', {}, 'Others came between. '),
      latest ? `${shown(latest.who)} ${latest.action === 'drop' ? 'dropped it' : 'applied a definition'} at position ${number(latest.position)}${latest.why ? ` (“${shown(latest.why)}”)` : ''}. ` : '',
      'Nothing was changed. Look at the difference from theirs, then apply again.'));
    replace(desk, h('section', {class: 'card'}, h('h2', {}, 'Theirs and yours'), difference(base.text, area.value), h('p', {class: 'actions'}, button('Go on with mine', review, {class: 'main'}))));
  }

  return h('section', {}, h('h2', {}, now ? 'Edit' : 'A new collection'),
    field('The definition, in YAML', area, 'Schema, key, rules and tests, in one text.', numbered(area)),
    told,
    h('p', {class: 'actions left'}, needs('define', button('Plan', plan)), needs('define', button('Apply …', review, {class: 'main'})),
      h('span', {class: 'soft'}, 'A plan says what it would make of history, and changes nothing.')));
}
