// Addresses to views. Each view is a module that is loaded when it is first needed.

import {h, replace, say} from './dom.js';
import {Problem} from './api.js';

const ROUTES = [
  [/^\/$/, () => import('./view/find.js')],
  [/^\/(orders)\/([^/]+)$/, () => import('./view/document.js')],
  [/^\/c\/([^/]+)$/, () => import('./view/find.js')],
  [/^\/c\/([^/]+)\/([^/]+)$/, () => import('./view/document.js')],
  [/^\/sums\/([^/]+)$/, () => import('./view/sums.js')],
  [/^\/sums\/([^/]+)\/([^/]+)$/, () => import('./view/sums.js')],
  [/^\/live$/, () => import('./view/stream.js')],
  [/^\/groups$/, () => import('./view/groups.js')],
  [/^\/letters$/, () => import('./view/letters.js')],
  [/^\/letters\/(\d+)$/, () => import('./view/letter.js')],
  [/^\/collections$/, () => import('./view/collections.js')],
  [/^\/collections\/([^/]+)$/, () => import('./view/definition.js')],
  [/^\/operations$/, () => import('./view/operations.js')],
  [/^\/operations\/(\d+)$/, () => import('./view/operations.js')],
  [/^\/account$/, () => import('./view/account.js')],
  [/^\/audit$/, () => import('./view/audit.js')],
];

const main = document.getElementById('main');
let leaving = new AbortController();

function find(path) {
  for (const [pattern, load] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return {load, params: match.slice(1).map(decode)};
  }
  return null;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function go(path, {replacing = false} = {}) {
  if (replacing) history.replaceState(null, '', path);
  else history.pushState(null, '', path);
  return show(true);
}

// Changes the address without leaving the view.
export function note(path) {
  history.replaceState(null, '', path);
}

async function show(moved) {
  leaving.abort();
  leaving = new AbortController();
  const {signal} = leaving;
  const found = find(location.pathname);
  current();
  const place = {
    params: found?.params ?? [],
    query: new URLSearchParams(location.search),
    signal,
    moved,
    // The whole view anew; the first time after a move it takes the focus, so that a screen reader begins there.
    show(title, ...children) {
      if (signal.aborted) return;
      document.title = title ? `${title} · Waybill` : 'Waybill';
      replace(main, ...children);
      if (place.moved) {
        place.moved = false;
        scrollTo(0, 0);
        const target = main.querySelector('[data-focus]') ?? main.querySelector('h1') ?? main;
        if (target.tagName === 'H1') target.tabIndex = -1;
        target.focus({preventScroll: true});
        say(title || 'Waybill');
      } else {
        main.querySelector('[data-focus]')?.focus({preventScroll: true});
      }
    },
  };
  if (!found) {
    place.show('Not here', h('h1', {}, 'There is nothing here'), h('p', {}, 'The address leads to no view. ', h('a', {href: '/'}, 'Begin anew'), ' instead.'));
    return;
  }
  try {
    const {view} = await found.load().catch(() => { throw new Problem(0, {detail: 'The service does not answer. It may be stopping or starting; this page tries again.'}); });
    if (!signal.aborted) await view(place);
  } catch (error) {
    if (signal.aborted || error.name === 'AbortError') return;
    failed(place, error);
  }
}

function failed(place, error) {
  if (!(error instanceof Problem)) console.error(error);
  const away = error instanceof Problem && error.away;
  place.show('Not now',
    h('h1', {}, away ? 'Not now' : 'This did not work'),
    h('p', {class: 'lead'}, error.message),
    h('p', {}, h('button', {type: 'button', class: 'main', on: {click: () => show(false)}}, 'Try again')));
  if (away) {
    const timer = setTimeout(() => show(false), 2500);
    place.signal.addEventListener('abort', () => clearTimeout(timer));
  }
}

function current() {
  const [, first] = location.pathname.split('/');
  dispatchEvent(new Event('waybill:moved'));
  const home = {'': 'documents', orders: 'documents', c: 'documents', sums: 'documents', letters: 'groups'}[first] ?? first;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.view === home) {
      link.setAttribute('aria-current', 'page');
      // On a phone they are one line, wider than it.
      link.parentElement.scrollLeft = link.offsetLeft - link.parentElement.clientWidth / 3;
    } else link.removeAttribute('aria-current');
  }
  document.body.dataset.view = !first || (first === 'c' && !location.pathname.split('/')[3]) ? 'find' : first;
}

export function start() {
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest('a[href]');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (link.getAttribute('href').startsWith('#')) return;
    if (!find(link.pathname)) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
  addEventListener('popstate', () => show(true));
  show(false);
}
