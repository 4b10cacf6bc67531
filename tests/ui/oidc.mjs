// Signing in at an OpenID Connect issuer, in two browsers' windows; and what becomes of an edit, and of rights, meanwhile.

import assert from 'node:assert/strict';
import {accessible, button, need, open, see} from './browser.mjs';
import {sendEdit} from './session.mjs';

const ours = async (page) => (await page.context().cookies()).filter((cookie) => cookie.name.startsWith('waybill'));

export async function oidc(chrome) {
  const [at, issuer, letter] = (await need('issuer')).split(' ');
  const signIn = `Sign in with ${new URL(issuer).host}`;
  const page = await open(chrome, {at, also: issuer, who: null});
  const asked = page.getByRole('dialog').getByText('This service asks who you are');
  await page.goto(`/letters/${letter}?from=here`);
  await asked.waitFor();
  // There are tokens beside.
  await page.getByRole('dialog').getByLabel('Token').waitFor();
  await accessible(page, 'the sign-in with an issuer');
  await button(page, signIn).click();
  await page.getByLabel('User').fill('ada');
  await button(page, 'Go on').click();
  await page.waitForURL(`${at}/letters/${letter}?from=here`);
  await page.locator('#who').getByText('ada: sign out').waitFor();
  assert.equal(await page.evaluate(() => document.cookie), '', 'the page’s code does not see it');
  assert.deepEqual(await page.evaluate(() => Object.keys({...localStorage, ...sessionStorage})), []);
  const [session, ...others] = await ours(page);
  assert.deepEqual([session.name, session.httpOnly, session.sameSite, others.length], ['waybill', true, 'Strict', 0]);

  // The session ends in the middle of the edit; signing in again in another window keeps it.
  await button(page, 'Edit and resubmit').click();
  const editor = page.locator('#editor');
  await editor.fill((await editor.inputValue()).replace('-1817', '1817'));
  await see(page, 'This is an order');
  await page.context().addCookies([{...session, value: await need('expired-jwt')}]);
  await editor.evaluate((area) => area.dispatchEvent(new Event('input')));
  await asked.waitFor();
  const popup = page.waitForEvent('popup');
  await button(page, signIn).click();
  const other = await popup;
  if (!other.isClosed()) await other.waitForEvent('close');
  await page.getByRole('dialog').waitFor({state: 'detached'});
  await sendEdit(page);
  await see(page, 'ada');
  const story = await page.evaluate(async (id) => (await fetch(`/api/v1/dead-letters/${id}`)).json(), letter);
  assert.deepEqual(story.decisions.map(({who, proof}) => [who, proof]), [['ada', 'oidc']]);

  // A right that is taken away counts at once, and is told in words.
  await need('only-reads');
  await page.goto('/groups');
  await see(page, 'ada may not do this: it needs the right letters');

  // So does a role that the issuer has taken away, at the next sign-in.
  await need('no-role');
  await button(page, 'ada: sign out').click();
  await asked.waitFor();
  assert.deepEqual(await ours(page), []);
  await button(page, signIn).click();
  await see(page, 'ada is known to the issuer and has no role here');
  await accessible(page, 'a sign-in that did not work');
  assert.deepEqual((await ours(page)).map((cookie) => cookie.name), ['waybill-sign-in']);
  await page.getByRole('link', {name: 'Waybill'}).click();
  await asked.waitFor();
  await page.leave();

  // Somebody says no there.
  const bob = await open(chrome, {at, also: issuer, who: null});
  await bob.goto('/live');
  await button(bob, signIn).click();
  await button(bob, 'No').click();
  await see(bob, 'access_denied');
  await bob.getByRole('link', {name: 'Try again'}).click();
  await bob.getByLabel('User').fill('bob');
  await button(bob, 'Go on').click();
  await see(bob, 'bob is known to the issuer and has no role here');
  await bob.leave();
}
