// The pages of actorlog dev in Chromium, and the client that they use, web/static/actorlog.js.
//
//   ACTORLOG_ENDPOINT  actorlog dev, http://host:port
//   ACTORLOG_CONTROL   where POST /kill ends it and starts it again, on the same data
//
// e2e/pages_test.go runs it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { needed, shows, until, visit } from './browser.mjs';
import { enter, messages } from './pages.mjs';

const endpoint = needed('ACTORLOG_ENDPOINT');
const control = needed('ACTORLOG_CONTROL');

// A page of the same origin that has the client, as window.connect.
async function clientPage(t, prepare = () => {}) {
  const visited = await visit(t, endpoint, { prepare });
  await visited.page.evaluate(async () => {
    Object.assign(window, await import('/examples/actorlog.js'));
    // A rejection as a value, for it to leave the page.
    window.rejection = (promise) =>
      promise.then(
        (value) => ({ value }),
        ({ group, code, message, metadata }) => ({ group, code, message, metadata }),
      );
  });
  return visited;
}

describe('the index', () => {
  test('leads browsers to the examples, and leaves the banner to others', async (t) => {
    const { page } = await visit(t, endpoint);
    for (const name of ['Chat', 'Cursors']) assert.equal(await page.getByRole('link', { name, exact: true }).count(), 1);
    await page.getByRole('link', { name: 'Chat', exact: true }).click();
    await page.waitForURL('**/examples/chat/');
    assert.match(await (await fetch(endpoint)).text(), /^actorlog \S+\n$/);
  });
});

describe('subscribe', () => {
  test('goes on where it was after everything behind it was killed, and says that nothing was missed', async (t) => {
    const key = ['pages', randomUUID(), 'actions', 'events']; // words that mean something else in a path
    const { page } = await clientPage(t);
    await page.evaluate((key) => {
      window.told = [];
      window.end = subscribe('counter', key, {
        events: ['count'],
        onReady: (recovered) => window.told.push({ recovered }),
        onEvent: (name, n) => window.told.push({ [name]: n }),
      });
    }, key);
    const told = () => page.evaluate(() => window.told);
    const tells = (what, n) => until(what, async () => (await told()).length >= n);
    await tells('the beginning', 1);
    const increment = () => page.evaluate((key) => (window.counter ??= connect('counter', key)).call('increment', 1).catch(() => -1), key);
    assert.equal(await increment(), 1);
    await tells('the first event', 2);
    assert.equal((await fetch(`${control}/kill`, { method: 'POST' })).status, 200);
    await until('the second increment', async () => (await increment()) === 2);
    await tells('what was missed', 4);
    assert.equal(await increment(), 3);
    await tells('the last event', 5);
    assert.deepEqual(await told(), [{ recovered: false }, { count: 1 }, { recovered: true }, { count: 2 }, { count: 3 }]);
    await page.evaluate(() => window.end());
    assert.equal(await increment(), 4);
    assert.equal((await told()).length, 5);
  });

  test('ends when it is refused, and says why', async (t) => {
    const { page, sockets } = await clientPage(t);
    const error = await page.evaluate(
      () => new Promise((resolve) => subscribe('nothing', 'x', { onEnd: ({ group, code, message }) => resolve({ group, code, message }) })),
    );
    assert.equal(`${error.group}.${error.code}`, 'actor.kind_not_found');
    await until('the end of the socket', () => sockets.opened === 1 && sockets.open === 0);
  });
});

