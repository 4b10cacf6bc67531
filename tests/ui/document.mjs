// Any document, drawn by any schema: what is seen of it where no dress knows its fields; and an order where the dress does not fit.

import assert from 'node:assert/strict';
import {accepted, accessible, button, noSideways, open, order, see, until} from './browser.mjs';

const EVIL = '<img src=x onerror="globalThis.hurt=1">';
const SCHEMA = {
  type: 'object',
  title: 'Parcel',
  properties: {
    parcel_id: {type: 'string'},
    state: {enum: ['lost', 'on_its_way'], description: 'Where it stands.'},
    handedOver: {type: 'string', format: 'date-time', title: 'Handed over at'},
    pieces: {type: 'integer'},
    stops: {type: ['integer', 'null'], default: 0},
    insured: {type: 'boolean'},
    note: {type: ['string', 'null'], default: ''},
    tags: {type: 'array', items: {type: 'string'}},
    sender: {
      type: 'object',
      description: 'Who sent it.',
      properties: {full_name: {type: 'string'}, constructor: {type: 'string'}, depot: {type: 'object', properties: {city: {type: 'string', title: 'Town'}}}},
    },
    scans: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          at: {type: 'string', format: 'date-time'}, depot: {type: 'string', description: 'Where it was scanned.'}, weight_grams: {type: 'integer'}, damage: {type: 'string', default: ''},
          checks: {type: 'array', items: {type: 'object', properties: {by_whom: {type: 'string'}, passed: {type: 'boolean'}}}},
        },
      },
    },
  },
};

const deep = (levels) => `${'{"in": '.repeat(levels)}"the bottom"${'}'.repeat(levels)}`;
// As it comes over the wire: JSON.stringify knows neither __proto__ nor a number of 19 digits.
const PARCEL = `{
  "nobody_knows": ${JSON.stringify(EVIL)}, "__proto__": "no prototype", "toString": 7, "what_else": {"size_of": 12},
  "scans": [
    {"at": "2026-03-01T08:30:00Z", "depot": "North ${'x'.repeat(400)}", "weight_grams": 1200, "damage": ""},
    {"at": "never", "depot": ${JSON.stringify(EVIL)}, "weight_grams": 9007199254740993, "damage": null, "checks": [{"by_whom": "Ada", "passed": true}, {"by_whom": "Bo", "passed": false}], "valueOf": [1, 2]}
  ],
  "sender": {"depot": {"city": "Kiel", "further": ${deep(100)}}, "full_name": "Ada ${EVIL.replaceAll('"', '\\"')}", "constructor": "Bo"},
  "tags": ["fragile", "a, b", ${JSON.stringify(EVIL)}, ""], "insured": false, "note": "", "stops": 0, "pieces": 0,
  "handedOver": "2026-03-01T07:15:00Z", "state": "on_its_way", "parcel_id": "p-1",
  "wide": [${JSON.stringify(Object.fromEntries(Array.from({length: 12}, (_, n) => [`column_${n}`, n % 3 ? `what stands in it, ${'no. '.repeat(n)}` : n])))}]
}`;

// The sheet alone, in place of the view at hand.
async function draw(page, schema, doc) {
  await page.evaluate(async ([definition, text]) => {
    const [{sheet}, {h, replace}, {parse}] = await Promise.all(['sheet', 'dom', 'json'].map((name) => import(`/ui/${name}.js`)));
    replace(document.getElementById('main'), h('article', {class: 'card paper'}, sheet({kind: 'Parcel', key: 'p-1', doc: parse(text), schema: definition})));
  }, [schema, doc]);
}

// [label, what is said] of the facts right under it.
const facts = (place) => place.locator(':scope > .facts > div').evaluateAll((all) => all.map((one) => [one.querySelector('dt').textContent, one.querySelector('dd').textContent]));
const section = (page, name) => page.locator('main section').filter({has: page.getByRole('heading', {name, exact: true})}).last();

