// One dead letter: what is wrong, where, what was decided about it; and deciding.

import {button, h, replace, say, table} from '../dom.js';
import {get, post, Problem, query} from '../api.js';
import {a, badge, by, documentLink, documentPath, number, plural, pointer, reason, shown, since, source, time, words} from '../format.js';
import {needs} from '../rights.js';
import {collections, named, oneOf, several} from '../collections.js';
import {askWho, form} from '../dialog.js';
import {payloadView} from '../payload.js';
import {mender} from '../mend.js';

const ACTIONS = {retry: 'Retried', discard: 'Discarded', reopen: 'Reopened', note: 'Note', resubmit: 'Edited and resubmitted'};
const RESULTS = {done: '', still_failing: 'failed again', already_so: 'it was so already', too_late: 'too late: it was no longer open'};

export async function view(place) {
  const [id] = place.params;
  let letter;
  try {
    [letter] = await Promise.all([get(`/dead-letters/${id}`, place.signal), collections().catch(() => [])]);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    place.show(`No letter ${id}`, h('h1', {}, `There is no dead letter ${id}`), h('p', {class: 'lead'}, 'The message at this position was accepted, or there is none yet.'), await row(id, place.signal));
    return;
  }
  const answer = h('div', {class: 'answer', role: 'status', 'aria-live': 'polite'});
  draw(place, letter, answer);
}

// What became of an inbox row that is no dead letter.
async function row(id, signal) {
  try {
    const found = await get(`/inbox/${id}`, signal);
    return h('p', {}, `Position ${id} of the inbox is a ${found.fate.replaceAll('_', ' ')}, received `, time(found.received_at), '.');
  } catch {
    return h('p', {}, h('a', {href: '/groups'}, 'All dead letters'));
  }
}

function draw(place, letter, answer) {
  const payload = payloadView(letter);
  const desk = h('div', {class: 'desk'});
  const again = async () => draw({...place, moved: false}, await get(`/dead-letters/${letter.id}`, place.signal), answer);
  place.show(`Letter ${letter.id}`,
    h('p', {class: 'crumbs'}, h('a', {href: '/groups'}, 'Dead letters'), ' / ', h('a', {href: `/letters?fingerprint=${letter.fingerprint}`}, 'like this one')),
    h('h1', {}, shown(letter.message, 160)),
    h('p', {class: 'lead'}, badge(letter.state), ' ', badge('calm', reason(letter.reason)), ' ', h('code', {}, pointer(letter.pointer)), ` · letter ${letter.id}`),
    answer,
    deciding(place, letter, payload, desk, answer, again),
    desk,
    h('div', {class: 'letter'},
      h('div', {},
        h('section', {class: 'mistakes'}, h('h2', {}, letter.violations.length > 1 ? `${letter.violations.length} mistakes` : 'The mistake'), payload.findings),
        h('section', {}, h('h2', {}, 'The message'), payload.element),
        letter.differences.length ? differences(letter) : null),
      h('aside', {'aria-label': 'About this letter'}, about(letter), h('h2', {}, 'History'), history(letter))));
}

