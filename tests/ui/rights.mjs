// What one may not do is shown, and says why; and a right that is taken away while the page is open.

import assert from 'node:assert/strict';
import {accessible, button, need, open, see} from './browser.mjs';

async function isDisabled(page, name, yes) {
  await page.locator(`button[aria-disabled="${yes}"]`, {hasText: name}).first().waitFor();
}

export async function rights(chrome) {
  const [at, token, letter] = (await need('support')).split(' ');
  const page = await open(chrome, {at, who: null});
  await page.goto(`/letters/${letter}`);
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('sam');
  await dialog.getByLabel('Token').fill(token);
  await dialog.getByRole('button', {name: 'Sign in'}).click();
  await see(page, 'Edit and resubmit');
  for (const name of ['Edit and resubmit', 'Retry', 'Discard …', 'Note']) await isDisabled(page, name, true);
  await button(page, 'Retry').focus();
  await page.keyboard.press('Enter');
  await see(page, 'sam may not do this: it needs the right decide. An owner can give it.');
  await accessible(page, 'what one may not do');
  await page.goto('/operations');
  await isDisabled(page, 'Start a replay …', true);
  await page.goto('/collections/orders');
  for (const name of ['Plan', 'Apply …']) await isDisabled(page, name, true);
  await page.goto('/collections');
  await isDisabled(page, 'Define a new one …', true);
  await page.goto('/letters');
  await button(page, 'Decide about all of them').click();
  await isDisabled(page, 'Do it', true);

  await need('promote');
  await page.goto(`/letters/${letter}`);
  await button(page, 'Note').click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Reason').fill('seen by sam');
  await form.getByRole('button', {name: 'Write it'}).click();
  await see(page, 'Noted.');

  // The page does not know yet; the service does.
  await need('demote');
  await button(page, 'Retry').click();
  await see(page, 'it needs the right decide');
  const answer = await page.evaluate(async (id) => (await fetch(`/api/v1/dead-letters/${id}`)).json(), letter);
  assert.deepEqual(answer.decisions.map((one) => one.action), ['note']);
  await page.leave();
}