async function said(page) {
  await page.goto('/nowhere');
  await see(page, 'There is nothing here');
  await draw(page, SCHEMA, PARCEL);
  assert.deepEqual(await facts(page.locator('.paper')), [
    ['Parcel id', 'p-1'], ['State', 'on_its_way'], ['Handed over at', '1 Mar 2026, 08:15:00'], ['Pieces', '0'], ['Insured', 'no'], ['Tags', `fragile · a, b · ${EVIL} · –`],
    ['Nobody knows', EVIL], ['Proto', 'no prototype'], ['To string', '7'],
  ], 'in the schema’s order, then what it does not name; without what is empty');
  assert.equal(await page.locator('dt', {hasText: /^State$/}).getAttribute('title'), 'Where it stands.');
  assert.equal(await page.locator('dd .badge').textContent(), 'on_its_way');
  assert.equal(await page.locator('.paper > .facts time').getAttribute('datetime'), '2026-03-01T07:15:00Z');

  assert.deepEqual(await page.locator('main section').locator('h2, h3, h4, h5, h6').evaluateAll((all) => all.map((one) => one.tagName + one.textContent)), [
    'H2Sender', 'H3Depot', 'H4Further', 'H5In', 'H6In', 'H2What else', 'H2Scans', 'H2Wide',
  ], 'one level each, as far as headings go');
  assert.equal(await page.getByRole('heading', {name: 'Sender'}).getAttribute('title'), 'Who sent it.');
  assert.deepEqual(await facts(section(page, 'Sender')), [['Full name', `Ada ${EVIL}`], ['Constructor', 'Bo']]);
  assert.deepEqual(await facts(section(page, 'Depot')), [['Town', 'Kiel']]);
  assert.match((await facts(page.locator('section:has(> h6)').last()))[0][1], /^In In In \{…\}$/, 'what is deeper than that is not told');

  const table = page.getByRole('table', {name: 'Scans'});
  assert.deepEqual(await table.locator('thead th').allTextContents(), ['At', 'Depot', 'Weight grams', 'Checks', 'Value of'], 'nobody said anything of the damage');
  assert.equal(await table.locator('thead th').nth(1).getAttribute('title'), 'Where it was scanned.');
  assert.deepEqual(await table.locator('tbody tr').last().locator('th, td').allTextContents(), ['never', EVIL, '9007199254740993', 'By whom Ada · Passed yesBy whom Bo · Passed no', '1 · 2']);
  const first = await table.locator('tbody tr').first().locator('th, td').allTextContents();
  assert.deepEqual([first[0], first[1].length, ...first.slice(3)], ['1 Mar 2026, 09:30:00', 301, '–', '–'], 'a time, a text that is cut, nothing');
  assert.deepEqual(await table.locator('tbody tr').last().locator('.num').allTextContents(), ['9007199254740993']);
}

// As many values as a message has room for, and no schema at all.
async function huge(page) {
  const rows = Array.from({length: 30_000}, (_, n) => ({[`column_${n % 500}`]: n, always: n}));
  const wide = Object.fromEntries(Array.from({length: 30_000}, (_, n) => [`field_${n}`, n]));
  for (const doc of [{rows}, wide, {wide}, {list: rows.map(({always}) => always)}, {lists: [rows, [rows]]}, {many: Object.fromEntries(rows.map((row, n) => [`object_${n}`, row]))}]) {
    await draw(page, {}, JSON.stringify(doc));
    await see(page, 'There is more than is drawn here');
    assert.ok(await page.locator('main *').count() < 60_000);
  }
}

export async function documents(chrome) {
  for (const [width, dark] of [[1280, false], [390, true], [760, true], [390, false]]) {
    const page = await open(chrome, {width, dark, height: width === 390 ? 844 : 900});
    await said(page);
    const name = `any document at ${width}${dark ? ' in the dark' : ''}`;
    await noSideways(page, name);
    await accessible(page, name);
    // A table that no screen has room for slides, also by the keyboard.
    const slides = page.getByRole('region', {name: 'Wide'});
    await slides.focus();
    await page.keyboard.press('ArrowRight');
    if (width > 700) await until('it slides', () => slides.evaluate((element) => element.scrollLeft > 0));
    if (width === 1280) await huge(page);
    await page.leave();
  }

  await accepted(order('documents-1'));
  const page = await open(chrome);
  await page.route('**/api/v1/collections/orders/schema', (route) => route.fulfill({status: 503, json: {type: 'urn:waybill:problem:unavailable'}}));
  await page.goto('/orders/documents-1');
  for (const text of ['Vivienne Sabo', 'Kiryat Mozkin', '30 %']) await see(page, text);
  await page.unroute('**/api/v1/collections/orders/schema');
  await page.route('**/api/v1/collections/orders/schema', (route) => route.fulfill({json: SCHEMA}));
  await page.route('**/api/v1/orders/documents-2', (route) => route.fulfill({body: PARCEL, contentType: 'application/json'}));
  await page.goto('/orders/documents-2');
  await page.getByRole('heading', {name: 'documents-2'}).waitFor();
  assert.match(await page.title(), /^Parcel documents-2/);
  assert.deepEqual((await facts(page.locator('.paper')))[0], ['Parcel id', 'p-1'], 'what the dress does not fit is drawn without');
  await button(page, 'Show JSON').click();
  await see(page, '"parcel_id": "p-1"');
  await page.leave();
}