describe('actorlog.js', () => {
  test('calls actions, and hears events, in two pages at once', async (t) => {
    const key = ['pages', randomUUID()];
    const [a, b] = await Promise.all([clientPage(t), clientPage(t)]);
    for (const { page } of [a, b]) {
      const first = await page.evaluate((key) => {
        window.events = [];
        window.counter = connect('counter', key, { input: { start: 10 } });
        window.counter.on('count', (n) => window.events.push(n));
        return window.counter.call('get');
      }, key);
      assert.equal(first, 10);
    }
    assert.equal(await a.page.evaluate(() => window.counter.call('increment', 1)), 11);
    assert.equal(await b.page.evaluate(() => window.counter.call('reset')), undefined);
    for (const { page } of [a, b]) {
      await until('the second event', async () => (await page.evaluate(() => window.events.length)) >= 2);
      assert.deepEqual(await page.evaluate(() => window.events), [11, 0]);
    }
  });

  test('hears nothing more after unsubscribing', async (t) => {
    const { page } = await clientPage(t);
    const heard = await page.evaluate(async (key) => {
      const counter = connect('counter', key);
      const heard = { some: [], all: [] };
      const off = counter.on('count', (n) => heard.some.push(n));
      counter.on('count', (n) => heard.all.push(n));
      await counter.call('increment', 1);
      off();
      off();
      await counter.call('increment', 1);
      return heard;
    }, randomUUID());
    assert.deepEqual(heard, { some: [1], all: [1, 2] });
  });

  test('rejects what the actor refuses, and the connection stays', async (t) => {
    const { page, sockets } = await clientPage(t);
    const [refusal, next] = await page.evaluate(async (key) => {
      const counter = connect('counter', key);
      return [await rejection(counter.call('increment', -1)), await counter.call('increment', 1)];
    }, randomUUID());
    assert.deepEqual(refusal, { group: 'user', code: 'bad_step', message: 'step must be positive', metadata: { step: -1 } });
    assert.equal(next, 1);
    assert.equal(sockets.opened, 1);
  });

  test('carries texts, parameters and inputs of all kinds', async (t) => {
    const { page } = await clientPage(t);
    const texts = ['caf\u00e9 \u4f60\u597d \u{1f600}', '"\\/\n\t\u0001', '$BigInt', 'x'.repeat(20_000)];
    const said = await page.evaluate(
      async ([key, texts]) => {
        const params = { name: 'ann (work), "\u00e9" \u{1f600}', list: ['$a', 1], none: null };
        const room = connect('chatRoom', key, { params });
        for (const text of texts) await room.call('say', 'ann', text);
        return (await room.call('history')).map(({ text }) => text);
      },
      [randomUUID(), texts],
    );
    assert.deepEqual(said, texts);
    for (const start of [0, 23, 24, 1000, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 2, -1, -1000]) {
      const input = { start, text: '\u00e9'.repeat(30), list: [true, false, null, 1.5, [], {}] };
      const count = await page.evaluate(([key, input]) => connect('counter', key, { input }).call('get'), [randomUUID(), input]);
      assert.equal(count, start);
    }
  });

  test('gives up when it is rejected, and says why', async (t) => {
    const { page, sockets } = await clientPage(t);
    const seen = await page.evaluate(async (key) => {
      const counter = connect('counter', key);
      const statuses = [];
      const over = new Promise((resolve) => {
        counter.onStatus((status, error) => {
          statuses.push(status);
          if (error) resolve(error.code);
        });
      });
      const call = rejection(counter.call('get'));
      return { code: await over, call: await call, later: await rejection(counter.call('get')), statuses };
    }, 'k'.repeat(129));
    assert.equal(seen.code, 'key_too_large');
    assert.equal(seen.call.code, 'key_too_large', 'the call that waited');
    assert.equal(seen.later.code, 'key_too_large', 'a call afterwards');
    assert.deepEqual(seen.statuses, ['connecting', 'closed']);
    await page.waitForTimeout(2_000);
    assert.equal(sockets.opened, 1);
  });

  test('rejects calls under way when the connection is lost, and connects again', async (t) => {
    let hold = false;
    let cut;
    const { page } = await clientPage(t, (context) =>
      context.routeWebSocket('**/connect?*', (ws) => {
        const server = ws.connectToServer();
        server.onMessage((message) => {
          if (hold && message.includes('ActionResponse')) cut();
          else ws.send(message);
        });
        cut = () => {
          hold = false;
          ws.close({ code: 1011, reason: 'guard.test' });
        };
      }),
    );
    const key = randomUUID();
    await page.evaluate((key) => {
      window.events = [];
      window.counter = connect('counter', key);
      window.counter.on('count', (n) => window.events.push(n));
      return window.counter.call('get');
    }, key);
    hold = true;
    const refusal = await page.evaluate(() => rejection(window.counter.call('increment', 1)));
    assert.equal(`${refusal.group}.${refusal.code}`, 'client.connection_lost');
    assert.match(refusal.message, /guard\.test/);
    assert.equal(await page.evaluate(() => window.counter.call('increment', 1)), 2, 'the lost call has run, once');
    assert.equal((await page.evaluate(() => window.events)).at(-1), 2, 'the subscription is there again');
  });

  test('closes its socket, and rejects what is left', async (t) => {
    const { page, sockets } = await clientPage(t);
    const refusals = await page.evaluate(async (key) => {
      const counter = connect('counter', key);
      await counter.call('get');
      const left = rejection(counter.call('get'));
      counter.close();
      return [await left, await rejection(counter.call('get'))].map(({ code }) => code);
    }, randomUUID());
    assert.deepEqual(refusals, ['closed', 'closed']);
    await until('the end of the socket', () => sockets.open === 0);
    assert.equal(sockets.opened, 1);
  });
});

