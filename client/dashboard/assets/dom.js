// Elements and texts. Text is always text, never markup: what comes from the queue may be anything.
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined));
  return e;
}

export function svg(tag, attributes = {}, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// What is said stays in sight, and is there until something else is; what went well is old news after a while.
let said = 0;
export function say(what, bad = false) {
  const status = document.getElementById('status');
  status.replaceChildren(...[what].flat().filter(Boolean));
  status.className = bad ? 'bad' : '';
  said = Date.now();
}
export function forgetSaid() {
  if (!document.getElementById('status').classList.contains('bad') && Date.now() - said > 5000) say('');
}

// columns: [title, row => text or element, 'number' or 'id']; on a phone each row becomes a card.
export function table(caption, columns, rows) {
  if (rows.length === 0) return el('p', { class: 'soft' }, `${caption}: none.`);
  return el('div', { class: 'scroll' }, el('table', { class: 'fold' }, el('caption', {}, caption),
    el('thead', {}, el('tr', {}, columns.map(([title, , kind]) => el('th', { scope: 'col', class: kind }, title)))),
    el('tbody', {}, rows.map(row => el('tr', {}, columns.map(([title, cell, kind]) => {
      const what = cell(row);
      return el('td', { class: kind, 'data-label': title }, el('span', {}, what === null || what === undefined || what === '' ? '–' : what));
    }))))));
}

export const state = s => el('span', { class: `state ${s}` }, s ?? '–');
export const number = n => n === null || n === undefined ? '–' : Number(n).toLocaleString('en');
export const bytes = n => n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KB` : n < 1073741824 ? `${(n / 1048576).toFixed(1)} MB` : `${(n / 1073741824).toFixed(1)} GB`;
export function span(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  const s = Math.abs(seconds);
  return s < 1 ? `${Math.round(s * 1000)} ms` : s < 120 ? `${s.toFixed(1)} s` : s < 7200 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
}
export function when(text) {
  if (!text) return '–';
  if (!Number.isFinite(Date.parse(text))) return text;
  const ago = (Date.now() - Date.parse(text)) / 1000;
  return el('time', { datetime: text, title: text }, ago >= 0 ? `${span(ago)} ago` : `in ${span(ago)}`);
}
export const jobLink = id => el('a', { href: `#/job/${id}` }, id);
export const queueLink = name => el('a', { href: `#/queue/${encodeURIComponent(name)}` }, name);
export const shell = word => /^[\w.:-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
export const field = (title, input) => el('label', {}, title, input);
// The line that counts, and all of it below.
export function folded(text) {
  const lines = (text ?? '').trimEnd().split('\n'), line = /^(Traceback|exit status |killed by signal )/.test(lines[0]) ? lines.at(-1) : lines[0];
  return lines.length < 2 ? text : el('details', {}, el('summary', {}, line), json(text));
}
export const json = value => el('pre', { tabindex: 0 }, typeof value === 'string' ? value : JSON.stringify(value, null, 2));
