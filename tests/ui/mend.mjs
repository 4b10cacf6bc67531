// Dead letters brought home by hand: one by one, all at once, and against somebody else.

import assert from 'node:assert/strict';
import {accessible, api, button, decide, letter, open, order, see, send, until} from './browser.mjs';

const broken = (uid) => JSON.stringify(order(uid, (one) => { one.payment.amount = -1817; one.date_created = 'yesterday'; }));

export async function mending(chrome) {
  const id = await letter(broken('mend-1'));
  const page = await open(chrome, {who: null});
  await page.goto('/groups');
  await page.getByRole('link', {name: /payment.amount must not be negative/}).first().click();
  await page.waitForURL('**/letters?*fingerprint=*');
  await page.getByRole('link', {name: String(id), exact: true}).click();
  await see(page, '2 mistakes');
  assert.deepEqual(await page.locator('mark').allTextContents(), ['-1817', '"yesterday"']);
  await page.getByRole('button', {name: /line 1, column/}).first().click();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), '-1817', 'a place leads to its mark');

  await button(page, 'Edit and resubmit').click();
  await see(page, 'Not yet an order: 2 to mend');
  await accessible(page, 'the editor');
  const editor = page.locator('#editor');
  await editor.fill((await editor.inputValue()).replace('-1817', '1817'));
  await see(page, 'Not yet an order: 1 to mend');
  await editor.fill((await editor.inputValue()).replace('yesterday', '2021-11-26T06:22:19Z'));
  await see(page, 'This is an order');
  await button(page, 'See the difference').click();
  await see(page, 'What you changed');
  assert.deepEqual(await page.locator('.diff del').allTextContents(), ['−removed:     "amount": -1817,', '−removed:   "date_created": "yesterday",']);
  await accessible(page, 'the difference');
  await page.getByLabel('Reason').fill('the shop has confirmed it');
  await button(page, 'Send it').click();
  // Who decides is asked once.
  await page.getByLabel('Your name').fill('Grace');
  await button(page, 'That is me').click();
  await see(page, 'It is an order now');
  await page.getByRole('link', {name: 'Order mend-1'}).click();
  await see(page, 'Mascaras');
  await page.goto(`/letters/${id}`);
  await see(page, 'It was replaced');
  await see(page, 'the shop has confirmed it');
  await see(page, 'Grace');
  const story = (await api(`/dead-letters/${id}`)).body;
  assert.deepEqual([story.state, story.decisions[0].who], ['replaced', 'Grace']);

  const other = await letter(broken('mend-2'));
  await page.goto(`/letters/${other}`);
  await button(page, 'Retry').click();
  await see(page, 'It fails again');
  await see(page, 'Judged');
  await button(page, 'Note').click();
  await page.getByLabel('Reason').fill('asked the shop');
  await button(page, 'Write it').click();
  await see(page, 'asked the shop');
  await button(page, 'Discard …').click();
  await accessible(page, 'a dialog');
  await page.getByLabel('Reason').fill('a test order');
  await button(page, 'Discard it').click();
  await see(page, 'Discarded. It can be reopened.');
  await button(page, 'Reopen').click();
  await see(page, 'It is open again');
  assert.equal((await api(`/dead-letters/${other}`)).body.state, 'open');
  await page.leave();
}

export async function somebodyElse(chrome) {
  const id = await letter(broken('mend-3'));
  const page = await open(chrome);
  await page.goto(`/letters/${id}`);
  await button(page, 'Retry').waitFor();
  await decide(id, 'discard', {as: 'Eve', reason: 'was a test of ours'});
  await button(page, 'Retry').click();
  await see(page, 'Somebody decided first');
  await see(page, 'Eve: discarded (“was a test of ours”)');
  await button(page, 'Reopen').waitFor();

  // The same in the middle of an edit.
  const edited = await letter(broken('mend-4'));
  await page.goto(`/letters/${edited}`);
  await button(page, 'Edit and resubmit').click();
  await button(page, 'See the difference').click();
  await decide(edited, 'discard', {as: 'Eve', reason: 'mine'});
  await button(page, 'Send it').click();
  await see(page, 'Somebody decided first');
  assert.equal((await api(`/dead-letters/${edited}`)).body.state, 'discarded');
  await page.leave();
}

export async function many(chrome) {
  for (let n = 0; n < 60; n += 1) await send(order(`bulk-${n}`, (one) => { one.items = []; }));
  await until('60 letters', async () => (await api('/dead-letters?text=bulk-&limit=100')).body.items.length === 60);
  const page = await open(chrome);
  await page.goto('/letters?text=bulk-&state=open');
  const rows = (count) => until(`${count} rows`, async () => (await page.locator('tbody tr').count()) === count);
  await rows(50);
  await page.getByRole('link', {name: 'Older ones'}).click();
  await page.waitForURL('**after=*');
  await rows(10);
  await page.getByRole('link', {name: 'The newest'}).click();
  await rows(50);
  await button(page, 'Decide about all of them').click();
  await button(page, 'Dry run').click();
  await see(page, 'would fail again');
  await accessible(page, 'a dry run');
  assert.equal((await api('/dead-letters?text=bulk-&state=open&limit=100')).body.items.length, 60, 'a dry run decides nothing');

  await page.getByLabel('What', {exact: true}).selectOption('discard');
  await button(page, 'Do it').click();
  await see(page, 'A discard and a note need a reason');
  await page.getByLabel('Reason').last().fill('no items, no order');
  await page.getByLabel('Letters a second, at most').fill('8');
  await button(page, 'Do it').click();
  await page.locator('.operation').getByText(/^([1-9]|[1-5]\d) of 60/).waitFor();
  await button(page, 'Pause').click();
  await page.locator('.operation .badge').getByText('paused').waitFor();
  await button(page, 'Resume').click();
  await button(page, 'Cancel').click();
  await page.locator('.operation .badge').getByText('cancelled').waitFor();
  const left = (await api('/dead-letters?text=bulk-&state=open&limit=100')).body.items.length;
  assert.ok(left > 0 && left < 60, `${left} are left`);

  // Those that were chosen by hand.
  await page.goto('/letters?text=bulk-&state=open');
  await page.getByLabel(/^Choose letter/).first().check();
  await page.getByLabel(/^Choose letter/).nth(1).check();
  await button(page, 'Decide about all of them').click();
  await see(page, '2 letters chosen');
  await page.getByLabel('What', {exact: true}).selectOption('discard');
  await page.getByLabel('Reason').last().fill('these two');
  await button(page, 'Do it').click();
  await page.locator('.operation .badge').getByText('done').waitFor();
  await until('two are less', async () => (await api('/dead-letters?text=bulk-&state=open&limit=100')).body.items.length === left - 2);
  await page.leave();
}
