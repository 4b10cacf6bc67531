// Small charts: one line over time with what is under it, and bars. Drawn by hand into SVG.

import {svg} from './dom.js';

const WIDTH = 300;
const HEIGHT = 64;
const TOP = 5;
// Room for the dot.
const SIDE = 4;

function nice(top) {
  if (top <= 1) return 1;
  const step = 10 ** Math.floor(Math.log10(top));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * step).find((limit) => limit >= top * 1.05) ?? 15 * step;
}

// points: [ms, value or null], by time; a null is a gap. `least` is the lowest top, so that a one is not a peak.
// `limit` is the top where there is only one.
export function line(label, least = 1, limit = null) {
  const area = svg('path', {class: 'area'});
  const stroke = svg('path', {class: 'stroke', 'vector-effect': 'non-scaling-stroke'});
  // A line of no length with round ends: a dot where now is, whatever the proportions.
  const dot = svg('path', {class: 'now', 'vector-effect': 'non-scaling-stroke'});
  const title = svg('title', {});
  const element = svg('svg', {class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label},
    title, svg('line', {class: 'base', x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, 'vector-effect': 'non-scaling-stroke'}),
    svg('line', {class: 'limit', x1: 0, x2: WIDTH, y1: TOP, y2: TOP, 'vector-effect': 'non-scaling-stroke'}), area, stroke, dot);
  element.draw = (points, span = 300_000) => {
    const end = points.at(-1)?.[0] ?? 0;
    const shown = points.filter(([at]) => at > end - span);
    const top = limit ?? nice(Math.max(...shown.map(([, value]) => value ?? 0), least));
    const x = (at) => ((WIDTH - SIDE) * (1 - (end - at) / span)).toFixed(1);
    const y = (value) => (HEIGHT - 1 - (value / top) * (HEIGHT - 1 - TOP)).toFixed(1);
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
    const now = shown.at(-1);
    dot.setAttribute('d', now && now[1] !== null ? `M${x(now[0])} ${y(now[1])}h0` : '');
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
