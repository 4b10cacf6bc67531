// Rules: those in force and before, and new ones, checked against what came before they are applied.

import {button, field, h, replace, say, select} from '../dom.js';
import {get, Problem, query, send} from '../api.js';
import {badge, by, number, plural, shown, time} from '../format.js';
import {needs} from '../rights.js';
import {askWho} from '../dialog.js';
import {difference} from '../diff.js';
import {numbered} from '../editor.js';
import {offsetOf} from '../json.js';
import {card} from '../operation.js';
import {live} from '../live.js';

const EXAMPLE = `- id: amount_adds_up
  message: The amount must be the goods, the delivery and the customs' fee together.
  field: payment.amount
  rule: >-
    order.payment.amount ==
    order.payment.goods_total + order.payment.delivery_cost + order.payment.custom_fee
`;
const RECENT = [['1000', 'The last 1,000 messages'], ['10000', 'The last 10,000 messages'], ['', 'All of history']];

export async function view(place) {
  const [now, past] = await Promise.all([get('/rules', place.signal), get('/rules/history?limit=50', place.signal)]);
  const desk = h('div', {});
  const none = !now.text || now.text.trim() === '[]';
  place.show('Rules', h('h1', {}, 'Rules'),
    h('p', {class: 'lead'}, 'Stricter checks of your own. They judge what comes from now on; an order stays an order.'),
    h('div', {class: 'two'}, h('section', {}, h('h2', {}, 'In force'),
      none ? h('p', {class: 'empty'}, 'No rules: the built-in checks alone decide.') : [
        h('p', {class: 'soft'}, `From position ${number(now.position)} on · ${now.hash.slice(0, 12)}`),
        h('pre', {class: 'code wrapped', tabindex: 0, role: 'region', 'aria-label': 'The rules in force'}, now.text)]),
    editor(place, now, desk)),
    desk,
    h('section', {}, h('h2', {}, 'History'), past.items.length ? h('ol', {class: 'history wide'}, past.items.map((one) => entry(one, now))) : h('p', {class: 'empty'}, 'None were ever applied.')));
}

function entry(one, now) {
  const force = one.position === now.position;
  return h('li', {class: force ? null : 'calm'}, h('strong', {}, one.result === 'done' ? `In force from position ${number(one.position)} on` : `Position ${number(one.position)}`), ' ',
    force ? badge('done', 'now') : one.result === 'done' ? null : badge(one.result), one.why ? h('p', {class: 'quote'}, one.why) : null,
    h('span', {class: 'under'}, by(one), ' · ', time(one.at), ' · ', one.hash.slice(0, 12)),
    h('details', {}, h('summary', {}, 'Text'), h('pre', {class: 'code', tabindex: 0, role: 'region', 'aria-label': `Rules of position ${one.position}`}, one.text)));
}

function editor(place, now, desk) {
  const area = h('textarea', {class: 'code editor', rows: 20, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'none', wrap: 'off', value: now.text || EXAMPLE});
  const recent = select(RECENT, '10000');
  const told = h('div', {role: 'status', 'aria-live': 'polite'});
  let base = now;

  function fail(error) {
    if (!(error instanceof Problem)) throw error;
    if (error.mistakes.length) {
      replace(told, h('div', {class: 'told bad'}, h('strong', {}, `${plural(error.mistakes.length, 'mistake')}; nothing was changed.`),
        h('ol', {class: 'findings'}, error.mistakes.map((one) => h('li', {}, one.message, ' ', button(`line ${one.line}, column ${one.column}`, () => {
          const at = offsetOf(area.value, one.line, one.column);
          area.focus();
          area.setSelectionRange(at, at + 1);
        }, {class: 'link'}))))));
    } else {
      replace(told, h('div', {class: 'told bad'}, error.message));
    }
  }

  async function check() {
    replace(told);
    const who = await askWho();
    if (who === undefined) return;
    const head = Number(live.stats?.messages ?? 0) + Number(live.stats?.decisions ?? 0);
    const from = recent.value && head ? Math.max(1, head - Number(recent.value) + 1) : null;
    try {
      const operation = await send('POST', `/rules/check${query({from, as: who})}`, area.value);
      replace(desk, card(operation, place.signal));
      say('The check has begun');
    } catch (error) {
      fail(error);
    }
  }

  async function apply() {
    replace(told);
    const why = h('input', {type: 'text', maxlength: 2000, autocomplete: 'off'});
    replace(desk, h('section', {class: 'card'}, h('h2', {}, 'What changes'), difference(base.text, area.value), field('Reason', why, 'For those who read the history.'),
      h('p', {class: 'actions'}, button('Leave it', () => replace(desk)), needs('define', button('Apply', async () => {
        const who = await askWho();
        if (who === undefined) return;
        try {
          const outcome = await send('PUT', `/rules${query({as: who, reason: why.value.trim()})}${`&replaces=${base.hash}`}`, area.value);
          await view({...place, moved: false});
          say(outcome.result === 'already_so' ? 'These rules were in force already' : 'The rules are in force');
        } catch (error) {
          if (error instanceof Problem && error.status === 409) await others();
          else fail(error);
        }
      }, {class: 'main'})))));
    why.focus();
  }

  // Others came between: what the text is compared with is now theirs; the text stays.
  async function others() {
    base = await get('/rules', place.signal);
    const [latest] = (await get('/rules/history?limit=1', place.signal)).items;
    replace(told, h('div', {class: 'told bad'}, h('strong', {}, 'Others came between. '), latest ? `${shown(latest.who)} applied rules at position ${latest.position}${latest.why ? ` (“${shown(latest.why)}”)` : ''}. ` : '', 'Nothing was changed. Look at the difference from theirs, then apply again.'));
    apply2();
  }
  const apply2 = () => replace(desk, h('section', {class: 'card'}, h('h2', {}, 'Theirs and yours'), difference(base.text, area.value), h('p', {class: 'actions'}, button('Go on with mine', apply, {class: 'main'}))));

  return h('section', {}, h('h2', {}, 'Edit'),
    field('The new rules, in YAML', area, 'A list of rules, each with id, message, field and rule; [] for none.', numbered(area)),
    told,
    h('div', {class: 'filters'}, field('Check against', recent), needs('define', button('Check', check)), needs('define', button('Apply …', apply, {class: 'main'}))));
}
