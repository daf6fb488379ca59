// The HTTP API, as the pages use it.
import { el, say } from './dom.js';

export let session = null;
const ranks = ['reader', 'operator', 'admin'];
export const may = role => session && ranks.indexOf(session.role) >= ranks.indexOf(role);
export function forget() { session = null; }

export async function call(method, path, body, again = true) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (session) headers['X-CSRF-Token'] = session.csrf;
  const response = await fetch('/api/v1' + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const answer = await response.json();
  if (response.ok) return answer;
  // Another tab has logged in anew: its session is ours, and has a token of its own.
  if (response.status === 403 && again && answer.detail?.startsWith('X-CSRF-Token')) {
    await resume();
    return call(method, path, body, false);
  }
  const e = new Error([answer.detail || answer.title, answer.hint, answer.sqlstate && `(SQLSTATE ${answer.sqlstate})`].filter(Boolean).join(' '));
  e.status = response.status;
  throw e;
}
export const get = path => call('GET', path);
export async function resume() { session = await get('/session'); }
export async function logIn(name, password) { session = await call('POST', '/session', { name, password }); }
export async function logOut() { await call('DELETE', '/session'); session = null; }

// An action: said how it went, and the page looks again. A done of false is no error, but nothing was done either.
export async function act(what, method, path, body) {
  try {
    const answer = await call(method, path, body);
    if (answer.done === false) say(`${what}: nothing was done, it is not in a state for that`, true);
    else say(answer.tried !== undefined ? `${what}: ${answer.done} of ${answer.tried} jobs` : `${what}: done`);
    return answer;
  } catch (e) {
    if (e.status === 401) say([`${what}: the session has ended. What you typed stays: `, el('a', { href: '/', target: '_blank' }, 'log in in another tab'), ', then press it again.'], true);
    else say(`${what}: ${e.message}`, true);
    return null;
  }
}
