// Every element of the page is made here. What came from outside becomes text or an attribute, never markup.

const SVG = 'http://www.w3.org/2000/svg';

// h('a', {href: '/live', class: 'x', on: {click: f}}, 'text', node, [more], null)
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === 'value' || name === 'checked' || name === 'indeterminate') {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

// A real table, that becomes a list of cards on a phone (hence the roles: display would take its meaning away).
// columns: {label, cell(row), title, num, wide, class}
export function table(caption, columns, rows, {list = false, titled = false, empty = 'Nothing here.'} = {}) {
  const row = (item) => h('tr', {role: 'row'}, columns.map((column, index) => {
    const head = index === 0;
    return h(head ? 'th' : 'td', {
      role: head ? 'rowheader' : 'cell',
      scope: head ? 'row' : null,
      class: classes(column),
      'data-label': column.label,
    }, column.cell(item));
  }));
  const body = h('tbody', {role: 'rowgroup'}, rows.map(row));
  const element = h('table', {role: 'table', 'data-list': list, hidden: !rows.length},
    h('caption', {class: titled ? 'titled' : 'hidden'}, caption),
    h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, columns.map((column) =>
      h('th', {role: 'columnheader', scope: 'col', class: classes(column), title: column.title}, column.label)))),
    body);
  const nothing = h('p', {class: 'empty', hidden: rows.length > 0}, empty);
  const wrapped = h('div', {class: 'tabled'}, element, nothing);
  wrapped.update = (items) => {
    body.replaceChildren(...items.map(row));
    nothing.hidden = items.length > 0;
    element.hidden = !items.length;
  };
  wrapped.prepend1 = (item, limit) => {
    nothing.hidden = true;
    element.hidden = false;
    const line = row(item);
    line.classList.add('fresh');
    body.prepend(line);
    while (body.children.length > limit) body.lastElementChild.remove();
  };
  return wrapped;
}

function classes(column) {
  return [column.num && 'num', column.wide && 'wide', column.class].filter(Boolean).join(' ') || null;
}

// A label above a field; `shown` is what the field stands in.
export function field(label, input, hint, shown = input) {
  const id = input.id || `f${++count}`;
  input.id = id;
  const said = hint ? h('span', {class: 'hint', id: `${id}-hint`}, hint) : null;
  if (said) input.setAttribute('aria-describedby', said.id);
  return h('div', {class: 'field'}, h('label', {for: id}, label), shown, said);
}

let count = 0;

export function select(options, value) {
  const element = h('select', {}, options.map(([key, label]) => h('option', {value: key, selected: key === value}, label)));
  element.value = value ?? options[0][0];
  return element;
}

export function button(label, onclick, props = {}) {
  return h('button', {type: 'button', ...props, on: {click: onclick}}, label);
}

// Says it to those who listen instead of looking.
export function say(text) {
  document.getElementById('said').textContent = text;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not a secure context, or not allowed: the old way.
    const area = h('textarea', {class: 'hidden', value: text});
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  say('Copied');
}

export function copyButton(text, label = 'Copy') {
  const element = button(label, async () => {
    await copy(typeof text === 'function' ? text() : text);
    element.textContent = 'Copied';
    setTimeout(() => { element.textContent = label; }, 1500);
  });
  return element;
}
