// Collections of any kind, beside orders: their lists, documents, versions and sums; and definitions, planned and applied.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {accepted, accessible, api, button, define, definition, letter, noSideways, open, order, ruled, see, send, until} from './browser.mjs';

const example = (name) => readFileSync(new URL(`../../examples/${name}.yaml`, import.meta.url), 'utf8');

export async function defining(chrome) {
  const before = await definition('orders');
  const page = await open(chrome);
  await page.goto('/collections');
  await page.locator('main').getByRole('link', {name: 'Orders', exact: true}).click();
  await page.waitForURL('**/collections/orders');
  const editor = page.locator('textarea');
  await editor.fill(ruled(before, 'x', 'm', 'order.payment.amout > 0'));
  await button(page, 'Plan').click();
  await see(page, '1 mistake');
  await page.getByRole('button', {name: /^line \d+, column/}).click();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'TEXTAREA');

  await accepted(order('rub-1', (one) => { one.payment.currency = 'RUB'; }));
  await editor.fill(ruled(before, 'not_rub', 'No roubles here.', 'order.payment.currency != "RUB"'));
  await button(page, 'Plan').click();
  await see(page, /of today’s [\d,]+ documents? would be refused/);
  await page.getByRole('link', {name: 'rub-1'}).waitFor();
  assert.equal(await definition('orders'), before, 'a plan changes nothing');
  await accessible(page, 'a plan');
  await button(page, 'Apply …').click();
  await page.getByLabel('Reason').fill('sanctions');

  // Somebody else applies theirs meanwhile.
  const theirs = await define('orders', ruled(before, 'theirs', 'm', 'order.sm_id >= 0'), {who: 'Eve', why: 'mine'});
  assert.equal(theirs.status, 200);
  await button(page, 'Apply').click();
  await see(page, 'Others came between');
  await see(page, 'Eve applied a definition');
  await button(page, 'Go on with mine').click();
  await page.getByLabel('Reason').fill('sanctions');
  await button(page, 'Apply').click();
  const now = page.locator('.history li').first();
  await now.getByText('sanctions').waitFor();
  await now.locator('summary', {hasText: 'What changed'}).click();
  assert.deepEqual(await now.locator('.diff del').allTextContents(), ['−removed:   - id: theirs', '−removed:     message: m', '−removed:     rule: order.sm_id >= 0']);

  // What is fixed for its life is refused, in words.
  await editor.fill(before.replace('key: /order_uid', 'key: /track_number'));
  await button(page, 'Apply …').click();
  await button(page, 'Apply').click();
  await see(page, 'are fixed for the life of a collection');

  // The definition judges what is typed, too.
  await page.goto(`/letters/${await letter(order('rub-2', (one) => { one.payment.currency = 'RUB'; }))}`);
  await see(page, 'against a rule');
  await button(page, 'Edit and resubmit').click();
  await see(page, 'Not yet an order: 1 to mend');
  const mended = page.locator('#editor');
  await mended.fill((await mended.inputValue()).replace('RUB', 'USD'));
  await see(page, 'This is an order');
  assert.equal((await define('orders', before)).status, 200);
  await page.leave();
}

const task = (version, state, more = {}) => ({task_id: 't1', version, table: 4, state, dishes: [{dish: 'ramen', count: 2}], ...more});
const entry = (id, customer, more) => ({entry_id: id, customer, kind: 'purchase', at: '2026-11-30T10:00:00Z', ...more});

// Applies it by hand, as a stranger to the command line would.
async function made(page, name) {
  await page.goto('/collections');
  await button(page, 'Define a new one …').click();
  await page.locator('textarea').fill(example(name));
  await button(page, 'Plan').click();
  await see(page, `${name} would be new`);
  await button(page, 'Apply …').click();
  await see(page, `A new collection: ${name}`);
  await page.getByLabel('Reason').fill('we need it');
  await button(page, 'Apply').click();
  await page.waitForURL(`**/collections/${name}`);
  await see(page, 'we need it');
}

