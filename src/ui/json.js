// JSON as text: kept digit for digit, also where it is broken.

// Integers beyond 2^53 become BigInt where the browser can tell them, so that no digit is lost.
export function parse(text) {
  return JSON.parse(text, (key, value, context) => {
    if (typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')) {
      return BigInt(context.source);
    }
    return value;
  });
}

const TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/gy;

// Spans of text that belong together; nothing is an error.
export function tokens(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match) {
      found.push([at, TOKEN.lastIndex]);
      at = TOKEN.lastIndex;
    } else {
      at += 1;
    }
  }
  return found;
}

// Deeper than this it stays on one line.
const DEEPEST = 12;

// The same tokens, one member a line, whatever is wrong with them. `at` leads from an offset in the original to this text.
export function format(text) {
  let out = '';
  let depth = 0;
  const starts = [];
  const spans = tokens(text);
  const fresh = () => {
    out = out.replace(/ +$/, '');
    out += depth <= DEEPEST ? `\n${'  '.repeat(depth)}` : '';
  };
  spans.forEach(([start, end], index) => {
    const token = text.slice(start, end);
    const next = spans[index + 1];
    const following = next ? text.slice(next[0], next[0] + 1) : '';
    const closing = token === '}' || token === ']';
    if (closing) {
      depth = Math.max(0, depth - 1);
      const before = out[out.length - 1];
      if (before !== '{' && before !== '[') fresh();
    }
    starts.push([start, out.length]);
    out += token;
    if (token === '{' || token === '[') {
      depth += 1;
      if (following !== '}' && following !== ']') fresh();
    } else if (token === ',') {
      if (depth <= DEEPEST) fresh();
      else out += ' ';
    } else if (token === ':') {
      out += ' ';
    } else if (next && !closing && !',:}]'.includes(following)) {
      out += ' ';
    }
  });
  const at = (offset) => {
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle][0] <= offset) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return 0;
    const [start, placed] = starts[low - 1];
    const length = spans[low - 1][1] - start;
    return placed + Math.min(offset - start, length);
  };
  return {text: out, at};
}

// The offset of a line and a column, both from 1, the column in characters.
export function offsetOf(text, line, column) {
  let at = 0;
  for (let n = 1; n < line; n += 1) {
    const end = text.indexOf('\n', at);
    if (end < 0) return text.length;
    at = end + 1;
  }
  for (let n = 1; n < column && at < text.length; n += 1) {
    at += text.codePointAt(at) > 0xffff ? 2 : 1;
  }
  return at;
}

// What to mark at an offset: a whole text or number, or one character.
export function spanAt(text, offset) {
  if (offset >= text.length) return [text.length, text.length];
  TOKEN.lastIndex = offset;
  return TOKEN.exec(text) ? [offset, TOKEN.lastIndex] : [offset, offset + 1];
}
