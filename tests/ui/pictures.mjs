// Pictures of every view, to be looked at: what is behind each address, on a screen and on a phone, in light and in dark.
//
//     WAYBILL_URL=http://127.0.0.1:8080 node pictures.mjs /tmp/pictures [name …]
//
// against a `waybill dev` with messages, junk and decisions in it. The page's files come from src/ui, so that a change of a
// stylesheet needs no build. WAYBILL_FORMS="1280-light 390-dark" takes some of the forms alone.

import {mkdirSync, readFileSync} from 'node:fs';
import {api, browser, button, define, definition, open, order, ruled, see, send, until} from './browser.mjs';

const [into, ...wanted] = process.argv.slice(2);
const forms = (process.env.WAYBILL_FORMS ?? '1280-light 1280-dark 390-light 390-dark').split(' ');
const TYPES = {css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml'};

const letters = async (filter) => (await api(`/dead-letters?${filter}`)).body.items;
const uid = (await api('/orders?limit=1')).body.items[0].order_uid;
const group = (await api('/dead-letter-groups?state=open')).body.items[0].fingerprint;
const one = async (filter) => `/letters/${(await letters(`${filter}&limit=1`))[0]?.id ?? 1}`;

// Two collections beside orders, with something in them.
async function others() {
  for (const name of ['kitchen', 'loyalty']) {
    if ((await api(`/collections/${name}`)).status === 404) await define(name, readFileSync(new URL(`../../examples/${name}.yaml`, import.meta.url), 'utf8'), {who: 'Grace Hopper', why: 'for the pictures'});
  }
  const task = (task_id, table, states, dish) => states.map((state, index) => ({task_id, version: index + 1, table, state, dishes: [{dish, count: 2, without: ['egg']}, {dish: 'tea'}], note: 'by the window'}));
  for (const one of [...task('t1', 4, ['ordered', 'cooking', 'ready'], 'ramen'), ...task('t2', 5, ['ordered'], 'soup'), ...task('t3', 12, ['ordered', 'cooking'], 'gyoza'), ...task('t9', 7, ['ordered', 'served'], 'curry')]) await send(one, 'kitchen');
  const at = '2026-11-30T10:00:00Z';
  for (const one of [{entry_id: 'e1', customer: 'carla', kind: 'purchase', at, amount: 10000, level: 'gold', products: [{sku: 'beans', amount: 4000, group: 'coffee'}]}, {entry_id: 'e2', customer: 'carla', kind: 'redemption', at, points: 100},
    {entry_id: 'e3', customer: 'bob', kind: 'gift', at, points: 25}, {entry_id: 'e4', customer: 'carla', kind: 'redemption', at, points: 90000}]) await send(one, 'loyalty');
  await until('the entries', async () => (await api('/loyalty')).body?.items?.length >= 3);
}
await others();

async function mistaken() {
  const [known] = await letters('text=WBILPICTURE&state=open&limit=1');
  if (known) return `/letters/${known.id}`;
  const id = await send(order('WBILPICTURE', (made) => {
    made.payment.amount = -1817;
    made.date_created = 'yesterday';
    delete made.customer_id;
    made.items[0].price = '453';
  }));
  await until('the letter', async () => (await api(`/dead-letters/${id}`)).status === 200);
  return `/letters/${id}`;
}

// What brokers did not give is not to be had in a sandbox whose limits are lifted.
async function holed(page) {
  await page.route('**/api/v1/reconciliation*', async (route) => {
    const account = await (await route.fetch()).json();
    const [source] = account.sources;
    Object.assign(source, {broker_last_sequence: source.last_sequence + 12, hole_count: 3, missing: 231, lost: 211, holes: [
      {first: 51, last: 250, state: 'lost'}, {first: 1207, last: 1217, state: 'lost'}, {first: 2351, last: 2370, state: 'awaited'}]});
    account.sources.push({...source, epoch: 1, rows: 18_204_377, first_sequence: 1, last_sequence: 18_204_377, broker_last_sequence: null, hole_count: 0, missing: 0, lost: 0, holes: []});
    await route.fulfill({json: account});
  });
}

const edit = async (page) => {
  await button(page, 'Edit and resubmit').click();
  await see(page, 'Not yet an order');
};
const VIEWS = {
  home: ['/', (page) => page.waitForTimeout(1500)],
  results: ['/?q=' + encodeURIComponent((await api(`/orders/${uid}`)).body.customer_id)],
  order: [`/orders/${uid}`],
  'order-json': [`/orders/${uid}`, (page) => button(page, 'Show JSON').click()],
  never: ['/orders/b563feb7b2b84b6nobody'],
  searched: ['/?q=nobody'],
  rejected: async () => `/?q=${encodeURIComponent((await letters('reason=schema&state=open&limit=20')).find((letter) => letter.key)?.key ?? 'x')}`,
  live: ['/live', (page) => page.waitForTimeout(2500)],
  groups: ['/groups'],
  'groups-none': ['/groups?state=replaced&reason=conflict'],
  letters: ['/letters'],
  'letters-group': [`/letters?state=open&fingerprint=${group}`],
  filters: ['/letters?state=any&reason=schema&text=payment', (page) => page.locator('summary').first().click()],
  letter: mistaken,
  'letter-bytes': () => one('reason=not_utf8&state=open'),
  'letter-cut': () => one('reason=not_json&state=open'),
  conflict: () => one('reason=conflict&state=open'),
  discarded: () => one('state=discarded'),
  replaced: () => one('state=replaced'),
  edit: [await mistaken(), edit],
  diff: [await mistaken(), async (page) => {
    await edit(page);
    const editor = page.locator('#editor');
    await editor.fill((await editor.inputValue()).replace('-1817', '1817').replace('"yesterday"', '"2021-11-26T06:22:19Z"').replace('"453"', '453').replace('"delivery_service"', '"customer_id": "test",\n  "delivery_service"'));
    await see(page, 'This is an order');
    await button(page, 'See the difference').click();
    await see(page, 'What you changed');
  }],
  dialog: [await mistaken(), (page) => button(page, 'Discard …').click()],
  bulk: [`/letters?state=open&fingerprint=${group}`, async (page) => {
    await button(page, 'Decide about all of them').click();
    await button(page, 'Dry run').click();
    await page.locator('.operation .badge').getByText('done').waitFor();
  }],
  'bulk-running': ['/letters?state=open&reason=schema', async (page) => {
    await button(page, 'Decide about all of them').click();
    await page.getByLabel('Letters a second, at most').fill('10');
    await button(page, 'Do it').click();
    await page.locator('.operation').getByText(/^[1-9]\d of /).waitFor();
  }, (page) => button(page, 'Cancel').click()],
  kitchen: ['/c/kitchen', (page) => page.waitForTimeout(500)],
  task: ['/c/kitchen/t1'],
  gone: ['/c/kitchen/t9'],
  loyalty: ['/c/loyalty?q=carla'],
  entry: ['/c/loyalty/e1'],
  sums: ['/sums/loyalty'],
  statement: ['/sums/loyalty/carla'],
  collections: ['/collections'],
  'collections-new': ['/collections', (page) => button(page, 'Define a new one …').click()],
  'groups-collections': ['/groups?state='],
  definition: ['/collections/orders'],
  'definition-wrong': ['/collections/orders', async (page) => {
    await page.locator('textarea').fill(ruled(await definition('orders'), 'amount', 'The amount adds up.', 'order.payment.amout > 0'));
    await button(page, 'Plan').click();
    await see(page, '1 mistake');
  }],
  plan: ['/collections/orders', async (page) => {
    await page.locator('textarea').fill(ruled(await definition('orders'), 'no_small_change', 'Orders under 500 are not shipped.', 'order.payment.amount >= 500'));
    await button(page, 'Plan').click();
    await see(page, 'would be refused');
  }],
  'definition-diff': ['/collections/orders', async (page) => {
    await page.locator('textarea').fill(ruled(await definition('orders'), 'no_small_change', 'Orders under 500 are not shipped.', 'order.payment.amount >= 500'));
    await button(page, 'Apply …').click();
    await see(page, 'What changes');
  }],
  operations: ['/operations'],
  operation: async () => `/operations/${(await api('/operations?limit=50')).body.items.find((made) => made.kind === 'bulk' && made.total > 10)?.id ?? 1}`,
  replay: async () => `/operations/${(await api('/operations?limit=50')).body.items.find((made) => made.kind === 'replay')?.id ?? 1}`,
  account: ['/account', (page) => button(page, 'Count every row again').click().then(() => see(page, 'counted'))],
  holes: [async (page) => { await holed(page); return '/account'; }],
  nowhere: ['/live/nowhere'],
};

mkdirSync(into, {recursive: true});
const chrome = await browser();
for (const form of forms) {
  const [width, theme] = form.split('-');
  for (const [name, view] of Object.entries(VIEWS)) {
    if (wanted.length && !wanted.includes(name)) continue;
    const page = await open(chrome, {width: Number(width), height: width === '390' ? 844 : 900, dark: theme === 'dark', who: 'Grace Hopper'});
    await page.route('**/ui/**', (route) => {
      const {pathname} = new URL(route.request().url());
      route.fulfill({body: readFileSync(new URL(`../../src${pathname}`, import.meta.url)), contentType: TYPES[pathname.split('.').pop()]});
    });
    const [first, act, after] = typeof view === 'function' ? [view] : view;
    try {
      await page.goto(typeof first === 'function' ? await first(page) : first);
      await page.locator('main h1').waitFor();
      await page.locator('#state[data-state="good"]').waitFor();
      await act?.(page);
      await page.waitForTimeout(150);
      await page.screenshot({path: `${into}/${name}-${form}.png`, fullPage: true});
      await after?.(page);
    } catch (error) {
      console.log(`${name} ${form}: ${error.message}`);
    }
    await page.context().close();
  }
}
await chrome.close();
process.exit(0);
