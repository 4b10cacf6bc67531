// Who uses the page: asked of the service. Where it asks for a token, a dialog does; what is under it, an edit say, stays.

import {form} from './dialog.js';

let asking = null;
let known = null;

// As GET /me has it; null while it is not known.
export const me = () => known;

export function learned(answer) {
  known = answer;
  dispatchEvent(new Event('waybill:me'));
}

// One dialog for all who wait for it. True once somebody has signed in; false when it was left.
export function signIn() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

async function ask() {
  let text = 'This service asks who you are. Your token stays in this browser, out of the page’s reach, for twelve hours at most.';
  let name = known?.proven ? known.name : '';
  for (;;) {
    const answer = await form('Sign in', {
      text,
      fields: [{name: 'name', label: 'Name', value: name, required: true, autocomplete: 'username'},
        {name: 'token', label: 'Token', required: true, secret: true, autocomplete: 'current-password', hint: 'It begins with wb_'}],
      go: 'Sign in',
    });
    if (!answer) return false;
    name = answer.name;
    try {
      const response = await fetch('/api/v1/session', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(answer)});
      const body = await response.json();
      if (response.ok) {
        learned(body);
        return true;
      }
      text = body.detail;
    } catch {
      text = 'The service does not answer. Try again in a moment.';
    }
  }
}

export async function signOut() {
  await fetch('/api/v1/session', {method: 'DELETE'});
  location.assign('/');
}
