// A button that whoever uses the page may not press is there all the same, and says why: one knows then what to ask for.

import {h} from './dom.js';
import {me} from './session.js';

// `right` as in `decide`. While it is not known who asks, the button is like any other, and the service has the last word.
export function needs(right, button) {
  button.dataset.needs = right;
  show(button);
  return button;
}

function show(button) {
  const known = me();
  const {needs: right} = button.dataset;
  if (!known || known.rights.includes(right)) {
    button.removeAttribute('aria-disabled');
    button.removeAttribute('title');
    return;
  }
  // Not `disabled`: the keyboard would pass over it, and nobody would hear why.
  button.setAttribute('aria-disabled', 'true');
  button.title = `${known.name} may not do this: it needs the right ${right}. An owner can give it.`;
}

addEventListener('waybill:me', () => document.querySelectorAll('[data-needs]').forEach(show));

// Before the button's own listener, which is not to hear of it.
addEventListener('click', (event) => {
  const button = event.target.closest?.('[data-needs][aria-disabled="true"]');
  if (!button) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const row = button.closest('.actions, .filters, .steer') ?? button;
  if (row.nextElementSibling?.matches('.why-not')) row.nextElementSibling.textContent = button.title;
  else row.after(h('p', {class: 'hint why-not', role: 'status'}, button.title));
}, true);
