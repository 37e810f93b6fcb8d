// The newest plain client, rivetkit/client, in Chromium, on a page of another origin.
//
//   ACTORLOG_ENDPOINT  the gateway, http://host:port or https://host:port
//   ACTORLOG_PAGES     where app and its bundles are served
//
// e2e/browser_test.go runs it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { needed, until, visit } from './browser.mjs';

const endpoint = needed('ACTORLOG_ENDPOINT');
const pages = needed('ACTORLOG_PAGES');
const tls = endpoint.startsWith('https:');

// A page with window.client, and what Chromium says about answers to its calls.
async function clientPage(t) {
  const visited = await visit(t, `${pages}/newest.html?endpoint=${encodeURIComponent(endpoint)}`);
  const answers = [];
  const devtools = await visited.page.context().newCDPSession(visited.page);
  await devtools.send('Network.enable');
  devtools.on('Network.responseReceived', ({ response }) => answers.push(response));
  return { ...visited, answers };
}

describe('a connection', () => {
  test('answers calls, and carries events to two pages at once', async (t) => {
    const key = [randomUUID()];
    const [a, b] = await Promise.all([clientPage(t), clientPage(t)]);
    for (const { page } of [a, b]) {
      const first = await page.evaluate(async (key) => {
        window.events = [];
        window.counter = window.client.counter.getOrCreate(key).connect();
        window.counter.on('count', (n) => window.events.push(n));
        return window.counter.get();
      }, key);
      assert.equal(first, 0);
    }
    assert.equal(await a.page.evaluate(() => window.counter.increment(1)), 1);
    assert.equal(await b.page.evaluate(() => window.counter.increment(2)), 3);
    for (const { page } of [a, b]) {
      await until('the second event', async () => (await page.evaluate(() => window.events.length)) >= 2);
      assert.deepEqual(await page.evaluate(() => window.events), [1, 3]);
    }
  });

  test('is told what an action is refused for', async (t) => {
    const { page } = await clientPage(t);
    const refusal = await page.evaluate(async (key) => {
      const counter = window.client.counter.getOrCreate(key).connect();
      return counter.increment(-1).then(
        () => 'it is not refused',
        ({ group, code, metadata }) => ({ group, code, metadata }),
      );
    }, [randomUUID()]);
    assert.deepEqual(refusal, { group: 'user', code: 'bad_step', metadata: { step: -1 } });
  });

  test('closes its socket when it is disposed of', async (t) => {
    const { page, sockets } = await clientPage(t);
    await page.evaluate(async (key) => {
      const counter = window.client.counter.getOrCreate(key).connect();
      await counter.get();
      await counter.dispose();
    }, [randomUUID()]);
    await until('the end of the socket', () => sockets.opened === 1 && sockets.open === 0);
  });
});

// The newest clients stream the bodies of their requests, which Chromium does over HTTP/2 only.
describe('a call without a connection', { skip: !tls && 'Chromium streams request bodies over HTTP/2 only' }, () => {
  test('goes over HTTP/2', async (t) => {
    const { page, answers } = await clientPage(t);
    const sum = await page.evaluate(async (key) => {
      const counter = window.client.counter.getOrCreate(key, { createWithInput: { start: 40 } });
      await counter.increment(1);
      return counter.increment(1);
    }, [randomUUID()]);
    assert.equal(sum, 42);
    const calls = answers.filter((r) => new URL(r.url).pathname.endsWith('/action/increment') && r.status === 200);
    assert.equal(calls.length, 2);
    for (const { protocol } of calls) assert.equal(protocol, 'h2');
  });

  test('is told what it is refused for', async (t) => {
    const { page } = await clientPage(t);
    const refusal = await page.evaluate(
      (key) => window.client.counter.getOrCreate(key).increment(-1).catch(({ group, code, metadata }) => ({ group, code, metadata })),
      [randomUUID()],
    );
    assert.deepEqual(refusal, { group: 'user', code: 'bad_step', metadata: { step: -1 } });
  });
});
