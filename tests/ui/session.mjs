// Signing in to a service that asks for tokens; and that an edit outlives the token that it was begun with.

import assert from 'node:assert/strict';
import {accessible, button, need, open, see} from './browser.mjs';

async function signIn(page, token) {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('ona');
  await dialog.getByLabel('Token').fill(token);
  await dialog.getByRole('button', {name: 'Sign in'}).click();
}

// The edit outlived what proved who makes it, and goes on its way.
export async function sendEdit(page) {
  assert.match(await page.locator('#editor').inputValue(), /"amount": 1817/, 'the edit is there');
  await button(page, 'See the difference').click();
  await see(page, 'What you changed');
  await button(page, 'Send it').click();
  await see(page, 'It is an order now');
}

export async function session(chrome) {
  const [at, token, letter] = (await need('tokens')).split(' ');
  const page = await open(chrome, {at, who: null});
  await page.goto(`/letters/${letter}`);
  await page.getByRole('dialog').getByText('This service asks who you are').waitFor();
  await accessible(page, 'the sign-in');
  await signIn(page, `${token.slice(0, -1)}`);
  await page.getByRole('dialog').getByText('looks like wb_').waitFor();
  await signIn(page, token);
  await button(page, 'Edit and resubmit').click();
  await page.locator('#who').getByText('ona: sign out').waitFor();
  assert.equal(await page.evaluate(() => document.cookie), '', 'the page’s code does not see it');
  assert.ok(!(await page.evaluate(() => JSON.stringify({...localStorage, ...sessionStorage}))).includes('wb_'));

  // The token ends in the middle of the edit.
  const editor = page.locator('#editor');
  await editor.fill((await editor.inputValue()).replace('-1817', '1817'));
  await see(page, 'This is an order');
  const next = await need('another-token');
  await editor.evaluate((area) => area.dispatchEvent(new Event('input')));
  await page.getByRole('dialog').waitFor();
  await signIn(page, next);
  await page.getByRole('dialog').waitFor({state: 'detached'});
  await sendEdit(page);
  await see(page, 'ona');

  await button(page, 'ona: sign out').click();
  await page.getByRole('dialog').getByText('This service asks who you are').waitFor();
  assert.deepEqual(await page.context().cookies(), []);
  await page.leave();
}
