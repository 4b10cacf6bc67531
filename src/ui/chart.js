// Small charts: one line over time with what is under it, and bars. Drawn by hand into SVG.

import {svg} from './dom.js';

const WIDTH = 300;
const HEIGHT = 64;

function nice(top) {
  if (top <= 1) return 1;
  const step = 10 ** Math.floor(Math.log10(top));
  return [1, 2, 5, 10].map((factor) => factor * step).find((limit) => limit >= top);
}

// points: [ms, value or null], by time; a null is a gap. `least` is the lowest top, so that a one is not a peak.
export function line(label, least = 1) {
  const area = svg('path', {class: 'area'});
  const stroke = svg('path', {class: 'stroke', 'vector-effect': 'non-scaling-stroke'});
  const title = svg('title', {});
  const element = svg('svg', {class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label},
    title, svg('line', {class: 'base', x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, 'vector-effect': 'non-scaling-stroke'}), area, stroke);
  element.draw = (points, span = 300_000) => {
    const end = points.at(-1)?.[0] ?? 0;
    const shown = points.filter(([at]) => at > end - span);
    const top = nice(Math.max(...shown.map(([, value]) => value ?? 0), least));
    const x = (at) => (WIDTH * (1 - (end - at) / span)).toFixed(1);
    const y = (value) => (HEIGHT - 1 - (value / top) * (HEIGHT - 6)).toFixed(1);
    let path = '';
    let under = '';
    let run = [];
    const finish = () => {
      if (run.length) {
        const along = run.map(([at, value]) => `${x(at)} ${y(value)}`).join('L');
        path += `M${along}`;
        under += `M${x(run[0][0])} ${HEIGHT}L${along}L${x(run.at(-1)[0])} ${HEIGHT}Z`;
      }
      run = [];
    };
    for (const point of shown) {
      if (point[1] === null) finish();
      else run.push(point);
    }
    finish();
    stroke.setAttribute('d', path);
    area.setAttribute('d', under);
    title.textContent = `${label}, up to ${top}`;
    return top;
  };
  return element;
}

export function bars(counts, label) {
  const top = Math.max(...counts, 1);
  const width = 100 / counts.length;
  return svg('svg', {class: 'bars', viewBox: '0 0 100 24', preserveAspectRatio: 'none', role: 'img', 'aria-label': label},
    svg('title', {}, label),
    counts.map((count, index) => {
      const height = count ? Math.max(2, (count / top) * 24) : 0.75;
      return svg('rect', {class: count ? 'full' : 'none', x: (index * width).toFixed(2), y: (24 - height).toFixed(2), width: (width * 0.72).toFixed(2), height: height.toFixed(2)});
    }));
}
