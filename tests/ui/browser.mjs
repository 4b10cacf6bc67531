// What the browser tests stand on: Chromium, a page that fails on what must not happen, and the service's API.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';
import {chromium} from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const base = process.env.WAYBILL_URL;
const lines = createInterface({input: process.stdin})[Symbol.asyncIterator]();

// Asks the Rust test to do something to the servers, and waits until it is done; what it answers.
export async function need(what) {
  console.log(`need ${what}`);
  const {value} = await lines.next();
  assert.match(value, /^done /, what);
  return value.slice('done '.length);
}

export async function browser(more = []) {
  return chromium.launch({executablePath: process.env.WAYBILL_CHROMIUM ?? '/usr/bin/chromium', headless: true, args: [...ARGS, ...more]});
}

// A page of its own storage. Nothing may leave the host (but to `also`, another origin), nothing may run that was only data, the console stays empty: what a
// test provokes of the API (404, 409, 422, 503) is the browser's own remark, and allowed.
export async function open(chrome, {at = base, also = null, width = 1280, height = 900, dark = false, who = 'ada', reduced = true} = {}) {
  const context = await chrome.newContext({
    viewport: {width, height}, colorScheme: dark ? 'dark' : 'light', reducedMotion: reduced ? 'reduce' : 'no-preference', locale: 'en-GB', timezoneId: 'Europe/Berlin', baseURL: at,
  });
  const page = await context.newPage();
  const wrong = [];
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.origin !== new URL(at).origin && url.origin !== also) wrong.push(`a request left: ${url}`);
  });
  page.on('console', (message) => {
    const refused = message.text().startsWith('Failed to load resource') && /\/api\/v1\/|\/nowhere$|\/sign-in\/oidc/.test(message.location().url);
    if (['error', 'warning'].includes(message.type()) && !refused) wrong.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack}`));
  page.on('dialog', (dialog) => {
    wrong.push(`a dialog of the browser: ${dialog.message()}`);
    dialog.dismiss();
  });
  if (who) await page.addInitScript((name) => localStorage.setItem('waybill.who', name), who);
  page.setDefaultTimeout(10_000);
  page.leave = async () => {
    assert.deepEqual(wrong, []);
    assert.equal(await page.evaluate(() => globalThis.hurt), undefined, 'data became code');
    assert.equal(await page.locator('img, iframe, object, embed').count(), 0, 'data became an element');
    await context.close();
  };
  return page;
}

export async function see(page, text, inside = 'main') {
  await page.locator(inside).getByText(text).first().waitFor();
}

export function button(page, name) {
  return page.getByRole('button', {name, exact: true});
}

// No serious and no critical violation.
export async function accessible(page, name) {
  await page.evaluate(axe);
  const {violations} = await page.evaluate(() => globalThis.axe.run(document, {resultTypes: ['violations']}));
  const bad = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
  assert.deepEqual(bad.map((one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))]), [], name);
}

// Nothing is wider than the page, and no table than the card that would cut it off.
export async function noSideways(page, name) {
  const cut = await page.locator('.tabled').evaluateAll((all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText.slice(0, 200)));
  assert.deepEqual(cut, [], name);
  const [content, width] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(content <= width, `${name} is ${content} wide on ${width}`);
}

// --- the API ---

export async function api(path, options) {
  const response = await fetch(`${base}/api/v1${path}`, options);
  const text = await response.text();
  return {status: response.status, body: text ? JSON.parse(text) : null};
}

export async function send(payload, collection = 'orders') {
  const {status, body} = await api(`/${collection}`, {method: 'POST', headers: {'content-type': 'application/octet-stream'}, body: typeof payload === 'string' ? payload : JSON.stringify(payload)});
  assert.equal(status, 202);
  return body.position;
}

export async function until(what, look, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// A definition in force: its YAML, under its name.
export async function define(name, text, {replaces = '', who = 'ada', why = 'a test'} = {}) {
  return api(`/collections/${name}?${new URLSearchParams({as: who, reason: why, ...(replaces === '' ? {} : {replaces})})}`, {method: 'PUT', headers: {'content-type': 'application/octet-stream'}, body: text});
}

export const definition = async (name) => (await api(`/collections/${name}`)).body.text;

// The definition of orders with one more rule.
export function ruled(text, id, says, rule) {
  return `${text.trimEnd()}\nrules:\n  - id: ${id}\n    field: /payment/currency\n    message: ${says}\n    rule: ${rule}\n`;
}

export function decide(id, action, body) {
  return api(`/dead-letters/${id}/${action}`, {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(body)});
}

// Sends what is no order, and waits until it is a letter.
export async function letter(payload) {
  const id = await send(payload);
  await until(`letter ${id}`, async () => (await api(`/dead-letters/${id}`)).status === 200);
  return id;
}

const model = JSON.parse(readFileSync(new URL('../../src/collection/order.json', import.meta.url), 'utf8'));

export function order(uid, change = () => {}) {
  const made = structuredClone(model);
  made.order_uid = uid;
  made.payment.transaction = uid;
  change(made);
  return made;
}

export async function accepted(payload) {
  await send(payload);
  await until(`order ${payload.order_uid}`, async () => (await api(`/orders/${encodeURIComponent(payload.order_uid)}`)).status === 200);
}