export async function collections(chrome) {
  const page = await open(chrome);
  await page.goto('/');
  await page.locator('#state[data-state="good"]').waitFor();
  assert.ok(await page.locator('#collection').isHidden(), 'with orders alone there is nothing to switch');
  await made(page, 'kitchen');
  await made(page, 'loyalty');

  // The latest is kept: its list, its document, its versions, and that it is gone.
  for (const one of [task(1, 'ordered'), task(3, 'ready'), {...task(1, 'cooking'), task_id: 't2', table: 5}]) await send(one, 'kitchen');
  await until('the tasks', async () => (await api('/kitchen')).body.items.length === 2);
  await page.goto('/');
  await page.locator('#collection').selectOption('kitchen');
  await page.waitForURL('**/c/kitchen');
  await page.getByRole('heading', {name: 'Find a task'}).waitFor();
  const rows = (count) => until(`${count} rows`, async () => (await page.locator('tbody tr').count()) === count);
  await rows(2);
  assert.deepEqual(await page.locator('thead th').allTextContents(), ['Task', 'Table', 'State', 'Version', 'Note']);
  await page.locator('#find-field').fill('5');
  await page.keyboard.press('Enter');
  await see(page, '1 task with the table');
  await page.getByRole('link', {name: 't2'}).waitFor();
  await page.goto('/c/kitchen?q=t1');
  await page.waitForURL('**/c/kitchen/t1');
  await see(page, 'ramen');
  await see(page, 'What changed from position');
  assert.deepEqual(await page.locator('details[open] .diff ins').allTextContents(), ['+added:   "version": 3,', '+added:   "state": "ready",']);
  await accessible(page, 'a document with versions');
  await send(task(2, 'cooking'), 'kitchen');
  await send(task(4, 'served'), 'kitchen');
  await until('it is gone', async () => (await api('/kitchen/t1')).status === 404);
  await page.reload();
  await see(page, 'Gone');
  for (const text of ['took it away', 'came too late']) await see(page, text);

  // Sums: by a search for the account, the list of accounts, the statement; what is refused is a letter of its collection.
  for (const one of [entry('e1', 'carla', {amount: 10000, level: 'gold'}), entry('e2', 'carla', {kind: 'redemption', points: 100})]) await send(one, 'loyalty');
  const refused = await send(entry('e3', 'carla', {kind: 'redemption', points: 900}), 'loyalty');
  await until('the letter', async () => (await api(`/dead-letters/${refused}`)).status === 200);
  await page.locator('#collection').selectOption('loyalty');
  await page.waitForURL('**/c/loyalty');
  await page.locator('#find-field').fill('carla');
  await page.keyboard.press('Enter');
  await see(page, 'its sum is 200');
  await see(page, '2 entries with the customer');
  await page.getByRole('link', {name: 'Account carla'}).click();
  await page.waitForURL('**/sums/loyalty/carla');
  await see(page, '2 entries, newest first');
  assert.deepEqual(await page.locator('tbody .big').allTextContents(), ['-100', '+300']);
  await page.goto('/sums/loyalty');
  await page.getByRole('link', {name: 'carla'}).waitFor();

  // Letters and groups tell whose they are, and are filtered by it.
  await page.goto('/groups?state=');
  await page.getByLabel('Collection', {exact: true}).last().selectOption('loyalty');
  await page.waitForURL('**collection=loyalty**');
  await rows(1);
  await page.locator('tbody .badge').getByText('against its sum').waitFor();
  await page.goto('/letters?collection=loyalty&state=any');
  await rows(1);
  await page.getByRole('link', {name: String(refused), exact: true}).click();
  await see(page, 'Loyalty points');
  await button(page, 'Edit and resubmit').click();
  await see(page, 'This is an entry');
  await page.leave();

  for (const [width, dark] of [[1280, false], [390, true]]) {
    const other = await open(chrome, {width, dark, height: width === 390 ? 844 : 900});
    for (const path of ['/c/kitchen', '/c/kitchen/t1', '/c/kitchen/t2', '/c/loyalty/e1', '/c/loyalty?q=carla', '/sums/loyalty', '/sums/loyalty/carla', '/sums/loyalty/nobody', '/collections', '/collections/kitchen', '/groups?state=', '/letters?state=any', '/live']) {
      await other.goto(path);
      await other.locator('main h1').waitFor();
      await other.locator('#state[data-state="good"]').waitFor();
      const name = `${path} at ${width}${dark ? ' in the dark' : ''}`;
      await noSideways(other, name);
      await accessible(other, name);
    }
    await other.leave();
  }
  for (const name of ['kitchen', 'loyalty']) assert.equal((await api(`/collections/${name}?as=ada&reason=over`, {method: 'DELETE'})).status, 200);
}
