// A page of another origin, in a real browser: what it can make the browser send is refused, and rebinding leads nowhere.

import assert from 'node:assert/strict';
import {createServer} from 'node:http';
import {api, base, browser, letter} from './browser.mjs';

const PAGE = '<!doctype html><title>Elsewhere</title><form id="form" method="post" enctype="text/plain" target="hidden"><input name="a"></form><iframe name="hidden"></iframe>';

export async function foreign() {
  const id = await letter('no order');
  const before = (await api('/stats')).body.received;
  const refusedBefore = await refused();
  const elsewhere = createServer((_, response) => response.writeHead(200, {'content-type': 'text/html'}).end(PAGE));
  await new Promise((done) => elsewhere.listen(0, '127.0.0.1', done));
  const chrome = await browser(['--host-resolver-rules=MAP evil.example 127.0.0.1']);
  try {
    const {port} = elsewhere.address();
    for (const origin of [`http://127.0.0.1:${port}`, `http://evil.example:${port}`]) await visit(chrome, origin, id);
    const page = await (await chrome.newContext()).newPage();
    const rebound = await page.goto(`http://evil.example:${new URL(base).port}/`);
    assert.equal(rebound.status(), 403, 'a name of its own that leads here');
  } finally {
    await chrome.close();
    elsewhere.close();
  }
  assert.equal((await api('/stats')).body.received, before);
  assert.equal((await api(`/dead-letters/${id}`)).body.state, 'open');
  assert.ok(await refused() - refusedBefore >= 2 * 7, 'each request of both pages came here, and was refused');
}

async function refused() {
  const metrics = await (await fetch(`${base}/metrics`)).text();
  return Number(/waybill_http_refused_total\{cause="cross-site"\} (\d+)/.exec(metrics)?.[1] ?? 0);
}

async function visit(chrome, origin, id) {
  const page = await (await chrome.newContext()).newPage();
  const answers = new Map();
  page.on('response', (response) => {
    if (response.url().startsWith(base)) answers.set(`${response.request().method()} ${new URL(response.url()).pathname}`, response.status());
  });
  await page.goto(origin);
  const learned = await page.evaluate(async ([to, letter]) => {
    const learned = [];
    // The browser keeps the answer from the page: that there was one is all that it could learn.
    const ask = (path, options) => fetch(`${to}/api/v1${path}`, {mode: 'no-cors', credentials: 'include', ...options})
      .then(() => learned.push(path), () => {});
    const post = (path, body) => ask(path, {method: 'POST', headers: {'content-type': 'text/plain'}, body});
    await post('/orders', '{}');
    await post(`/dead-letters/${letter}/resubmit?as=evil`, '{}');
    await post(`/dead-letters/${letter}/retry`, '{}');
    await ask('/reconciliation?verify=true', {});
    await new Promise((done) => { Object.assign(new Image(), {onerror: done, src: `${to}/api/v1/inbox/1`}); });
    await new Promise((done) => { new EventSource(`${to}/api/v1/stream`).onerror = done; });
    const form = document.getElementById('form');
    const answered = new Promise((done) => { form.nextElementSibling.onload = done; });
    form.action = `${to}/api/v1/replays`;
    form.submit();
    await answered;
    return learned;
  }, [base, id]);
  assert.deepEqual(learned, []);
  assert.equal(answers.get('POST /api/v1/replays'), 403);
  for (const [request, status] of answers) assert.equal(status, 403, request);
}
