// The list of jobs, one job, and a job to be pushed.
import { act, get, may } from './api.js';
import { el, field, jobLink, json, number, queueLink, say, span, state, table, when } from './dom.js';

const states = ['pending', 'running', 'retrying', 'succeeded', 'failed'];
const times = ['since', 'before'];
const local = date => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
const int4 = { min: -2147483648, max: 2147483647, step: 1 };
const live = s => s === 'pending' || s === 'running' || s === 'retrying';

function filters(query) {
  const input = name => el('input', { name, value: query.get(name) ?? '' });
  const time = name => el('input', { name, type: 'datetime-local', value: query.get(name) ? local(new Date(query.get(name))) : '' });
  return el('form', { class: 'row', onsubmit: e => {
    e.preventDefault();
    const asked = new URLSearchParams([...new FormData(e.target)].filter(([, v]) => v).map(([k, v]) => [k, times.includes(k) ? new Date(v).toISOString() : v]));
    location.hash = `#/jobs?${asked}`;
  } },
  field('State', el('select', { name: 'state' }, el('option', { value: '' }, 'any'), states.map(s => el('option', { selected: query.get('state') === s }, s)))),
  field('Queue', input('queue')), field('Func', input('func')), field('Key', input('key')), field('Pushed since', time('since')), field('Pushed before', time('before')), el('button', { class: 'main' }, 'Show'));
}

// All jobs of the filter, page after page.
async function bulk(what, path, query, count, again) {
  const filter = Object.fromEntries([...query].filter(([k, v]) => v && k !== 'after' && k !== 'up_to'));
  const more = ['func', 'key', ...times].filter(k => filter[k]).map(k => `, ${k} ${filter[k]}`).join('');
  if (!confirm(`${what} all${count} ${filter.state} jobs of queue ${filter.queue}${more}?`)) return;
  for (;;) {
    const answer = await act(what, 'POST', path, filter);
    if (!answer || answer.tried < 1000) break;
    filter.after = answer.after;
  }
  again();
}

export async function jobs(main, query, again) {
  const asked = new URLSearchParams(query);
  const rows = await get(`/jobs?${asked}`);
  const tools = el('div', { class: 'row' }), ended = query.get('state') && !live(query.get('state'));
  const whole = rows.length < Number(query.get('up_to') ?? 50) && !query.get('after'), count = whole ? ` ${rows.length}` : '';
  if (may('operator') && query.get('queue') && query.get('state')) {
    if (rows.length === 0) tools.replaceChildren();
    else if (live(query.get('state'))) tools.append(el('button', { onclick: () => bulk('Cancel', '/jobs/cancel', query, count, again) }, 'Cancel all of these'));
    else tools.append(el('button', { onclick: () => bulk('Retry', '/jobs/retry', query, count, again) }, 'Retry all of these'));
  } else if (may('operator')) tools.append(el('span', { class: 'soft' }, 'Choose a queue and a state to cancel or retry all jobs at once.'));
  main.append(el('h1', {}, 'Jobs'), filters(query), tools, table('Jobs, the newest first', [
    ['Job', j => jobLink(j.id), 'id'], ['State', j => state(j.state)], ['Func', j => j.func, 'word'], ['Queue', j => queueLink(j.queue), 'word'], ...(ended ? [] : [['Priority', j => number(j.priority), 'number']]),
    ['Attempts', j => `${j.attempts} of ${j.max_attempts}`, 'number'], ['Pushed', j => when(j.created_at)], ...(ended ? [['Ended', j => when(j.completed_at)]] : []), ['Last error', j => j.state === 'succeeded' ? null : j.error]], rows));
  if (rows.length >= Number(query.get('up_to') ?? 50)) {
    asked.set('after', rows.at(-1).id);
    main.append(el('a', { href: `#/jobs?${asked}` }, 'Older jobs'));
  }
  if (may('operator')) main.append(pushForm());
}

// What stands in the field, or undefined when that is no JSON object: then the field says so.
function parsed(input) {
  let value, why = 'a JSON object, such as {"to": "a@b.c"}';
  try { value = JSON.parse(input.value); } catch (e) { why += ` (${e.message})`; }
  const good = value !== null && typeof value === 'object' && !Array.isArray(value);
  input.nextElementSibling.textContent = good ? '' : `Must be ${why}`;
  input.setAttribute('aria-invalid', String(!good));
  if (good) return value;
  input.focus();
  return undefined;
}
const kwargsField = (rows, text) => el('label', {}, 'Kwargs (JSON)', el('textarea', { name: 'kwargs', rows }, text), el('span', { class: 'bad', role: 'alert' }));

function pushForm() {
  return el('details', {}, el('summary', {}, 'Push a job'), el('form', { onsubmit: async e => {
    e.preventDefault();
    const f = new FormData(e.target);
    const kwargs = parsed(e.target.elements.kwargs);
    if (kwargs === undefined) return;
    const answer = await act('Push', 'POST', '/jobs', { jobs: [{ func: f.get('func'), queue: f.get('queue'), kwargs, priority: Number(f.get('priority')), ...(f.get('unique_key') ? { unique_key: f.get('unique_key') } : {}) }] });
    if (answer) location.hash = `#/job/${answer[0].id}`;
  } }, el('div', { class: 'row' }, field('Func', el('input', { name: 'func', required: true })), field('Queue', el('input', { name: 'queue', value: 'default', required: true })),
    field('Priority', el('input', { name: 'priority', type: 'number', ...int4, required: true, value: 0 })), field('Unique key', el('input', { name: 'unique_key' }))),
  kwargsField(3, '{}'), el('button', { class: 'main' }, 'Push')));
}

