// One decision about a whole set: tried first, then done, watched, paused, cancelled.

import {button, field, h, replace, select} from './dom.js';
import {post} from './api.js';
import {askWho} from './dialog.js';
import {card} from './operation.js';
import {needs} from './rights.js';

const ACTIONS = [['retry', 'Retry'], ['discard', 'Discard'], ['reopen', 'Reopen'], ['note', 'Write a note']];

// set(): {filter, all, words}, asked at the moment of the click.
export function bulk(set, signal) {
  const action = select(ACTIONS, 'retry');
  const why = h('input', {type: 'text', maxlength: 2000, autocomplete: 'off'});
  const rate = h('input', {type: 'number', min: 1, max: 100000, inputmode: 'numeric', placeholder: 'as fast as it goes'});
  const stop = h('input', {type: 'number', min: 0, max: 100, inputmode: 'numeric', placeholder: 'never'});
  const wrong = h('p', {class: 'wrong', role: 'alert', hidden: true});
  const words = h('p', {class: 'lead'});
  const below = h('div', {});

  async function start(dryRun) {
    wrong.hidden = true;
    const {filter, all} = set();
    if (!dryRun && ['discard', 'note'].includes(action.value) && !why.value.trim()) {
      why.focus();
      return fail('A discard and a note need a reason.');
    }
    const who = await askWho();
    if (who === undefined) return undefined;
    try {
      const request = {action: action.value, filter, all, dry_run: dryRun, as: who, reason: why.value.trim()};
      if (rate.value) request.rate = Number(rate.value);
      if (stop.value) request.stop_share = Number(stop.value) / 100;
      const operation = await post('/dead-letters/batch', request);
      const shown = card(operation, signal, (ended) => (dryRun && ended.state === 'done'
        ? tried(ended)
        : h('p', {class: 'soft'}, h('a', {href: location.pathname + location.search}, 'Show the list anew'))));
      replace(below, shown);
      shown.tabIndex = -1;
      shown.focus();
    } catch (error) {
      fail(error.message);
    }
    return undefined;
  }

  // After a dry run, doing it is the next thing; unless it would change nothing.
  function tried({outcome}) {
    const {would_pass: pass = 0, would_be_duplicate: same = 0, would_do: done = 0} = outcome?.results ?? {};
    const useful = pass + same + done > 0;
    first.classList.toggle('main', !useful);
    return h('p', {class: 'actions left'}, needs('decide', button('Now do it', () => start(false), {class: useful ? 'main' : null})),
      h('span', {class: 'soft'}, useful ? 'The set is taken anew at that moment.' : 'It would bring none of them home: mend them one by one, change the definition, or discard them.'));
  }

  const first = needs('decide', button('Dry run', () => start(true), {class: 'main'}));

  function fail(text) {
    wrong.hidden = false;
    wrong.textContent = text;
  }

  const box = h('section', {class: 'card bulk', 'aria-labelledby': 'bulk-title'},
    h('h2', {id: 'bulk-title'}, 'Decide about all of them'), words,
    h('div', {class: 'filters'}, field('What', action), field('Reason', why, 'Stands beside every decision.'), field('Letters a second, at most', rate), field('Stop when so many % fail again', stop)),
    wrong,
    h('p', {class: 'actions'}, first, needs('decide', button('Do it', () => start(false)))),
    below);
  box.refresh = () => replace(words, set().words);
  box.refresh();
  return box;
}
