// A text area with the numbers of its lines beside it: what is said of a place names its line.

import {h} from './dom.js';

export function numbered(area) {
  const numbers = h('pre', {class: 'gutter', 'aria-hidden': 'true'});
  let lines = 0;
  const count = () => {
    const now = area.value.split('\n').length;
    if (now === lines) return;
    lines = now;
    numbers.textContent = Array.from({length: lines}, (_, index) => index + 1).join('\n');
  };
  const follow = () => { numbers.scrollTop = area.scrollTop; };
  area.addEventListener('input', () => {
    count();
    follow();
  });
  area.addEventListener('scroll', follow, {passive: true});
  count();
  const box = h('div', {class: 'numbered'}, numbers, area);
  // For who sets the value himself: no event tells of that.
  box.count = count;
  return box;
}
