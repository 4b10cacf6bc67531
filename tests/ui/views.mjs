// All views: what they say, by keyboard, on a phone, in the dark, and with hostile data.

import assert from 'node:assert/strict';
import {accepted, accessible, api, button, letter, noSideways, open, order, ruled, see, send, until} from './browser.mjs';

export async function live(chrome) {
  const page = await open(chrome);
  await page.goto('/');
  await page.locator('#state[data-state="good"]').waitFor();
  await page.evaluate(() => { globalThis.stays = true; });
  await send(order('live-1'));
  await page.getByRole('link', {name: 'live-1'}).waitFor();
  await page.getByRole('navigation').getByRole('link', {name: 'Live'}).click();
  await page.getByRole('link', {name: 'live-1'}).waitFor();
  await until('the chart moves', async () => (await page.locator('.chart .stroke').first().getAttribute('d')).length > 20);
  assert.ok(await page.evaluate(() => globalThis.stays), 'the page was not loaded anew');
  await page.leave();
}

export async function operations(chrome) {
  const page = await open(chrome);
  await page.goto('/operations');
  await button(page, 'Start a replay …').click();
  await page.getByLabel('Reason').fill('to see it');
  await button(page, 'Start it').click();
  await page.waitForURL('**/operations/*');
  await page.locator('.operation .badge').getByText('done').waitFor({timeout: 30_000});
  await page.goto('/account');
  await see(page, 'It balances');
  await button(page, 'Count every row again').click();
  await see(page, 'Each has exactly one fate');
  await page.getByRole('link', {name: 'Swagger UI'}).click();
  await page.waitForURL('**/docs');
  await page.locator('.swagger-ui .info').waitFor();
  await page.leave();
}

export async function keyboard(chrome) {
  await accepted(order('keys-1', (one) => { one.track_number = 'KEYS'; }));
  await accepted(order('keys-2', (one) => { one.track_number = 'KEYS'; }));
  const id = await letter(JSON.stringify(order('keys-3', (one) => { delete one.customer_id; })));
  const page = await open(chrome, {who: null});
  const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
  const focus = () => page.evaluate(() => document.activeElement.textContent);
  const reach = async (name) => {
    for (let n = 0; n < 80 && (await focus()) !== name; n += 1) await press('Tab');
    assert.equal(await focus(), name);
  };
  await page.goto('/groups');
  await see(page, 'What is wrong');
  await press('/');
  await page.keyboard.type('KEYS');
  await press('Enter');
  await see(page, '2 orders with the track number');
  await press('ArrowDown', 'ArrowDown');
  assert.equal(await focus(), 'keys-1');
  await press('Enter');
  await page.waitForURL('**/orders/keys-1');
  await see(page, 'Mascaras');
  await reach('Show JSON');
  await press('Enter');
  await see(page, '"order_uid": "keys-1"');
  await press('?');
  await page.getByRole('dialog').waitFor();
  await press('Escape');

  await page.goto('/letters?text=keys-3');
  await page.getByRole('link', {name: String(id), exact: true}).waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await press('ArrowDown', 'Enter');
  await page.waitForURL(`**/letters/${id}`);
  await button(page, 'Edit and resubmit').waitFor();
  assert.match(await focus(), /customer_id is missing/, 'a new view has the focus');
  await reach('Edit and resubmit');
  await press('Enter');
  await page.locator('#editor').waitFor();
  await press('Control+Home', 'End');
  await page.keyboard.type('"customer_id": "me",');
  await see(page, 'This is an order');
  await press('Control+Enter');
  await see(page, 'What you changed');
  await page.keyboard.type('by hand');
  await reach('Send it');
  await press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.type('Grace');
  await press('Enter');
  await see(page, 'It is an order now');
  await page.leave();
}

async function addresses() {
  const letters = (await api('/dead-letters?limit=200')).body.items;
  const reasons = new Map(letters.map((one) => [one.reason + one.state, one.id]));
  const operation = (await api('/operations?limit=1')).body.items[0]?.id;
  return ['/', '/?q=WBILMTESTTRACK', '/?q=nothing', '/orders/views-1', '/orders/nothing', '/live', '/groups', '/groups?state=', '/letters', '/letters?state=any&reason=schema&code=x',
    ...[...reasons.values()].map((id) => `/letters/${id}`), '/letters/999999999', '/collections', '/collections/orders', '/collections/nothing', '/c/nothing', '/operations', `/operations/${operation}`, '/account', '/audit', '/nowhere'];
}

async function settle(page, path) {
  await page.goto(path);
  await page.locator('main h1').waitFor();
  await page.locator('#state[data-state="good"]').waitFor();
}