function about(letter) {
  const link = (rel) => letter.links.find((one) => one.rel === rel)?.href.split('/').pop();
  const pairs = [
    ['Collection', several() && h('a', {href: `/letters${query({collection: letter.collection})}`}, named(letter.collection).title)],
    [words(oneOf(letter.collection)), letter.key ? documentLink(letter.collection, letter.key) : h('span', {class: 'soft'}, 'no id could be read')],
    ['From', source(letter.source)],
    ['Received', time(letter.received_at)],
    ['Judged', [plural(letter.attempts, 'time'), letter.attempts > 1 ? [', last ', since(letter.last_failed_at)] : null]],
    ['Tried again by itself', letter.next_attempt_at && since(letter.next_attempt_at)],
    ['Replaced by', letter.replaced_by && h('a', {href: letter.key ? documentPath(letter.collection, letter.key) : `/letters/${letter.replaced_by}`}, `position ${letter.replaced_by}`)],
    ['Edited from', link('origin') && h('a', {href: `/letters/${link('origin')}`}, `letter ${link('origin')}`)],
  ];
  return h('dl', {class: 'facts stacked'}, pairs.filter(([, value]) => value).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

function history(letter) {
  const events = [h('li', {}, h('strong', {}, 'Received, and rejected'), h('span', {class: 'under'}, time(letter.first_failed_at)))];
  for (const one of letter.decisions) {
    events.push(h('li', {class: one.result === 'done' ? null : 'calm'},
      h('strong', {}, ACTIONS[one.action] ?? one.action), RESULTS[one.result] ? h('span', {}, ` – ${RESULTS[one.result]}`) : null,
      one.why ? h('p', {class: 'quote'}, one.why) : null,
      h('span', {class: 'under'}, by(one), ' · ', time(one.at), one.operation ? [' · ', h('a', {href: `/operations/${one.operation}`}, `operation ${one.operation}`)] : null)));
  }
  return h('ol', {class: 'history'}, events.reverse());
}

function differences(letter) {
  const one = oneOf(letter.collection);
  return h('section', {}, h('h2', {}, `Where it differs from the ${one}`), table(`Where it differs from the ${one} that has its id`, [
    {label: 'Field', cell: (two) => h('code', {}, pointer(two.pointer))},
    {label: `The ${one}`, class: 'values', cell: (two) => shown(JSON.stringify(two.document, big))},
    {label: 'This letter', class: 'values', cell: (two) => shown(JSON.stringify(two.letter, big))},
  ], letter.differences));
}

const big = (_, value) => (typeof value === 'bigint' ? String(value) : value);

function deciding(place, letter, payload, desk, answer, again) {
  const tell = (kind, ...content) => {
    replace(answer, h('div', {class: `told ${kind}`}, content));
    say(answer.textContent);
  };
  // Somebody else was first: say what, and show the letter as it is now.
  const late = async (problem) => {
    const now = await get(`/dead-letters/${letter.id}`, place.signal);
    const last = now.decisions.findLast((one) => one.result === 'done' && one.action !== 'note');
    tell('bad', h('strong', {}, 'Somebody decided first. '),
      last ? [`${last.who}: ${(ACTIONS[last.action] ?? last.action).toLowerCase()}`, last.why ? ` (“${shown(last.why)}”)` : '', ', ', since(last.at), '. '] : `${problem.message} `, 'Nothing of yours was changed; this is the letter as it is now.');
    await again();
  };
  const decide = async (action, request, done) => {
    const who = await askWho();
    if (who === undefined) return;
    try {
      const outcome = await post(`/dead-letters/${letter.id}/${action}`, {as: who, reason: '', ...request});
      done(outcome);
      await again();
    } catch (error) {
      if (error instanceof Problem && error.status === 409) await late(error);
      else tell('bad', error.message);
    }
  };
  const pending = (outcome) => outcome.result === 'pending' && (tell('wait', 'It is in the log, and not yet projected. The result appears here once it is.'), true);
  const one = oneOf(letter.collection);
  const home = (outcome, uid) => {
    if (pending(outcome)) return;
    if (outcome.result === 'still_failing') tell('bad', h('strong', {}, 'It fails again. '), 'The verdict below is the new one.');
    else if (outcome.fate === 'document') tell('good', h('strong', {}, `It is ${a(one)} now. `), uid ? h('a', {href: documentPath(letter.collection, uid)}, `${words(one)} ${shown(uid, 60)}`) : '');
    else if (outcome.fate === 'duplicate') tell('good', h('strong', {}, 'It is a duplicate. '), `The ${one} was there already: `, uid ? h('a', {href: documentPath(letter.collection, uid)}, `${one} ${shown(uid, 60)}`) : '');
    else if (outcome.fate === 'superseded') tell('good', h('strong', {}, 'It is kept, and changes nothing. '), 'Something newer is there: ', uid ? h('a', {href: documentPath(letter.collection, uid)}, `${one} ${shown(uid, 60)}`) : '');
    else if (outcome.fate === 'dead_letter') tell('bad', h('strong', {}, 'It was rejected again. '), h('a', {href: `/letters/${outcome.position}`}, `Letter ${outcome.position}`), ' stands in its place.');
    else tell('good', outcome.result === 'already_so' ? 'It was so already.' : 'Done.');
  };
  const reasoned = async (title, text, go, danger) => (await form(title, {text, go, danger, fields: [{name: 'reason', label: 'Reason', long: true, required: true}]}))?.reason;

  const note = needs('decide', button('Note', async () => {
    const text = await reasoned('Write a note', 'For whoever reads this letter next.', 'Write it');
    if (text) await decide('notes', {reason: text}, () => tell('good', 'Noted.'));
  }));
  if (letter.state === 'replaced') return h('p', {class: 'actions left'}, h('span', {class: 'soft'}, 'It was replaced: nothing is left to decide.'), note);
  if (letter.state === 'discarded') {
    return h('p', {class: 'actions left'}, needs('decide', button('Reopen', () => decide('reopen', {}, (outcome) => {
      if (outcome.result === 'done' && outcome.fate === 'decision') tell('good', 'It is open again.');
      else if (outcome.result === 'still_failing') tell('good', 'It is open again: judged anew, and still failing.');
      else home(outcome, letter.key);
    }), {class: 'main'})), note);
  }
  const edit = needs('decide', button('Edit and resubmit', async () => {
    const box = await mender(letter, payload, {
      signal: place.signal,
      leave: () => { replace(desk); edit.focus(); },
      late,
      done: async (outcome, uid) => { home(outcome, uid); await again(); },
    });
    replace(desk, box);
    desk.querySelector('textarea').focus();
  }, {class: 'main'}));
  return h('p', {class: 'actions left'}, edit,
    needs('decide', button('Retry', () => decide('retry', {}, (outcome) => home(outcome, letter.key)))),
    needs('decide', button('Discard …', async () => {
      const text = await reasoned('Discard this letter?', 'It is let go, and never lost: it stays here, and can be reopened.', 'Discard it', true);
      if (text) await decide('discard', {reason: text}, () => tell('good', 'Discarded. It can be reopened.'));
    })), note, letter.attempts > 1 ? h('span', {class: 'soft'}, `judged ${number(letter.attempts)} times`) : null);
}
