// Questions: the browser's own dialog, which keeps the focus and gives it back.

import {field, h, replace} from './dom.js';
import {me} from './session.js';

let count = 0;

// Resolves with what `close` was given; undefined when it was left.
export function open(title, content) {
  return new Promise((resolve) => {
    let answer;
    const id = `dialog-${++count}`;
    const dialog = h('dialog', {'aria-labelledby': id});
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    replace(dialog, h('h2', {id}, title), content(close));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// A form in a dialog: its fields' values by name, or undefined. `instead(close)` makes another way to answer; without `go`
// it is the only one.
export function form(title, {text, fields = [], go = 'Go on', danger = false, instead = () => null}) {
  return open(title, (close) => {
    const inputs = fields.map((one) => {
      const input = one.long ? h('textarea', {rows: 3}) : h('input', {type: one.secret ? 'password' : 'text', autocomplete: one.autocomplete ?? 'off'});
      input.name = one.name;
      input.value = one.value ?? '';
      input.required = Boolean(one.required);
      input.maxLength = 2000;
      return [one, input];
    });
    if (inputs.length) inputs[0][1].setAttribute('autofocus', '');
    return h('form', {
      on: {
        submit: (event) => {
          event.preventDefault();
          close(Object.fromEntries(inputs.map(([one, input]) => [one.name, input.value.trim()])));
        },
      },
    },
    text ? h('p', {}, text) : null,
    instead(close),
    inputs.map(([one, input]) => field(one.label, input, one.hint)),
    h('p', {class: 'actions'},
      h('button', {type: 'button', on: {click: () => close()}}, 'Leave it'),
      go ? h('button', {type: 'submit', class: danger ? 'main danger' : 'main'}, go) : null));
  });
}

const WHO = 'waybill.who';
let remembered = '';

export function knownWho() {
  try {
    return localStorage.getItem(WHO) ?? remembered;
  } catch {
    return remembered;
  }
}

// Asked once, then known; undefined when it was left. The empty text where the service knows it, and is told nothing.
export async function askWho(again = false) {
  if (me()?.proven) return '';
  if (knownWho() && !again) return knownWho();
  const answer = await form('Who decides?', {
    text: 'Your name stands beside every decision that you make here, for ever. It is asked once and kept in this browser.',
    fields: [{name: 'who', label: 'Your name', value: knownWho(), required: true, autocomplete: 'name', hint: 'Unproven: it is what you say.'}],
    go: 'That is me',
  });
  if (!answer?.who) return undefined;
  remembered = answer.who;
  try {
    localStorage.setItem(WHO, answer.who);
  } catch {
    // It holds for this page, then.
  }
  dispatchEvent(new Event('waybill:who'));
  return answer.who;
}