// What is behind a click, and is a view of its own to those who look at it.
const BEHIND = [
  ['the raw JSON', '/orders/views-1', (page) => button(page, 'Show JSON').click()],
  ['the editor', '/letters?text=views-2', async (page) => {
    await page.locator('[data-row]').first().click();
    await button(page, 'Edit and resubmit').click();
    await see(page, 'Not yet an order');
  }],
  ['the difference', null, async (page) => {
    await page.locator('#editor').fill('{"order_uid": "views-2"}');
    await button(page, 'See the difference').click();
    await see(page, 'What you changed');
  }],
  ['a dialog', '/letters?text=views-2', async (page) => {
    await page.locator('[data-row]').first().click();
    await button(page, 'Discard …').click();
    await page.getByRole('dialog').waitFor();
  }],
  ['deciding about many', '/letters', async (page) => {
    await page.locator('summary').first().click();
    await button(page, 'Decide about all of them').click();
    await button(page, 'Dry run').click();
    await page.locator('.operation .badge').getByText('done').waitFor();
  }],
  ['mistakes in a definition', '/collections/orders', async (page) => {
    await page.locator('textarea').fill('collection: orders\none: order\nkeyy: /x\n');
    await button(page, 'Plan').click();
    await page.locator('.told.bad').first().waitFor();
  }],
  ['what a new definition changes', '/collections/orders', async (page) => {
    const area = page.locator('textarea');
    await area.fill(ruled(await area.inputValue(), 'x', 'm', 'order.payment.amount > 0'));
    await button(page, 'Apply …').click();
    await see(page, 'What changes');
  }],
  ['a new collection', '/collections', async (page) => {
    await button(page, 'Define a new one …').click();
    await button(page, 'Plan').waitFor();
  }],
  ['the keys', '/', async (page) => {
    await button(page, 'Keyboard').click();
    await page.getByRole('dialog').waitFor();
  }],
];

// Each view, on a phone and on a screen, in light and in dark.
export async function everyView(chrome) {
  await accepted(order('views-1'));
  await letter(JSON.stringify(order('views-1', (one) => { one.locale = 'ru'; one.delivery.name = 'x'.repeat(300); })));
  await letter(JSON.stringify(order('views-2', (one) => { delete one.customer_id; })));
  await letter('{"order_uid": "half');
  await letter(JSON.stringify(order('nul', (one) => { one.delivery.name = 'a\u0000b'; })));
  const paths = await addresses();
  for (const [width, dark] of [[1280, false], [390, true], [1280, true], [390, false]]) {
    const page = await open(chrome, {width, dark, height: width === 390 ? 844 : 900});
    for (const path of paths) {
      await settle(page, path);
      const name = `${path} at ${width}${dark ? ' in the dark' : ''}`;
      await noSideways(page, name);
      await accessible(page, name);
    }
    for (const [what, path, click] of BEHIND) {
      if (path) await settle(page, path);
      await click(page);
      const name = `${what} at ${width}${dark ? ' in the dark' : ''}`;
      await noSideways(page, name);
      await accessible(page, name);
    }
    await page.keyboard.press('Escape');
    const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).reduce((sum, one) => sum + one) > 384);
    assert.equal(light, !dark, 'the system’s choice');
    await page.locator('#theme').click();
    await page.reload();
    const after = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).reduce((sum, one) => sum + one) > 384);
    assert.equal(after, dark, 'the choice stays');
    await page.leave();
  }
}

const EVIL = ['<img src=x onerror="globalThis.hurt=1">', '</script><script>globalThis.hurt=1</script>', '"><svg onload=globalThis.hurt=1>', 'javascript:globalThis.hurt=1', '\u202etxt.exe\u202c'];

function poison(value, evil) {
  if (typeof value === 'string') return evil;
  if (Array.isArray(value)) return value.map((one) => poison(one, evil));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, poison(one, evil)]));
  return value;
}

export async function hostile(chrome) {
  const page = await open(chrome, {who: EVIL[0]});
  const letters = [];
  for (const [index, evil] of EVIL.entries()) {
    const bad = poison(order('x'), evil);
    bad.date_created = '2021-11-26T06:22:19Z';
    bad.order_uid = `${evil}${index}`;
    await accepted(bad);
    letters.push(await letter(JSON.stringify({...bad, locale: 'other'})));
    letters.push(await letter(evil), await letter(JSON.stringify({[evil]: evil, order_uid: evil, payment: evil, items: [evil]})), await letter(`{"order_uid": "${evil.replaceAll('"', '')}`));
    for (const path of [`/orders/${encodeURIComponent(bad.order_uid)}`, `/?q=${encodeURIComponent(evil)}`, `/letters?text=${encodeURIComponent(evil)}&code=${encodeURIComponent(evil)}`]) {
      await page.goto(path);
      await page.locator('main h1').waitFor();
    }
    await page.goto(`/orders/${encodeURIComponent(bad.order_uid)}`);
    await see(page, evil);
    await button(page, 'Show JSON').click();
  }
  await api('/dead-letters/batch', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({action: 'note', filter: {ids: letters}, as: EVIL[0], reason: EVIL[1]})});
  for (const path of ['/', '/live', '/groups', '/letters?state=any', '/operations', '/account', ...letters.map((id) => `/letters/${id}`)]) {
    await page.goto(path);
    await page.locator('main h1').waitFor();
    if (path.startsWith('/letters/')) {
      await button(page, 'Edit and resubmit').click();
      await page.locator('#verdict').getByText(/order/).first().waitFor();
    }
    assert.equal(await page.locator('img, main script, main svg[onload]').count(), 0, path);
  }
  await page.leave();
}