describe('the chat', () => {
  test('shows what is said in two windows at once, and to who comes later', async (t) => {
    const room = randomUUID();
    const [ann, bob] = await Promise.all([enter(t, endpoint, 'chat', 'ann', room), enter(t, endpoint, 'chat', 'bob (2)', room)]);
    await ann.page.fill('#text', 'hello <b>bob</b>');
    await ann.page.press('#text', 'Enter');
    for (const { page } of [ann, bob]) {
      await until('the message', async () => (await messages(page)).length === 1);
      assert.deepEqual(await messages(page), ['ann: hello <b>bob</b>']);
    }
    await bob.page.fill('#text', 'hello ann');
    await bob.page.press('#text', 'Enter');
    await until('the answer', async () => (await messages(ann.page)).length === 2);
    const cem = await enter(t, endpoint, 'chat', 'cem', room);
    await until('the history', async () => (await messages(cem.page)).length === 2);
    assert.deepEqual(await messages(cem.page), ['ann: hello <b>bob</b>', 'bob (2): hello ann']);
  });

  test('keeps rooms apart, and changes room with the address', async (t) => {
    const [red, blue] = [randomUUID(), randomUUID()];
    const { page, sockets } = await enter(t, endpoint, 'chat', 'ann', red);
    await page.fill('#text', 'in red');
    await page.press('#text', 'Enter');
    await until('the message', async () => (await messages(page)).length === 1);
    await page.fill('#other', blue);
    await page.press('#other', 'Enter');
    await shows(page, 'room', blue);
    await until('the end of the first connection', () => sockets.opened === 2 && sockets.open === 1);
    await page.fill('#text', 'in blue');
    await page.press('#text', 'Enter');
    await until('the message', async () => (await messages(page)).join() === 'ann: in blue');
    await page.goBack();
    await until('the first room', async () => (await messages(page)).join() === 'ann: in red');
  });

  test('asks for the name once', async (t) => {
    const { page } = await enter(t, endpoint, 'chat', 'ann', randomUUID());
    await page.reload();
    await shows(page, 'me', 'ann');
    assert.equal(await page.locator('#who').isVisible(), false);
  });

  test('goes on after everything behind it was killed', async (t) => {
    const { page } = await enter(t, endpoint, 'chat', 'ann', randomUUID());
    await page.fill('#text', 'before');
    await page.press('#text', 'Enter');
    await until('the message', async () => (await messages(page)).length === 1);
    assert.equal((await fetch(`${control}/kill`, { method: 'POST' })).status, 200);
    await page.fill('#text', 'after');
    await page.press('#text', 'Enter');
    await until('both messages', async () => (await messages(page)).length === 2);
    assert.deepEqual(await messages(page), ['ann: before', 'ann: after']);
  });
});
