// @rivetkit/react in Chromium, on a page of another origin than the gateway's (see app/react.jsx).
//
//   ACTORLOG_ENDPOINT  the gateway, http://host:port
//   ACTORLOG_PAGES     where app and its bundles are served
//   ACTORLOG_CONTROL   where POST /kill and POST /restart end the gateway and start it again
//
// e2e/browser_test.go runs it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { needed, shows, until, visit } from './browser.mjs';

const endpoint = needed('ACTORLOG_ENDPOINT');
const pages = needed('ACTORLOG_PAGES');
const control = needed('ACTORLOG_CONTROL');

// increment without a browser, and without RivetKit.
async function increment(key, by = 1) {
  const response = await fetch(`${endpoint}/actors/counter/${key}/actions/increment`, { method: 'POST', body: String(by) });
  assert.equal(response.status, 200);
  return response.json();
}

// A page that shows a counter; its key is new unless one is given.
async function counterPage(t, opts = {}) {
  const visited = await visit(t, `${pages}/react.html?endpoint=${encodeURIComponent(endpoint)}`);
  await shows(visited.page, 'empty', 'nothing here');
  const show = (changed) => visited.page.evaluate((opts) => window.show(opts), changed && { name: 'counter', ...changed });
  const seen = () => visited.page.evaluate(() => window.history_);
  await show(opts);
  return { ...visited, show, seen };
}

before(async () => {
  // The first call waits for topics, shards and so on. Everything after it is quick.
  await increment(randomUUID());
});

describe('useActor', () => {
  test('connects, by way of connecting', async (t) => {
    const { page, seen, sockets } = await counterPage(t, { key: [randomUUID()] });
    await shows(page, 'status', 'connected');
    assert.deepEqual(
      (await seen()).map((s) => s.status).filter((s, i, all) => s !== all[i - 1]),
      ['idle', 'connecting', 'connected'],
    );
    assert.equal(sockets.opened, 1);
  });

  test('calls actions through the connection', async (t) => {
    const key = randomUUID();
    const { page } = await counterPage(t, { key: [key] });
    await shows(page, 'status', 'connected');
    await page.click('#increment');
    await shows(page, 'answer', 'increment: 1');
    assert.equal(await increment(key), 2);
    await page.click('#get');
    await shows(page, 'answer', 'get: 2');
  });

  test('shows what an action is refused for', async (t) => {
    const { page } = await counterPage(t, { key: [randomUUID()] });
    await shows(page, 'status', 'connected');
    await page.click('#refused');
    await shows(page, 'answer', 'increment: user.bad_step {"step":-1}');
    await page.click('#increment');
    await shows(page, 'answer', 'increment: 1');
  });

  test('addresses the actor by all parts of the key', async (t) => {
    const key = [randomUUID(), 'a/b', 'caf\u00e9 \u{1f600}'];
    const { page, show } = await counterPage(t, { key });
    await shows(page, 'status', 'connected');
    await page.click('#increment');
    await shows(page, 'answer', 'increment: 1');
    await show({ key: [key[0]] });
    await shows(page, 'status', 'connected');
    await page.click('#get');
    await shows(page, 'answer', 'get: 0');
    assert.equal(await increment(key.map(encodeURIComponent).join('/')), 2);
  });

  test('creates with an input', async (t) => {
    const { page } = await counterPage(t, { key: [randomUUID()], createWithInput: { start: 41 } });
    await shows(page, 'status', 'connected');
    await page.click('#increment');
    await shows(page, 'answer', 'increment: 42');
  });

  test('does nothing until it is enabled, and leaves when it is disabled', async (t) => {
    const key = [randomUUID()];
    const { page, show, sockets } = await counterPage(t, { key, enabled: false });
    await shows(page, 'status', 'idle');
    await shows(page, 'connection', 'none');
    await show({ key, enabled: true });
    await shows(page, 'status', 'connected');
    assert.equal(sockets.opened, 1, 'no socket was opened while it was disabled');
    await show({ key, enabled: false });
    await shows(page, 'status', 'idle');
    await until('the end of the socket', () => sockets.open === 0);
    assert.equal(sockets.opened, 1);
  });

  test('noCreate waits for an actor that somebody else creates', async (t) => {
    const key = randomUUID();
    const { page } = await counterPage(t, { key: [key], noCreate: true });
    await shows(page, 'status', 'disconnected');
    const missing = await fetch(`${endpoint}/actors/counter/${key}/state`);
    assert.equal(missing.status, 404, 'the page has created the actor');
    assert.equal(await increment(key, 5), 5);
    await shows(page, 'status', 'connected');
    await page.click('#get');
    await shows(page, 'answer', 'get: 5');
  });

  test('closes its socket when it is unmounted, and can be mounted again', async (t) => {
    const key = [randomUUID()];
    const { page, show, sockets } = await counterPage(t, { key });
    await shows(page, 'status', 'connected');
    assert.equal(sockets.open, 1);
    await show(null);
    await shows(page, 'empty', 'nothing here');
    await until('the end of the socket', () => sockets.open === 0);
    await show({ key });
    await shows(page, 'status', 'connected');
    await page.click('#increment');
    await shows(page, 'answer', 'increment: 1');
    assert.equal(sockets.opened, 2);
  });

  test('is told why it is rejected, and does not storm the gateway', async (t) => {
    // The hook connects again at once after every rejection. The gateway takes its time for each.
    const { page, seen, sockets } = await counterPage(t, { key: ['k'.repeat(129)] });
    const refused = async () => (await seen()).some((s) => s.error === 'actor.key_too_large');
    await until('an error', refused);
    await page.waitForTimeout(5_000);
    t.diagnostic(`${sockets.opened} sockets`);
    assert.ok(sockets.opened >= 2, 'the hook has given up: this test shows nothing');
    assert.ok(sockets.opened <= 15, `${sockets.opened} sockets in 5 s`);
  });
});

