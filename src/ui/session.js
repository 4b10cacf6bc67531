// Who uses the page: asked of the service. Where it asks for proof, a dialog does; what is under it, an edit say, stays.

import {form} from './dialog.js';
import {button, h} from './dom.js';

// Other windows of this page tell by it that somebody has signed in.
export const CHANNEL = 'waybill.signed-in';
const ELSEWHERE = 'elsewhere';
const TOKEN_FIELDS = [
  {name: 'name', label: 'Name', required: true, autocomplete: 'username'},
  {name: 'token', label: 'Token', required: true, secret: true, autocomplete: 'current-password', hint: 'It begins with wb_'},
];

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
  const ways = await waysToSignIn();
  let text = `This service asks who you are. ${ways.oidc ? 'What proves it' : 'Your token'} stays in this browser, out of the page’s reach, for twelve hours at most.`;
  let name = known?.proven ? known.name : '';
  for (;;) {
    const answer = await form('Sign in', {
      text,
      instead: (close) => (ways.oidc ? atIssuer(ways.oidc, close) : null),
      fields: ways.token ? TOKEN_FIELDS.map((one) => (one.name === 'name' ? {...one, value: name} : one)) : [],
      go: ways.token ? 'Sign in' : null,
    });
    if (!answer) return false;
    name = answer.name ?? name;
    try {
      const response = answer === ELSEWHERE ? await fetch('/api/v1/me')
        : await fetch('/api/v1/session', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(answer)});
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

async function waysToSignIn() {
  try {
    const response = await fetch('/api/v1/session');
    if (response.ok) return await response.json();
  } catch {
    // What was always there, then.
  }
  return {token: true, oidc: null};
}

// The issuer's page takes the place of this one, which comes back; but if somebody was signed in here, something may be under
// way, and another window goes there and closes itself.
function atIssuer(host, close) {
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener('message', () => {
    channel.close();
    close(ELSEWHERE);
  });
  const go = () => {
    if (known?.proven) open(`/sign-in/oidc?to=${encodeURIComponent('/ui/signed-in.html')}`);
    else location.assign(`/sign-in/oidc?to=${encodeURIComponent(location.pathname + location.search)}`);
  };
  return h('p', {class: 'actions left'}, button(`Sign in with ${host}`, go, {class: 'main'}));
}

export async function signOut() {
  await fetch('/api/v1/session', {method: 'DELETE'});
  location.assign('/');
}
