// The keyboard: / to search, arrows through a list, ? for help.

import {h} from './dom.js';
import {open} from './dialog.js';

function typing(element) {
  return element?.closest?.('input, textarea, select, [contenteditable]');
}

function searchField() {
  return document.getElementById('find-field') ?? document.getElementById('quick-field');
}

function walk(step) {
  const rows = [...document.querySelectorAll('[data-list] [data-row]')];
  if (!rows.length) return false;
  const here = document.activeElement?.closest?.('[data-list] tr');
  const index = here ? rows.findIndex((row) => here.contains(row)) : -1;
  const inSearch = document.activeElement === searchField();
  if (index < 0 && !inSearch && document.activeElement !== document.body && document.activeElement?.tagName !== 'H1' && document.activeElement?.id !== 'main') return false;
  if (index <= 0 && step < 0) {
    searchField()?.focus();
    return true;
  }
  const next = rows[Math.min(index + step, rows.length - 1)];
  next.focus();
  return true;
}

const KEYS = [
  ['/', 'Find a document'],
  ['↓ ↑', 'Through the rows of a list; Enter opens one'],
  ['Tab', 'Through all that can be used'],
  ['Esc', 'Close a dialog'],
  ['?', 'This help'],
];

export function help() {
  return open('Keyboard', (close) => [
    h('dl', {class: 'keys'}, KEYS.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
    h('p', {class: 'actions'}, h('button', {type: 'button', class: 'main', on: {click: () => close()}}, 'Close')),
  ]);
}

export function keys() {
  document.getElementById('help').addEventListener('click', help);
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      if (typing(event.target) && event.target !== searchField()) return;
      if (walk(event.key === 'ArrowDown' ? 1 : -1)) event.preventDefault();
      return;
    }
    if (typing(event.target)) return;
    if (event.key === '/') {
      event.preventDefault();
      searchField()?.focus();
      searchField()?.select();
    } else if (event.key === '?') {
      event.preventDefault();
      help();
    }
  });
}
