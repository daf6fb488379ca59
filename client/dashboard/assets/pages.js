// All pages but those of jobs.
import { act, get, may } from './api.js';
import { chart, graph, recent } from './chart.js';
import { bytes, el, folded, jobLink, number, queueLink, shell, span, state, table, when } from './dom.js';

const button = (text, again, method, path, sure) => el('button', { onclick: async () => { if (sure && !confirm(sure)) return; again(await act(text, method, path)); } }, text);
const metric = async (name, known, of = p => p.value) => recent((await get(`/metrics/${encodeURIComponent(name)}`)).map(p => ({ at: p.at, value: of(p) ?? 0 })), known);
// When what happened was last made into points.
const folds = async () => Date.parse((await get('/tasks')).find(t => t.name === 'metrics')?.last_run ?? 0);
const rate = p => p.value / 60;

// Due jobs and nobody who takes them: not how a queue should look.
const unserved = q => q.state !== 'paused' && q.workers === 0 && q.oldest_waiting !== null;
const queueState = q => unserved(q) ? el('span', { class: 'state failed' }, 'no live worker') : state(q.state);

const queueColumns = [['Queue', q => queueLink(q.queue), 'word'], ['State', queueState], ['Waiting', q => number(q.pending + q.retrying), 'number'], ['Running', q => number(q.running), 'number'],
  ['Oldest due', q => span(q.oldest_waiting), 'number'], ['Pushed/s', q => number(q.pushed_per_second), 'number'], ['Done/s', q => number(q.finished_per_second), 'number'],
  ['Waits', q => span(q.average_waiting), 'number'], ['Runs', q => span(q.average_running), 'number'], ['Workers', q => number(q.workers), 'number']];

async function charts(prefix, pushed, done, failed) {
  const known = await folds();
  const [a, b, c, w, r] = await Promise.all([metric(pushed, known, rate), metric(done, known, rate), metric(failed, known), metric(`${prefix}:waiting_time`, 0, p => p.average), metric(`${prefix}:execution_time`, 0, p => p.average)]);
  return el('div', { class: 'charts' }, chart('Rate', 'jobs a second', ['pushed', a], ['done', b]), chart('Latency', 'seconds', ['waits', w], ['runs', r]), chart('Errors', 'failed a minute', ['failed', c]));
}

// What doctor says, and what to do.
const severity = s => el('span', { class: `state ${s}` }, s);
const findings = rows => table('What doctor finds, the worst first', [['Severity', f => severity(f.severity)], ['About', f => el('span', { class: 'state' }, f.finding)], ['What', f => f.what], ['What to do', f => f.hint]], rows);

// The check reads all that waits: not at each look, and the page does not wait for it.
let checked = null, checking = null;
function check() {
  const place = el('div', { id: 'findings' });
  const show = found => place.replaceChildren(found.length ? findings(found) : el('p', { class: 'soft' }, 'Nothing found: the installation is as it should be.'));
  if (checked) show(checked.found);
  else place.append(el('p', { class: 'soft' }, 'Looking …'));
  if (!checked || Date.now() - checked.at > 30000) {
    checking ??= get('/findings').then(found => { checked = { at: Date.now(), found }; return found; }).finally(() => { checking = null; });
    checking.then(show, e => place.replaceChildren(el('p', { class: 'bad' }, e.message)));
  }
  return place;
}

// Sessions that hold due jobs, so that no worker takes them.
const held = rows => table('Due jobs that are passed by, since a session holds their rows', [['Queue', h => queueLink(h.queue)], ['Jobs', h => `${number(h.jobs)} of the first ${number(h.looked_at)} due`], ['Since', h => when(h.since)],
  ['Held by', h => h.pid ? `${h.role ?? ''}${h.application ? `, ${h.application}` : ''} (pid ${h.pid})` : `prepared transaction ${h.name}`], ['State', h => h.state], ['Last statement', h => h.query ? el('code', {}, h.query.slice(0, 500)) : h.pid ? 'not shown: the dashboard\'s role has no pg_read_all_stats' : null],
  ['To end it', h => el('code', {}, h.pid ? `SELECT pg_terminate_backend(${h.pid})` : `ROLLBACK PREPARED '${h.name}'`)]], rows);

