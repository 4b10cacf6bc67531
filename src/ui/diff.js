// What differs between two texts, line by line.

import {h} from './dom.js';
import {plural} from './format.js';

const LARGEST = 4_000_000;

// [['same' | 'gone' | 'new', line], …]
export function compare(before, after) {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const [x, y] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  return [
    ...a.slice(0, head).map((line) => ['same', line]),
    ...(x.length * y.length > LARGEST ? [...x.map((line) => ['gone', line]), ...y.map((line) => ['new', line])] : longest(x, y)),
    ...a.slice(a.length - tail).map((line) => ['same', line]),
  ];
}

// By the longest common subsequence.
function longest(x, y) {
  const width = y.length + 1;
  const lengths = new Uint32Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i -= 1) {
    for (let j = y.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = x[i] === y[j] ? lengths[(i + 1) * width + j + 1] + 1 : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < x.length && j < y.length) {
    if (x[i] === y[j]) {
      found.push(['same', x[i]]);
      i += 1;
      j += 1;
    } else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
      found.push(['gone', x[i]]);
      i += 1;
    } else {
      found.push(['new', y[j]]);
      j += 1;
    }
  }
  return [...found, ...x.slice(i).map((line) => ['gone', line]), ...y.slice(j).map((line) => ['new', line])];
}

const AROUND = 2;
const SIGNS = {same: ' ', gone: '−', new: '+'};
const WORDS = {gone: 'removed: ', new: 'added: '};

// The differing lines and a few around them.
export function difference(before, after) {
  const lines = compare(before, after);
  const near = new Set();
  lines.forEach(([kind], index) => {
    if (kind === 'same') return;
    for (let at = index - AROUND; at <= index + AROUND; at += 1) near.add(at);
  });
  if (!near.size) return h('p', {class: 'soft'}, 'Nothing was changed.');
  const shown = [];
  let left = 0;
  const cut = () => {
    if (left) shown.push(h('span', {class: 'line cut'}, `⋯ ${plural(left, 'line')} as before`));
    left = 0;
  };
  lines.forEach(([kind, text], index) => {
    if (!near.has(index)) {
      left += 1;
      return;
    }
    cut();
    const tag = {gone: 'del', new: 'ins', same: 'span'}[kind];
    shown.push(h(tag, {class: `line ${kind}`}, h('span', {class: 'sign', 'aria-hidden': 'true'}, SIGNS[kind]), WORDS[kind] ? h('span', {class: 'hidden'}, WORDS[kind]) : null, text));
  });
  cut();
  return h('div', {class: 'code diff', tabindex: 0, role: 'region', 'aria-label': 'The difference'}, shown);
}
