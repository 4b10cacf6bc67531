// Mending a letter: edit its bytes, see at once what the checks say, see the difference, send.

import {button, field, h, replace, say} from './dom.js';
import {getBytes, Problem, query, send} from './api.js';
import {format, offsetOf, spanAt} from './json.js';
import {a, pointer} from './format.js';
import {collections, oneOf} from './collections.js';
import {askWho} from './dialog.js';
import {difference} from './diff.js';
import {numbered} from './editor.js';
import {needs} from './rights.js';

const PAUSE = 250;

// Resolves nothing: `done(outcome)` after it was sent, `late(problem)` where somebody else decided first.
export async function mender(letter, payload, {signal, done, late, leave}) {
  let original = payload.text;
  if (letter.payload_cut) original = new TextDecoder().decode(await getBytes(`/dead-letters/${letter.id}/payload`, signal));
  await collections().catch(() => []);
  const one = oneOf(letter.collection);
  const would = (key) => (key === null ? '' : `It would become ${one} ${key}.`);
  const tidy = /^\s*[[{]/.test(original) && !original.trim().includes('\n');
  const start = tidy ? format(original).text : original;

  const area = h('textarea', {
    class: 'code editor', id: 'editor', rows: 22, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'none', wrap: 'off',
    'aria-describedby': 'verdict', value: start,
  });
  const box = numbered(area);
  const verdict = h('div', {class: 'verdict', id: 'verdict', role: 'status', 'aria-live': 'polite'});
  const next = button('See the difference', review, {class: 'main'});
  const card = h('section', {class: 'card mend'});
  let judged = null;
  let asking = null;

  function caret(line, column) {
    const at = offsetOf(area.value, line, column);
    area.focus();
    area.setSelectionRange(...spanAt(area.value, at));
    // The browser scrolls to a caret only when something is typed: by hand, then.
    area.scrollTop = Math.max(0, (line - 6) * (area.scrollHeight / area.value.split('\n').length));
  }

  function tell(judgement) {
    judged = judgement;
    verdict.dataset.valid = String(judgement.valid);
    if (judgement.valid) {
      replace(verdict, h('strong', {}, `✓ This is ${a(one)}. `), would(judgement.key));
      return;
    }
    replace(verdict, h('strong', {}, `✗ Not yet ${a(one)}: ${judgement.violations.length} to mend. `),
      h('ol', {class: 'findings'}, judgement.violations.slice(0, 12).map((wrong) => h('li', {}, wrong.message, ' ',
        h('code', {}, pointer(wrong.pointer)), ' ', wrong.line ? button(`line ${wrong.line}, column ${wrong.column ?? 1}`, () => caret(wrong.line, wrong.column ?? 1), {class: 'link'}) : null))));
  }

  async function judge() {
    asking?.abort();
    asking = new AbortController();
    try {
      tell(await send('POST', `/collections/${encodeURIComponent(letter.collection)}/validate`, area.value, {key: null, signal: asking.signal}));
    } catch (error) {
      if (error.name === 'AbortError') return;
      judged = null;
      delete verdict.dataset.valid;
      replace(verdict, error.message);
    }
  }

  let timer = 0;
  area.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(judge, PAUSE);
  });
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) review();
  });

  function edit() {
    replace(card, h('h2', {}, 'Edit and resubmit'),
      h('p', {class: 'soft'}, 'The original stays as it is. What you send stands in its place, whatever becomes of it.'),
      field('The new message', area, null, box),
      verdict,
      h('p', {class: 'actions'},
        button('Format', () => { area.value = format(area.value).text; box.count(); judge(); }),
        h('span', {class: 'gap'}), button('Leave it', leave), next));
  }

  async function review() {
    clearTimeout(timer);
    await judge();
    const why = h('input', {type: 'text', id: 'why', maxlength: 2000, autocomplete: 'off', placeholder: 'Why, for those who read this later'});
    const failed = h('p', {class: 'wrong', role: 'alert', hidden: true});
    const sending = needs('decide', button('Send it', async () => {
      const who = await askWho();
      if (who === undefined) return;
      sending.disabled = true;
      failed.hidden = true;
      try {
        const outcome = await send('POST', `/dead-letters/${letter.id}/resubmit${query({as: who, reason: why.value.trim()})}`, area.value);
        done(outcome, judged?.key);
      } catch (error) {
        if (error instanceof Problem && error.status === 409) return late(error);
        sending.disabled = false;
        failed.hidden = false;
        failed.textContent = error.message;
      }
    }, {class: judged?.valid ? 'main' : 'main danger'}));
    replace(card, h('h2', {}, 'What you changed'),
      difference(start, area.value),
      judged?.valid
        ? h('p', {class: 'verdict', 'data-valid': 'true'}, h('strong', {}, `✓ This is ${a(one)}. `), would(judged.key))
        : h('p', {class: 'verdict', 'data-valid': 'false'}, h('strong', {}, `✗ Not yet ${a(one)}. `), 'Sent as it is, it becomes a new dead letter in place of this one.'),
      field('Reason', why), failed,
      h('p', {class: 'actions'}, button('Back to the text', () => { edit(); area.focus(); }), sending));
    say('The difference is shown');
    why.focus();
  }

  signal.addEventListener('abort', () => asking?.abort());
  edit();
  // The caret begins at the first mistake, unless somebody was quicker.
  judge().then(() => {
    const first = judged?.violations?.find((one) => one.line);
    if (first && document.activeElement === area && area.value === start) caret(first.line, first.column ?? 1);
  });
  return card;
}