export async function overview(main) {
  const [queues, workers, failed, known] = await Promise.all([get('/queues'), get('/workers'), get('/failures'), folds()]);
  const sum = f => queues.reduce((n, q) => n + (f(q) ?? 0), 0), card = (text, value) => el('div', { class: 'card' }, text, el('b', {}, value));
  const oldest = Math.max(0, ...queues.map(q => q.oldest_waiting ?? 0));
  main.append(el('h1', {}, 'Overview'), el('div', { class: 'cards' }, card('Waiting', number(sum(q => q.pending + q.retrying))), card('Running', number(sum(q => q.running))), card('Oldest due', span(oldest)),
    card('Pushed a second', number(sum(q => q.pushed_per_second))), card('Done a second', number(sum(q => q.finished_per_second))), card('Workers alive', number(workers.filter(w => w.alive).length))));
  const listed = queues.length <= 30 ? queues : [...queues].sort((a, b) => (b.oldest_waiting ?? -1) - (a.oldest_waiting ?? -1)).slice(0, 20);
  const shown = queues.slice(0, 12), all = await Promise.all(shown.map(q => Promise.all(['pushed', 'throughput', 'failed', 'waiting_time', 'execution_time'].map(k => get(`/metrics/${encodeURIComponent(`queue:${q.queue}:${k}`)}`)))));
  const add = (k, of) => { const at = new Map(); for (const one of all) for (const p of one[k]) at.set(p.at, (at.get(p.at) ?? 0) + (of(p) ?? 0)); return [...at].sort(([a], [b]) => a < b ? -1 : 1).map(([t, value]) => ({ at: t, value })); };
  const mean = k => { const s = add(k, p => p.value), n = add(k, p => p.count); return s.map((p, i) => ({ at: p.at, value: n[i].value ? p.value / n[i].value : 0 })); };
  main.append(el('h2', {}, 'Findings'), check());
  main.append(el('div', { class: 'charts' }, chart('Rate', 'jobs a second', ['pushed', recent(add(0, rate), known)], ['done', recent(add(1, rate), known)]), chart('Latency', 'seconds', ['waits', recent(mean(3))], ['runs', recent(mean(4))]), chart('Errors', 'failed a minute', ['failed', recent(add(2, p => p.value), known)])),
    el('h2', {}, 'Queues'), table(listed.length < queues.length ? `The ${listed.length} queues whose jobs wait the longest` : 'Queues now', queueColumns, listed),
    listed.length < queues.length ? el('p', {}, el('a', { href: '#/queues' }, `All ${number(queues.length)} queues`)) : '', el('h2', {}, 'Failed last'),
    table('Failed jobs, the one that ended last first', [['Job', j => jobLink(j.id), 'id'], ['Func', j => j.func, 'word'], ['Queue', j => queueLink(j.queue), 'word'], ['Ended', j => when(j.completed_at)], ['Error', j => j.error]], failed), el('p', {}, el('a', { href: '#/jobs?state=failed' }, 'All failed jobs')));
}

export async function queues(main) {
  main.append(el('h1', {}, 'Queues'), table('Queues now', queueColumns, await get('/queues')));
}

export async function queue(main, query, again, name) {
  const path = `/queues/${encodeURIComponent(name)}`, [q, holders] = await Promise.all([get(path), get(`/held?queue=${encodeURIComponent(name)}`)]), tools = el('div', { class: 'row' });
  if (may('operator') && q.settings) tools.append(q.state === 'paused' ? button('Resume', again, 'POST', `${path}/resume`) : button('Pause', again, 'POST', `${path}/pause`));
  if (may('admin') && q.settings) tools.append(button('Delete the queue', gone => { if (gone) location.hash = '#/queues'; }, 'DELETE', path, `Delete ${name} and all its jobs?`));
  const jobsOf = s => el('a', { href: `#/jobs?${new URLSearchParams({ queue: name, state: s })}` }, s);
  main.append(el('h1', {}, 'Queue ', name), tools, unserved(q) ? el('p', { class: 'bad' }, 'Its due jobs wait and no live worker serves it. Start one: ', el('code', {}, `chancy worker --queue ${shell(name)} …`)) : '',
    q.state === 'paused' ? el('p', {}, 'Paused: nobody takes its jobs', q.settings?.resume_at ? [', until it resumes by itself ', when(q.settings.resume_at)] : '', q.workers === 0 ? '. No live worker serves it either.' : '.') : '', holders.length ? held(holders) : '',
    table('Now', queueColumns.slice(1), [q]), el('p', { class: 'row' }, 'Its jobs: ', ['pending', 'running', 'retrying', 'failed', 'succeeded'].map(jobsOf)),
    await charts(`queue:${name}`, `queue:${name}:pushed`, `queue:${name}:throughput`, `queue:${name}:failed`));
  if (q.settings) main.append(el('h2', {}, 'Settings'), el('dl', {}, Object.entries(q.settings).filter(([, v]) => v !== null).flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, typeof v === 'object' ? JSON.stringify(v) : String(v))])));
}

