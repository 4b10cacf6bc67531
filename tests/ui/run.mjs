// Runs the stories in order; tests/it/page.rs starts this, and does to the servers what a story needs.

import {browser} from './browser.mjs';
import {collections, defining} from './collections.mjs';
import {documents} from './document.mjs';
import {finding, firstView, headers, notFound, outages} from './find.mjs';
import {foreign} from './foreign.mjs';
import {holes} from './holes.mjs';
import {many, mending, somebodyElse} from './mend.mjs';
import {oidc} from './oidc.mjs';
import {rights} from './rights.mjs';
import {session} from './session.mjs';
import {everyView, hostile, keyboard, live, operations} from './views.mjs';
import {flood} from './flood.mjs';

const stories = {headers, foreign, session, rights, oidc, firstView, finding, documents, notFound, live, mending, somebodyElse, many, defining, collections, operations, holes, keyboard, everyView, hostile, outages, flood};
// Some alone: WAYBILL_STORIES="finding many" cargo test --test it page
const wanted = (process.env.WAYBILL_STORIES ?? '').split(' ').filter(Boolean);

const chrome = await browser();
let failed = 0;
for (const [name, story] of Object.entries(stories)) {
  if (wanted.length && !wanted.includes(name)) continue;
  const started = Date.now();
  try {
    await story(chrome);
    console.log(`well ${name} ${Date.now() - started} ms`);
  } catch (error) {
    failed += 1;
    console.log(`failed ${name}: ${error.stack}`);
  }
}
await chrome.close();
process.exit(failed ? 1 : 0);
