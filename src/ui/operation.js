// Long work as the page shows it: a bar, what it does, pause, resume, cancel, and how it ended.

import {button, h, replace, table} from './dom.js';
import {get, post, query} from './api.js';
import {needs} from './rights.js';
import {me} from './session.js';
import {badge, number, plural, pointer, reason, since, source, time} from './format.js';
import {planned} from './plan.js';

export const over = (operation) => ['done', 'failed', 'cancelled', 'stopped'].includes(operation.state);

const VERBS = {retry: 'Retry', discard: 'Discard', reopen: 'Reopen', note: 'Write a note on'};

// In a sentence: "Retry the letters with reason schema".
export function sentence({kind, request}) {
  if (kind === 'replay') return 'Fold the log again';
  if (kind === 'plan') return `See what a definition${named(request.definition)} would make of history`;
  if (kind === 'refresh') return `By itself: write the documents of ${request.collection} anew, as their definition says`;
  if (kind === 'index') return `By itself: build the index of ${request.collection} on ${pointer(request.pointer)}`;
  if (kind === 'rules_check') return 'Check rules against history';
  if (kind !== 'bulk') return kind;
  if (request.only_changed) return 'By itself: retry letters that older checks or definitions judged';
  const {state, ids, ...others} = request.filter ?? {};
  const parts = Object.entries(others).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => (PARTS[name] ?? ((text) => `${name} ${text}`))(value));
  const letters = ids ? plural(ids.length, 'chosen letter') : `${parts.length ? '' : 'all '}${state ? `${state} ` : ''}letters`;
  const what = `${VERBS[request.action] ?? request.action} ${letters}${parts.length ? `: ${parts.join(', ')}` : ''}`;
  return request.dry_run ? `Dry run: ${what[0].toLowerCase()}${what.slice(1)}` : what;
}

const named = (text) => {
  const name = /^collection:\s*([a-z]\w*)/m.exec(text ?? '')?.[1];
  return name ? ` of ${name}` : '';
};

const PARTS = {
  reason,
  fingerprint: () => 'one group',
  code: (code) => code.replaceAll('_', ' '),
  key: (key) => `with the key ${key}`,
  collection: (name) => `of ${name}`,
  source: (name) => `from ${source(name)}`,
  since: (at) => `since ${at}`,
  until: (at) => `until ${at}`,
  from: (position) => `from position ${number(position)}`,
  to: (position) => `to position ${number(position)}`,
  text: (text) => `with “${text}”`,
};

// The letters that were asked about, as they are now.
function letters({kind, request}) {
  if (kind !== 'bulk' || request.only_changed || request.filter?.ids) return null;
  const {filter = {}} = request;
  return h('a', {href: `/letters${query({...filter, state: filter.state ?? 'any'})}`}, 'the letters, as they are now');
}

export function progress(operation) {
  const {done, total, progress: told, kind} = operation;
  let [value, top] = [done, total];
  if (kind === 'plan') [value, top] = [told?.position ?? 0, told?.target ?? 0];
  if (kind === 'replay' && !top) [value, top] = [told?.position ?? told?.done ?? 0, told?.target ?? told?.total ?? 0];
  if (over(operation) && operation.state === 'done') [value, top] = [1, 1];
  return h('progress', {max: top || 1, value: over(operation) && !top ? 1 : value, 'aria-label': `Progress of operation ${operation.id}`});
}

function left(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '';
  if (seconds < 90) return ` · ${plural(Math.max(1, Math.round(seconds)), 'second')} left`;
  return ` · ${plural(Math.round(seconds / 60), 'minute')} left`;
}

// `from`: {done, at} of the first look, to tell how long it takes yet.
function counted({kind, done, total, failed, progress: told, request, state, outcome: ended}, from) {
  const running = state === 'running';
  if (kind === 'plan') return `${plural(told?.messages_checked ?? 0, 'message')} and ${plural(told?.letters_checked ?? 0, 'open letter')} looked at`;
  if (kind === 'refresh') return `${plural(told?.changed ?? ended?.changed ?? 0, 'document')} written anew`;
  if (kind === 'index' || kind === 'rules_check') return '';
  if (kind === 'replay') {
    if (ended?.position) return `Folded again up to position ${number(ended.position)}; no fate changed.`;
    return told?.position ? `position ${number(told.position)}${told.target ? ` of ${number(told.target)}` : ''}${running ? left(told.seconds_left) : ''}` : '';
  }
  const pace = from && done > from.done ? (done - from.done) / (Date.now() - from.at) : null;
  return `${number(done)} of ${number(total)}${failed && !request.dry_run ? `, ${number(failed)} failed again` : ''}${running && pace ? left((total - done) / pace / 1000) : ''}`;
}

