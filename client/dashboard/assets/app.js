// Which page is shown, who is logged in, and that it is shown again when something happens.
import { forget, logIn, logOut, resume, session } from './api.js';
import { el, field, forgetSaid, say } from './dom.js';
import { job, jobs } from './jobs.js';
import { locks, overview, queue, queues, schedules, workers, workflow, workflows } from './pages.js';

const pages = { '': overview, queues, queue, jobs, job, workers, schedules, workflows, workflow, locks };
const titles = [['', 'Overview'], ['queues', 'Queues'], ['jobs', 'Jobs'], ['workers', 'Workers'], ['schedules', 'Schedules'], ['workflows', 'Workflows'], ['locks', 'Locks and bloat']];
const belongs = { queue: 'queues', job: 'jobs', workflow: 'workflows' };
const main = document.getElementById('main');
let shown = 0, events = null, stale = false, trouble = false;

function frame(name) {
  document.getElementById('nav').replaceChildren(...(session ? titles.map(([page, title]) => el('a', { href: `#/${page}`, 'aria-current': (belongs[name] ?? name) === page ? 'page' : null }, title)) : []));
  document.getElementById('who').replaceChildren(...(session ? [`${session.name} (${session.role}) `, el('button', { onclick: leave }, 'Log out')] : []));
}

async function leave() {
  await logOut();
  events?.close();
  events = null;
  show();
}

function login() {
  frame('');
  main.replaceChildren(el('form', { class: 'login', onsubmit: async e => {
    e.preventDefault();
    const f = new FormData(e.target);
    try {
      await logIn(f.get('name'), f.get('password'));
      say('');
      show();
    } catch (problem) { say(problem.message, true); }
  } }, el('h1', {}, 'Log in'), field('Name', el('input', { name: 'name', autocomplete: 'username', required: true, autofocus: true })),
  field('Password', el('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true })), el('button', { class: 'main' }, 'Log in')));
  main.querySelector('input').focus();
}

// Drawn aside and put in place at once: no flicker, and the place in the page stays. unasked: nobody waits for it, so not under
// the hands of somebody who began something meanwhile.
async function show(again = false, unasked = false) {
  const turn = ++shown, [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?'), [name, ...rest] = path.split('/');
  if (!session) try { await resume(); } catch { return login(); }
  if (!events) listen();
  frame(name);
  let page = el('div');
  try {
    if (!Object.hasOwn(pages, name)) throw Object.assign(new Error(`There is no page ${path}.`), { status: 404 });
    await pages[name](page, new URLSearchParams(search), () => show(true), decodeURIComponent(rest.join('/')));
  } catch (e) {
    if (e.status === 401) { forget(); return login(); }
    if (turn !== shown) return;
    // What has been there stays to be read, unless it is gone for good.
    if (again && e.status !== 404) { trouble = true; say(e.message, true); return; }
    page = el('div', {}, el('h1', {}, e.status === 404 ? 'Not found' : 'That did not work'), el('p', { class: 'bad', role: 'alert' }, e.message), el('p', {}, el('a', { href: '#/' }, 'Overview')));
  }
  if (turn !== shown) return;
  if (trouble) say('');
  trouble = false;
  if (unasked) forgetSaid();
  if (unasked && busy()) { stale = true; return; }
  main.replaceChildren(page);
  document.title = `${page.querySelector('h1')?.textContent ?? 'chancy'} – chancy`;
  if (!unasked) main.focus({ preventScroll: true });
  if (!again) { say(''); window.scrollTo(0, 0); }
}

// Something happened: look again soon, unless somebody types, reads a folded part or is not here.
function listen() {
  events = new EventSource('/api/v1/events');
  events.onmessage = () => { stale = true; };
}
function busy() {
  return main.querySelector('details[open]') || main.contains(document.activeElement) && document.activeElement.matches('input, select, textarea, button, a, pre');
}
function refresh(force) {
  if (!session || document.hidden || (!stale && !force) || busy()) return;
  stale = false;
  show(true, true);
}
setInterval(refresh, 2000);
setInterval(() => refresh(true), 30000);
document.addEventListener('keydown', e => {
  if (e.key === '/' && !e.target.matches('input, textarea, select')) { e.preventDefault(); location.hash = '#/jobs'; }
});
window.addEventListener('hashchange', () => show());
show();
