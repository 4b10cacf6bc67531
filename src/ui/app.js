// The frame around the views: state of the service, theme, who decides, search, keys.

import {all, aOne, atHand, collections, listPath, samePlace} from './collections.js';
import {connect, watch} from './live.js';
import {get} from './api.js';
import {askWho, knownWho} from './dialog.js';
import {learned, me, signOut} from './session.js';
import {go, start} from './router.js';
import {keys} from './keys.js';
import {h, replace} from './dom.js';

const byId = (id) => document.getElementById(id);

function state() {
  let shown = null;
  watch((live) => {
    const {stats, connection} = live;
    let kind = 'good';
    let text = 'All well';
    let notice = '';
    if (connection !== 'open') {
      kind = live.lost ? 'bad' : 'wait';
      text = live.lost ? 'No connection' : 'Connecting';
      if (live.lost) notice = 'The service does not answer. This page tries again every few seconds; what you see is from before.';
    } else if (stats?.database === 'away') {
      kind = 'bad';
      text = 'Database away';
      notice = 'Postgres is away. Documents in the cache still answer; messages wait at the broker and none is lost.';
    } else if (stats?.broker === 'away') {
      kind = 'wait';
      text = 'Broker away';
      notice = `The broker is away${stats.broker_problem ? `: ${stats.broker_problem}` : ''}. No new messages come in from it until it is back; the service keeps trying.`;
    } else if (!stats) {
      kind = 'wait';
      text = 'Connecting';
    } else if (!stats.cache_warm) {
      kind = 'wait';
      text = 'Warming up';
    }
    const key = kind + text + notice;
    if (key === shown) return;
    shown = key;
    byId('state').dataset.state = kind;
    byId('state-text').textContent = text;
    byId('notice').hidden = !notice;
    byId('notice').textContent = notice;
    if (stats) byId('version').textContent = stats.version;
  });
}

function theme() {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const dark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const label = () => byId('theme').setAttribute('aria-label', dark() ? 'Change to light' : 'Change to dark');
  byId('theme').addEventListener('click', () => {
    root.dataset.theme = dark() ? 'light' : 'dark';
    try {
      localStorage.setItem('waybill.theme', root.dataset.theme);
    } catch {
      // It holds for this page, then.
    }
    label();
  });
  system.addEventListener('change', label);
  label();
}

function who() {
  const show = () => {
    const proven = me()?.proven;
    byId('who').textContent = proven ? `${me().name}: sign out` : knownWho() ? `You decide as ${knownWho()}` : 'Say who you are';
    byId('audit').hidden = !me()?.rights.includes('admin');
    byId('who').title = proven ? `You may: ${me().rights.join(', ') || 'nothing'}` : '';
  };
  byId('who').addEventListener('click', async () => {
    if (me()?.proven) {
      await signOut();
      return;
    }
    await askWho(true);
    show();
  });
  addEventListener('waybill:who', show);
  addEventListener('waybill:me', show);
  show();
}

function search() {
  byId('quick').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = byId('quick-field').value.trim();
    if (text) go(`${listPath(atHand().name)}?q=${encodeURIComponent(text)}`);
    byId('quick-field').value = '';
  });
}

// The head speaks of the collection at hand. With one alone there is nothing to switch.
function head() {
  const choice = byId('collection');
  const show = () => {
    const {name, title} = atHand();
    const documents = byId('documents');
    // The switch says which.
    documents.textContent = all().length > 1 ? 'Documents' : title;
    documents.href = listPath(name);
    for (const id of ['quick-field', 'quick-label']) byId(id)[id === 'quick-field' ? 'placeholder' : 'textContent'] = `Find ${aOne(name)}`;
    choice.value = name;
  };
  addEventListener('waybill:moved', show);
  addEventListener('waybill:collections', () => {
    replace(choice, all().map((one) => h('option', {value: one.name}, one.title)));
    choice.hidden = all().length < 2;
    show();
  });
  // One that somebody has defined meanwhile.
  watch((_, {kind, document}) => {
    if (kind === 'document' && all().length && !all().some((one) => one.name === document.collection)) collections({again: true}).catch(() => []);
  });
  choice.addEventListener('change', () => go(samePlace(all().find((one) => one.name === choice.value))));
}

state();
theme();
who();
search();
head();
keys();
start();
get('/me').then(learned, () => {}).finally(() => {
  connect();
  collections().catch(() => {
    // Whoever needs them asks again, and says why it cannot be.
  });
});