describe('useEvent', () => {
  test('receives what is broadcast, in two pages at once', async (t) => {
    const key = randomUUID();
    const [a, b] = await Promise.all([counterPage(t, { key: [key] }), counterPage(t, { key: [key] })]);
    for (const { page } of [a, b]) {
      await shows(page, 'status', 'connected');
      // A subscription has no answer, but a call after it on the same connection has.
      await page.click('#get');
      await shows(page, 'answer', 'get: 0');
    }
    await a.page.click('#increment');
    await shows(b.page, 'events', '1');
    await b.page.click('#increment');
    await shows(a.page, 'events', '1 2');
    assert.equal(await increment(key, 5), 7);
    for (const { page } of [a, b]) await shows(page, 'events', '1 2 7');
  });

  test('hears no other actor', async (t) => {
    const { page } = await counterPage(t, { key: [randomUUID()] });
    await shows(page, 'status', 'connected');
    await increment(randomUUID());
    await page.click('#increment');
    await shows(page, 'events', '1');
  });
});

describe('when the gateway is', () => {
  for (const how of ['restart', 'kill']) {
    test(`${how}ed, the page connects again, subscriptions included`, async (t) => {
      const key = randomUUID();
      const { page, seen, sockets } = await counterPage(t, { key: [key] });
      await shows(page, 'status', 'connected');
      await page.click('#increment');
      await shows(page, 'events', '1');
      const before = (await seen()).length;

      const answer = await fetch(`${control}/${how}`, { method: 'POST' });
      assert.equal(answer.status, 200);
      // By way of disconnected, if nobody listened at first.
      const since = async () => (await seen()).slice(before).map((s) => s.status);
      const connectedAgain = async () => (await since()).includes('connecting') && (await since()).at(-1) === 'connected';
      await until('a new connection', connectedAgain);
      t.diagnostic(`${sockets.opened} sockets: ${(await since()).join(' ')}`);
      await page.click('#get');
      await shows(page, 'answer', 'get: 1');
      assert.equal(await increment(key), 2);
      await shows(page, 'events', '1 2');
      await page.click('#increment');
      await shows(page, 'answer', 'increment: 3');
      await shows(page, 'events', '1 2 3');
    });
  }
});
