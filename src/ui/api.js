// The API as everybody has it. Every error is a Problem: what failed, on what, and what to try.

import {parse} from './json.js';
import {signIn} from './session.js';

const BASE = '/api/v1';

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.kind = String(body.type ?? '').split(':').pop();
    this.links = Array.isArray(body.links) ? body.links : [];
    this.mistakes = Array.isArray(body.mistakes) ? body.mistakes : [];
  }

  get away() {
    return this.status === 0 || this.status === 503;
  }

  // The ids of what a link of this kind leads to: the last part of its path.
  linked(rel) {
    return this.links.filter((link) => link.rel === rel).map((link) => decodeURIComponent(link.href.split('/').pop()));
  }
}

// Not known; or one of too many who were not, and who are told when to come again.
function isStranger(status, text) {
  return status === 401 || (status === 429 && text.includes('urn:waybill:problem:slowed'));
}

async function ask(path, options = {}) {
  let response;
  let text;
  try {
    response = await fetch(BASE + path, options);
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, {type: 'unreachable', detail: 'The service does not answer. It may be stopping or starting; this page tries again.'});
  }
  if (response.ok) return {text, response};
  // The token is not there, or has ended. Whoever signs in goes on where he was.
  if (isStranger(response.status, text) && !options.signal?.aborted && await signIn()) return ask(path, options);
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    // Something between us and the service answered.
  }
  throw new Problem(response.status, body);
}

export async function get(path, signal) {
  return parse((await ask(path, {signal})).text);
}

export async function getText(path, signal) {
  return (await ask(path, {signal})).text;
}

export async function getBytes(path, signal) {
  const response = await fetch(BASE + path, {signal});
  if (!response.ok) {
    if (isStranger(response.status, await response.text()) && !signal?.aborted && await signIn()) return getBytes(path, signal);
    throw new Problem(response.status, {});
  }
  return new Uint8Array(await response.arrayBuffer());
}

// With a key of its own, so that the same click sent twice decides once.
export async function post(path, body, key = newKey()) {
  const {text} = await ask(path, {
    method: 'POST',
    headers: {'content-type': 'application/json', 'idempotency-key': key},
    body: JSON.stringify(body ?? null),
  });
  return parse(text);
}

export async function send(method, path, bytes, {key = newKey(), signal} = {}) {
  const headers = {'content-type': 'application/octet-stream'};
  if (key) headers['idempotency-key'] = key;
  const {text} = await ask(path, {method, headers, body: bytes, signal});
  return parse(text);
}

export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// From an object without its empty fields.
export function query(fields) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, value);
  }
  const text = search.toString();
  return text ? `?${text}` : '';
}
