// A payload as it came, with what is wrong marked in it. Nothing in it is believed: no control character and no change of
// direction takes effect.

import {button, copyButton, h, replace} from './dom.js';
import {format, offsetOf, spanAt, tokens} from './json.js';
import {badge, bytes, pointer} from './format.js';

const SHOWN_LINES = 4000;

// One character stands for one character, so that places stay where they are.
export function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (character) => {
    const code = character.charCodeAt(0);
    if (code < 32) return String.fromCharCode(0x2400 + code);
    return code === 127 ? '\u2421' : '\ufffd';
  });
}

export function unhex(hex) {
  return Uint8Array.from({length: hex.length / 2}, (_, index) => parseInt(hex.slice(index * 2, index * 2 + 2), 16));
}

function dump(data) {
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ').padEnd(47);
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '·')).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex}  ${text}`);
  }
  return lines.join('\n');
}

function placed(text, violations) {
  return violations.map((violation, index) => {
    if (!violation.line) return null;
    const offset = offsetOf(text, violation.line, violation.column ?? 1);
    return {index, violation, span: spanAt(text, offset)};
  }).filter(Boolean);
}

// The text with marks, and numbers of its lines beside it.
function marked(text, marks) {
  let lines = 1;
  let end = text.length;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
    lines += 1;
    if (lines > SHOWN_LINES) {
      end = at;
      lines -= 1;
      break;
    }
  }
  const code = h('code');
  let at = 0;
  for (const {index, span: [start, stop], violation} of [...marks].sort((a, b) => a.span[0] - b.span[0])) {
    if (start < at || start > end) continue;
    code.append(visible(text.slice(at, start)));
    const shownText = visible(text.slice(start, stop));
    code.append(h('mark', {id: `place-${index}`, tabindex: -1, title: violation.message, class: shownText ? null : 'nothing'}, shownText || '▏ends here'));
    at = stop;
  }
  code.append(visible(text.slice(at, end)));
  const numbers = h('span', {class: 'numbers', 'aria-hidden': 'true'}, Array.from({length: lines}, (_, index) => index + 1).join('\n'));
  return {code, numbers, rest: end < text.length};
}

// Tints names and texts where the browser can do so without elements.
function tint(code) {
  if (!globalThis.Highlight || !CSS.highlights) return;
  const [names, texts] = [new Highlight(), new Highlight()];
  for (const node of code.childNodes) {
    const inner = node.nodeType === Node.TEXT_NODE ? node : null;
    if (!inner || inner.length > 80_000) continue;
    const {data} = inner;
    for (const [start, stop] of tokens(data)) {
      if (data[start] !== '"') continue;
      const range = new StaticRange({startContainer: inner, startOffset: start, endContainer: inner, endOffset: stop});
      (/^\s*:/.test(data.slice(stop, stop + 3)) ? names : texts).add(range);
    }
  }
  CSS.highlights.set('json-name', names);
  CSS.highlights.set('json-text', texts);
}

// letter: {id, text, hex, payload_bytes, payload_cut, violations}
export function payloadView(letter) {
  const data = letter.hex === null || letter.hex === undefined ? null : unhex(letter.hex);
  const text = letter.text ?? new TextDecoder().decode(data);
  const marks = placed(text, letter.violations);
  const views = [];
  const pretty = /^\s*[[{]/.test(text) ? format(text) : null;
  if (pretty && pretty.text !== text) {
    views.push(['Formatted', () => marked(pretty.text, marks.map(({index, violation, span: [start, stop]}) =>
      ({index, violation, span: start >= text.trimEnd().length ? [pretty.text.length, pretty.text.length] : [pretty.at(start), Math.max(pretty.at(start) + 1, pretty.at(stop - 1) + 1)]})))]);
  }
  views.push([data ? 'As text' : 'As sent', () => marked(text, marks)]);
  if (data) views.push(['Bytes', () => ({code: h('code', {}, dump(data)), numbers: null})]);
  const readable = !data || [...text.slice(0, 400)].filter((character) => character === '\ufffd' || character < ' ').length < 20;
  let shown = data && !readable ? views.length - 1 : text.includes('\n') ? Math.min(views.length - 1, pretty && pretty.text !== text ? 1 : 0) : 0;

  const pre = h('pre', {class: 'code payload', tabindex: 0, role: 'region', 'aria-label': 'The payload', dir: 'ltr'});
  const after = h('p', {class: 'soft'});
  const tabs = h('div', {class: 'segments', role: 'group', 'aria-label': 'How the payload is shown'});
  const draw = () => {
    const {code, numbers, rest} = views[shown][1]();
    replace(pre, numbers, code);
    if (!text && !data?.length) replace(pre, h('span', {class: 'soft'}, 'The message is empty.'));
    tint(code);
    after.textContent = letter.payload_cut ? 'Only its beginning is shown; the download has all of it.' : rest ? 'It has more lines; the download has all of them.' : '';
    after.hidden = !after.textContent;
    replace(tabs, views.length < 2 ? null : views.map(([label], index) => button(label, () => {
      shown = index;
      draw();
    }, {'aria-pressed': String(index === shown)})));
  };
  draw();
  // The first place is in sight from the beginning, without moving the page.
  requestAnimationFrame(() => {
    const first = pre.querySelector('mark');
    if (!first) return;
    pre.scrollTop = Math.max(0, first.offsetTop - pre.offsetTop - pre.clientHeight / 2);
    pre.scrollLeft = Math.max(0, first.offsetLeft - pre.offsetLeft - pre.clientWidth * 0.7);
  });
  const show = (index) => {
    if (!pre.querySelector(`#place-${index}`)) {
      shown = 0;
      draw();
    }
    const place = pre.querySelector(`#place-${index}`);
    place?.scrollIntoView({block: 'center', inline: 'center'});
    place?.focus({preventScroll: true});
  };
  const findings = h('ol', {class: 'findings'}, letter.violations.map((violation, index) => h('li', {},
    h('span', {class: 'sentence'}, violation.message), ' ',
    h('span', {class: 'under'}, badge('calm', violation.code.replaceAll('_', ' ')), ' ', h('code', {}, pointer(violation.pointer)), violation.rule ? [' ', h('code', {}, violation.rule)] : null, ' ',
      marks.some((mark) => mark.index === index) ? button(`line ${violation.line}, column ${violation.column ?? 1}`, () => show(index), {class: 'link'}) : null))));
  return {
    findings,
    element: h('div', {class: 'payloadbox'},
      h('div', {class: 'toolbar'}, tabs, h('span', {class: 'soft'}, bytes(letter.payload_bytes)), h('span', {class: 'gap'}),
        copyButton(text, 'Copy'), h('a', {class: 'button', href: `/api/v1/dead-letters/${letter.id}/payload`, download: `dead-letter-${letter.id}`}, 'Download')),
      pre, after),
    text,
    formatted: pretty?.text,
  };
}
