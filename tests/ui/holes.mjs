// The account of a service that misses messages: which, and whether they may still come.

import assert from 'node:assert/strict';
import {accessible, need, noSideways, open, see} from './browser.mjs';

export async function holes(chrome) {
  const at = await need('holes');
  for (const [width, dark] of [[1280, false], [390, true], [1280, true], [390, false]]) {
    const page = await open(chrome, {at, width, dark});
    await page.goto('/account');
    await see(page, 'It balances');
    await see(page, '200 messages are lost');
    await see(page, '20 messages are awaited');
    const marked = await page.locator('.holes li').evaluateAll((all) => all.map((one) => [one.querySelector('.badge').className, one.textContent]));
    assert.deepEqual(marked, [['badge bad', 'lost 51 – 250'], ['badge wait', 'awaited 351 – 370']]);
    const row = page.locator('tr').filter({has: page.locator('.holes')});
    for (const text of ['160', '380', '220']) await row.getByText(text, {exact: true}).first().waitFor();
    const name = `holes at ${width}${dark ? ' in the dark' : ''}`;
    await noSideways(page, name);
    await accessible(page, name);
    await page.leave();
  }
}