function timeline(j) {
  const steps = [[j.created_at, 'pushed'], [j.scheduled_at > j.created_at ? j.scheduled_at : null, live(j.state) ? 'due' : 'was due'], [j.started_at, `attempt started by ${j.taken_by ?? 'a worker'}`], [j.completed_at, j.state]];
  const known = steps.filter(([at]) => at).sort(([a], [b]) => Date.parse(a) - Date.parse(b));
  return el('ol', { class: 'timeline' }, known.map(([at, what], i) => el('li', {}, when(at), ` ${what}`, i > 0 ? el('span', { class: 'soft' }, ` (${span((Date.parse(at) - Date.parse(known[i - 1][0])) / 1000)} later)`) : null)));
}

function copyForm(j, again) {
  const hidden = JSON.stringify(j.kwargs).includes('(hidden)');
  return el('details', {}, el('summary', {}, 'Change and run anew'), el('p', { class: 'soft' }, 'A copy leaves this job as it is. Or this job runs again with other kwargs: so a workflow whose step it is goes on.'),
    el('form', { onsubmit: async e => {
      e.preventDefault();
      const f = new FormData(e.target), changed = { priority: Number(f.get('priority')), queue: f.get('queue'), max_attempts: Number(f.get('max_attempts')) };
      if (!hidden) { changed.kwargs = parsed(e.target.elements.kwargs); if (changed.kwargs === undefined) return; }
      if (e.submitter?.name === 'retry' && (changed.queue !== j.queue || changed.priority !== j.priority || changed.max_attempts !== j.max_attempts)) {
        say('Retry: queue, priority and attempts can be changed in a copy only; this job keeps its own', true);
        return;
      }
      if (e.submitter?.name === 'retry') { if (await act('Retry', 'POST', `/jobs/${j.id}/retry`, { kwargs: changed.kwargs })) again(); return; }
      const answer = await act('Push a copy', 'POST', `/jobs/${j.id}/copy`, changed);
      if (answer) location.hash = `#/job/${answer[0].id}`;
    } }, hidden ? el('p', {}, 'Its kwargs are hidden from you and stay as they are.') : kwargsField(8, JSON.stringify(j.kwargs, null, 2)),
    el('div', { class: 'row' }, field('Queue', el('input', { name: 'queue', value: j.queue })), field('Priority', el('input', { name: 'priority', type: 'number', ...int4, required: true, value: j.priority })),
      field('Attempts', el('input', { name: 'max_attempts', type: 'number', ...int4, min: 1, required: true, value: j.max_attempts })), el('button', { class: 'main' }, 'Push the copy')),
    hidden ? '' : el('div', { class: 'row' }, el('button', { class: 'main', name: 'retry' }, 'Retry with these kwargs'), el('span', { class: 'soft' }, 'This job again, with the queue, priority and attempts that it has.'))));
}

export async function job(main, query, again, id) {
  const j = await get(`/jobs/${id}`);
  const tools = el('div', { class: 'row' });
  const button = (text, path, kind, sure) => el('button', { class: kind, onclick: async () => {
    if (sure() && !confirm(sure())) return;
    await act(text, 'POST', `/jobs/${id}/${path}`);
    again();
  } }, text);
  const edited = () => [...main.querySelectorAll('form textarea')].some(t => t.value !== t.defaultValue);
  if (may('operator')) tools.append(live(j.state) ? button('Cancel', 'cancel', 'main', () => '')
    : button('Retry', 'retry', j.state === 'failed' ? 'main' : '', () => edited() ? 'Retry with the kwargs as they are? What you have changed below is not used, and is lost.' : j.state === 'succeeded' ? 'It has succeeded. Run it once more?' : ''));
  main.append(el('h1', {}, j.func, ' ', state(j.state)), tools, el('dl', {}, [['Id', j.id], ['Queue', queueLink(j.queue)], ['Attempts', `${j.attempts} of ${j.max_attempts}`], ['Priority', j.priority],
    ['Unique key', j.unique_key ?? '–'], ['Concurrency key', j.concurrency_key ?? '–'], ['Worker', j.taken_by ?? '–'], ...(j.meta?.workflow_id ? [['Step of', el('a', { href: `#/workflow/${j.meta.workflow_id}` }, `workflow ${j.meta.workflow_id}`)]] : []), ['Workers that died with it', j.recoveries]].flatMap(([t, d]) => [el('dt', {}, t), el('dd', {}, d)])));
  if (j.progress && typeof j.progress === 'object') main.append(el('h2', {}, 'Progress'), el('progress', { max: 100, value: j.progress.percent ?? 0, 'aria-label': 'Progress' }), el('p', {}, `${j.progress.percent ?? '–'} % ${j.progress.message ?? ''}`));
  if (Array.isArray(j.errors) && j.errors.length) main.append(el('h2', {}, 'Errors, the last one first'), ...j.errors.map((e, i) => el('section', {}, el('h3', {}, `Error ${i + 1} of ${j.errors.length}: attempt ${Number(e.attempt ?? 0) + 1}`, e.at ? [', ', when(e.at)] : ''), json(e.traceback ?? e))).reverse());
  else if (typeof j.errors === 'string') main.append(el('h2', {}, 'Errors'), json(j.errors));
  main.append(el('h2', {}, 'Timeline'), timeline(j), el('h2', {}, 'Kwargs'), json(j.kwargs));
  if (may('operator') && !live(j.state)) main.append(copyForm(j, again));
  if (j.result !== null) main.append(el('h2', {}, 'Result'), json(j.result));
  main.append(el('h2', {}, 'Meta'), json(j.meta), el('h2', {}, 'Limits'), json(j.limits));
}