export function controls(operation, changed) {
  const act = (what) => async (event) => {
    event.target.disabled = true;
    try {
      changed(await post(`/operations/${operation.id}/${what}`));
    } catch (error) {
      changed(await get(`/operations/${operation.id}`), error);
    }
  };
  if (over(operation)) return [];
  // One's own are steered with the right that they were asked for with.
  const own = operation.asked_by === me()?.name;
  return [operation.state === 'paused' ? button('Resume', act('resume')) : button('Pause', act('pause')), button('Cancel', act('cancel'))]
    .map((element) => own ? element : needs('operate', element));
}

// Asks until it is over; the interval grows with patience.
export async function follow(id, signal, tell) {
  for (;;) {
    let operation = null;
    try {
      operation = await get(`/operations/${id}`, signal);
      tell(operation);
    } catch (error) {
      if (signal.aborted) return null;
    }
    if (operation && over(operation)) return operation;
    await new Promise((done) => setTimeout(done, 500));
    if (signal.aborted) return null;
  }
}

// A card that follows one operation until its end. `ended(operation)` may add to it.
export function card(first, signal, ended = () => null, {alone = false} = {}) {
  const from = {done: first.done, at: Date.now()};
  const box = h('section', {class: 'card operation', 'aria-label': `Operation ${first.id}`});
  const draw = (operation, error) => {
    const more = over(operation) ? ended(operation) : null;
    replace(box,
      h('div', {class: 'toolbar'}, badge(operation.state), alone ? null : h('strong', {}, sentence(operation)), h('span', {class: 'gap'}), controls(operation, draw), alone ? null : h('a', {class: 'button', href: `/operations/${operation.id}`}, `Operation ${operation.id}`)),
      progress(operation),
      h('p', {class: 'soft', role: 'status'}, counted(operation, from)),
      error ? h('p', {class: 'wrong', role: 'alert'}, error.message) : null,
      over(operation) ? outcome(operation) : null,
      more);
  };
  draw(first);
  follow(first.id, signal, draw);
  return box;
}

const RESULTS = {
  done: 'done', still_failing: 'still failing', already_so: 'already so', too_late: 'decided by somebody else meanwhile',
  would_pass: 'would pass', would_be_duplicate: 'would be a duplicate', would_fail: 'would fail again', would_do: 'would be done', would_be_too_late: 'no longer open',
  unchanged: 'as before',
};

export function outcome(operation) {
  const ended = operation.outcome;
  if (!ended) return h('p', {class: 'soft'}, operation.state === 'cancelled' ? 'Cancelled. What was decided until then stays decided.' : '');
  if (operation.kind === 'bulk') return bulk(ended, operation);
  if (operation.kind === 'plan') return planned(ended);
  const fields = Object.entries(ended).filter(([name, value]) => typeof value !== 'object' && name !== 'position');
  if (!fields.length) return null;
  return h('dl', {class: 'facts'}, fields.map(([name, value]) => h('div', {}, h('dt', {}, name.replaceAll('_', ' ')), h('dd', {}, typeof value === 'number' ? number(value) : String(value)))));
}

function bulk({results = {}, failing = [], error}, operation) {
  return [
    h('ul', {class: 'results'}, Object.entries(results).map(([name, count]) => h('li', {}, h('strong', {}, number(count)), ` ${RESULTS[name] ?? name}`))),
    operation.state === 'stopped' ? h('p', {class: 'remark'}, 'It stopped by itself: too many failed again.') : null,
    error ? h('p', {class: 'wrong'}, String(error)) : null,
    failing.length ? table('What still fails', [
      {label: 'What is wrong', wide: true, cell: (one) => [h('span', {class: 'sentence'}, one.message), h('span', {class: 'under'}, h('code', {}, pointer(one.pointer ?? '')))]},
      {label: 'Letters', num: true, cell: (one) => number(one.count)},
      {label: 'One of them', cell: (one) => h('a', {href: `/letters/${one.sample}`}, `Letter ${one.sample}`)},
    ], failing, {titled: true}) : null,
  ];
}

export function facts(operation) {
  const pairs = [['Asked by', operation.asked_by], ['Why', operation.reason], ['Asked', time(operation.created_at)], ['Begun', operation.started_at && time(operation.started_at)],
    ['Ended', operation.finished_at && since(operation.finished_at)], ['Rate', operation.request?.rate && `${number(operation.request.rate)} a second, at most`],
    ['Stops', operation.request?.stop_share && `when ${number(operation.request.stop_share * 100)} % fail again`], ['Set', letters(operation)]];
  return h('dl', {class: 'facts'}, pairs.filter(([, value]) => value).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}