export async function workers(main) {
  main.append(el('h1', {}, 'Workers'), table('Workers', [['Worker', w => w.worker_id], ['Alive', w => w.alive ? 'yes' : el('span', { class: 'bad' }, 'no: expired')], ['Queues', w => (w.queues ?? []).join(', ')],
    ['Tags', w => (w.tags ?? []).join(', ')], ['Last seen', w => when(w.last_seen)], ['Expires', w => when(w.expires_at)], ['Role', w => w.owner]], await get('/workers')));
}

export async function schedules(main, query, again) {
  const tools = c => {
    const path = `/schedules/${encodeURIComponent(c.key)}`;
    return el('div', { class: 'row' }, may('operator') ? [button('Run now', again, 'POST', `${path}/run`), c.paused ? button('Resume', again, 'POST', `${path}/resume`) : button('Pause', again, 'POST', `${path}/pause`)] : [],
      may('admin') ? button('Delete', again, 'DELETE', path, `Delete the schedule ${c.key}?`) : []);
  };
  main.append(el('h1', {}, 'Schedules'), table('Schedules', [['Key', c => c.key], ['When', c => `${c.expression} (${c.time_zone})`], ['Func', c => c.func], ['Queue', c => queueLink(c.queue)], ['Last run', c => when(c.last_run)],
    ['Next runs', c => c.paused ? state('paused') : el('span', {}, c.next_runs.map(t => el('div', {}, when(t))))], ['Actions', tools]], await get('/schedules')));
}

export async function workflows(main) {
  main.append(el('h1', {}, 'Workflows'), table('Workflows, the newest first', [['Workflow', w => el('a', { href: `#/workflow/${w.id}` }, w.id), 'id'], ['Name', w => w.name], ['Status', w => state(w.status)],
    ['Made', w => when(w.created_at)], ['Ended', w => when(w.finished_at)]], await get('/workflows')));
}

export async function workflow(main, query, again, id) {
  const w = await get(`/workflows/${id}`), tools = el('div', { class: 'row' });
  if (may('operator')) tools.append(w.status === 'running' ? button('Cancel', again, 'POST', `/workflows/${id}/cancel`) : ['failed', 'cancelled'].includes(w.status) ? button('Retry', again, 'POST', `/workflows/${id}/retry`) : '');
  main.append(el('h1', {}, w.name, ' ', state(w.status)), w.status === 'failed' ? el('p', { class: 'soft' }, 'If a step failed because of its payload, choose its job: there it runs again with other kwargs, and the workflow goes on.') : '', tools, graph(w.steps.slice(0, 300)), table('Steps', [['Step', s => s.step], ['State', s => state(s.state)], ['After', s => (Array.isArray(s.after) ? s.after : []).join(', ')],
    ['Func', s => s.func, 'word'], ['Job', s => s.job_id ? jobLink(s.job_id) : null, 'id'], ['Error', s => s.state === 'succeeded' ? null : folded(s.error)]], w.steps.slice(0, 1000)));
}

export async function locks(main) {
  const [holders, tables, tasks, rows] = await Promise.all([get('/holders'), get('/tables'), get('/tasks'), get('/held')]);
  main.append(el('h1', {}, 'Locks and bloat'), el('p', {}, 'The oldest snapshot keeps every dead row since then. End a session with ', el('code', {}, 'SELECT pg_terminate_backend(pid)'), '.'), held(rows),
    table('Who holds what back, the oldest snapshot first', [['Pid', h => h.pid, 'number'], ['What', h => h.name ? `${h.kind} ${h.name}` : h.kind], ['Role', h => h.role], ['Application', h => h.application], ['State', h => h.state],
      ['Since', h => when(h.since)], ['Snapshot age', h => h.age === null ? null : `${number(h.age)} transactions`, 'number'], ['Locks', h => h.locks.join(', ')], ['Blocks', h => h.blocks.join(', ')]], holders),
    el('h2', {}, 'Tables'), table('Sizes and dead rows', [['Table', t => t.name], ['Size', t => bytes(t.bytes), 'number'], ['Indexes', t => bytes(t.index_bytes), 'number'], ['Live rows', t => number(t.live), 'number'],
      ['Dead rows', t => number(t.dead), 'number'], ['Vacuumed', t => when(t.last_vacuum)], ['Analyzed', t => when(t.last_analyze)]], tables),
    el('h2', {}, 'Maintenance'), table('Tasks', [['Task', t => t.name], ['On', t => t.enabled ? 'yes' : 'no'], ['Every', t => span(t.every)], ['Last run', t => when(t.last_run)], ['Next', t => when(t.next_due)], ['Error', t => t.error]], tasks));
}
