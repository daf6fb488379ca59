// Lines over time, and workflows as graphs.
import { el, svg, number } from './dom.js';

const minute = 60000;

// The points of the last two hours. known: a minute without one before that time is 0, since nothing happened then; of a later one nothing
// is known yet.
export function recent(points, known) {
  const now = Math.floor(Date.now() / minute) * minute, from = now - 120 * minute;
  const at = new Map(points.map(p => [Date.parse(p.at), p.value]).filter(([t]) => t >= from));
  if (known && at.size) for (let t = Math.max(from, Math.min(...at.keys()) - minute); t + 2 * minute <= known; t += minute) at.set(t, at.get(t) ?? 0);
  return [...at].sort(([a], [b]) => a - b).map(([t, value]) => ({ at: new Date(t).toISOString(), value }));
}

// A line for each run of minutes; a minute alone is a dot.
function lines(points, kind, x, y) {
  const runs = [];
  for (const p of points) {
    const run = runs.at(-1);
    if (run && Date.parse(p.at) - Date.parse(run.at(-1).at) <= minute) run.push(p);
    else runs.push([p]);
  }
  return runs.map(run => run.length > 1 ? svg('polyline', { class: kind, points: run.map(p => `${x(p.at).toFixed(1)},${y(p.value).toFixed(1)}`).join(' ') })
    : svg('circle', { class: `dot-${kind}`, cx: x(run[0].at).toFixed(1), cy: y(run[0].value).toFixed(1), r: 3 }));
}

// series: [name, points {at, value}]; a table for those who do not see the lines.
export function chart(title, unit, ...series) {
  const all = series.flatMap(([, points]) => points);
  if (all.length === 0) return el('figure', {}, el('figcaption', {}, title), el('p', { class: 'soft' }, 'Nothing recorded in the last two hours. What happens shows after maintenance has run, once a minute: in any worker, in the server with chancy in shared_preload_libraries, or by ', el('code', {}, 'chancy maintain'), '.'));
  const times = all.map(p => Date.parse(p.at)), first = Math.min(...times), last = Math.max(...times, first + minute), most = Math.max(...all.map(p => p.value), 0) || 1;
  const x = at => 50 + 330 * (Date.parse(at) - first) / (last - first), y = value => 110 - 95 * value / most;
  const clock = t => new Date(t).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  const label = (at, across, anchor, text) => { const t = svg('text', { x: at, y: across, 'text-anchor': anchor }); t.textContent = text; return t; };
  const drawing = svg('svg', { viewBox: '0 0 400 135', role: 'img', 'aria-label': `${title}, up to ${number(most)} ${unit}` },
    svg('line', { class: 'axis', x1: 50, x2: 380, y1: 110, y2: 110 }), svg('line', { class: 'axis', x1: 50, x2: 50, y1: 15, y2: 110 }),
    label(45, 20, 'end', most >= 100 ? number(Math.round(most)) : most.toPrecision(2)), label(45, 114, 'end', '0'), label(50, 128, 'start', clock(first)), label(380, 128, 'end', clock(last)),
    ...series.flatMap(([, points], i) => lines(points, 'ab'[i], x, y)));
  return el('figure', {}, el('figcaption', {}, title, ' ', el('span', { class: 'soft' }, unit)), drawing,
    el('div', {}, series.map(([name], i) => el('span', { class: `key-${'ab'[i]}` }, `${i ? '┄' : '─'} ${name}  `))),
    el('details', {}, el('summary', {}, 'As numbers'), el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'time'), series.map(([name]) => el('th', { scope: 'col', class: 'number' }, name)))),
      el('tbody', {}, [...new Set(all.map(p => p.at))].sort().slice(-30).map(at => el('tr', {}, el('td', {}, clock(Date.parse(at))), series.map(([, points]) => el('td', { class: 'number' }, number(points.find(p => p.at === at)?.value)))))))));
}

// Each step stands below those that it waits for.
export function graph(steps) {
  const level = new Map(), byName = new Map(steps.map(s => [s.step, s]));
  const after = s => Array.isArray(s.after) ? s.after.filter(name => byName.has(name)) : [];
  for (let changed = true, round = 0; changed && round <= steps.length; round++) {
    changed = false;
    for (const s of steps) {
      const l = Math.max(-1, ...after(s).map(name => level.get(name) ?? 0)) + 1;
      if (level.get(s.step) !== l) { level.set(s.step, l); changed = true; }
    }
  }
  const width = 170, height = 80, used = [], place = new Map();
  for (const s of steps) {
    const l = level.get(s.step);
    used[l] = (used[l] ?? 0) + 1;
    place.set(s.step, { x: 10 + (used[l] - 1) * width, y: 10 + l * height });
  }
  const w = 10 + width * Math.max(...used, 1), h = height * used.length;
  const drawing = svg('svg', { class: 'graph', width: w, height: h, viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label': `${steps.length} steps; the table below tells the same` });
  for (const s of steps) for (const name of after(s)) {
    const a = place.get(name), b = place.get(s.step);
    drawing.append(svg('path', { d: `M${a.x + 75} ${a.y + 48} C${a.x + 75} ${a.y + 70} ${b.x + 75} ${b.y - 22} ${b.x + 75} ${b.y}` }));
  }
  for (const s of steps) {
    const { x, y } = place.get(s.step), name = svg('text', { x: x + 8, y: y + 20 }), how = svg('text', { x: x + 8, y: y + 38 });
    name.textContent = s.step.length > 20 ? s.step.slice(0, 19) + '…' : s.step;
    how.textContent = s.state;
    drawing.append(svg('g', { class: s.state }, svg('rect', { x, y, width: 150, height: 48, rx: 8 }), name, how));
  }
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Graph of the steps' }, drawing);
}
