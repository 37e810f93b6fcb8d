// What the tests in Chromium have in common.
//
//   ACTORLOG_TEST_CHROMIUM  the browser's binary

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

const patience = 20_000;

export function needed(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

// One browser for all tests of a file. Without what a browser does on its own account.
const browser = await chromium.launch({
  executablePath: needed('ACTORLOG_TEST_CHROMIUM'),
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
after(() => browser.close());

// A page with storage and connections of its own. What goes wrong in it is printed, and its sockets
// are counted.
export async function visit(t, url, { prepare } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(patience);
  t.after(() => context.close());
  await prepare?.(context);
  const page = await context.newPage();
  page.on('pageerror', (error) => t.diagnostic(`page error: ${error.stack}`));
  page.on('console', (message) => message.type() === 'error' && t.diagnostic(`console: ${message.text()}`));
  const sockets = { opened: 0, open: 0 };
  page.on('websocket', (ws) => {
    sockets.opened++;
    sockets.open++;
    ws.on('close', () => sockets.open--);
  });
  await page.goto(url);
  return { page, sockets };
}

// Waits until the element with this id shows this text, and nothing else.
export async function shows(page, id, text) {
  try {
    await page.waitForFunction(([id, text]) => document.getElementById(id)?.textContent === text, [id, String(text)]);
  } catch (error) {
    const instead = await page.evaluate((id) => document.getElementById(id)?.textContent, id);
    throw new Error(`#${id} shows ${JSON.stringify(instead)}, not ${JSON.stringify(text)}`, { cause: error });
  }
}

// Waits for a condition that no page can tell.
export async function until(what, condition) {
  const end = Date.now() + patience;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `${what} did not happen within ${patience} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
