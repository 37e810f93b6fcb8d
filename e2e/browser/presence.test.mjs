// Who is there, on the pages of actorlog dev, in Chromium.
//
//   ACTORLOG_ENDPOINT  actorlog dev, http://host:port
//   ACTORLOG_CONTROL   where POST /kill ends it and starts it again, on the same data
//
// e2e/pages_test.go runs it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { needed, until, visit } from './browser.mjs';
import { enter } from './pages.mjs';

const endpoint = needed('ACTORLOG_ENDPOINT');
const control = needed('ACTORLOG_CONTROL');

const list = (page, id) => page.evaluate((id) => [...document.querySelectorAll(`#${id} li`)].map((li) => li.textContent), id);

async function listed(page, id, ...names) {
  let seen;
  const same = async () => {
    seen = await list(page, id);
    return seen.join('|') === names.join('|');
  };
  await until(`${names.join(', ')} in ${id}`, same).catch((error) => {
    throw new Error(`#${id} lists ${JSON.stringify(seen)}, not ${JSON.stringify(names)}`, { cause: error });
  });
}

// Where the pointers of others are, as parts of the board.
const pointers = (page) =>
  page.evaluate(() => {
    const board = document.getElementById('board').getBoundingClientRect();
    return [...document.querySelectorAll('.pointer')].map((element) => ({
      name: element.textContent,
      x: Number(element.style.getPropertyValue('--x')),
      y: Number(element.style.getPropertyValue('--y')),
      inside: element.getBoundingClientRect().left >= board.left,
    }));
  });

async function moveTo(page, x, y) {
  const board = await page.locator('#board').boundingBox();
  await page.mouse.move(board.x + x * board.width, board.y + y * board.height);
}

const near = (a, b) => Math.abs(a - b) < 0.01;

async function pointerAt(page, name, x, y) {
  await until(`the pointer of ${name} at ${x}, ${y}`, async () => {
    const all = await pointers(page);
    return all.length === 1 && all[0].name === name && near(all[0].x, x) && near(all[0].y, y);
  });
}

describe('the chat', () => {
  test('lists who is there, in all windows, until they leave', async (t) => {
    const room = randomUUID();
    const ann = await enter(t, endpoint, 'chat', 'ann', room);
    await listed(ann.page, 'members', 'ann');
    const bob = await enter(t, endpoint, 'chat', 'bob', room);
    for (const { page } of [ann, bob]) await listed(page, 'members', 'ann', 'bob');
    const second = await enter(t, endpoint, 'chat', 'bob', room);
    for (const { page } of [ann, bob, second]) await listed(page, 'members', 'ann', 'bob', 'bob');
    await second.page.close();
    await listed(ann.page, 'members', 'ann', 'bob');
    await bob.page.close();
    await listed(ann.page, 'members', 'ann');
  });

  test('lists who has changed rooms in the new one only', async (t) => {
    const [red, blue] = [randomUUID(), randomUUID()];
    const [ann, bob] = [await enter(t, endpoint, 'chat', 'ann', red), await enter(t, endpoint, 'chat', 'bob', red)];
    await listed(ann.page, 'members', 'ann', 'bob');
    await bob.page.fill('#other', blue);
    await bob.page.press('#other', 'Enter');
    await listed(ann.page, 'members', 'ann');
    await listed(bob.page, 'members', 'bob');
  });

  test('lists who has a new name by that', async (t) => {
    const room = randomUUID();
    const [ann, bob] = [await enter(t, endpoint, 'chat', 'ann', room), await enter(t, endpoint, 'chat', 'bob', room)];
    await bob.page.click('#rename');
    await bob.page.fill('#name', 'cem');
    await bob.page.press('#name', 'Enter');
    for (const { page } of [ann, bob]) await listed(page, 'members', 'ann', 'cem');
  });

  test('does not list those who only call', async (t) => {
    const room = randomUUID();
    const ann = await enter(t, endpoint, 'chat', 'ann', room);
    const said = await fetch(`${endpoint}/actors/chatRoom/${room}/actions/say`, { method: 'POST', body: '["bot", "hello"]' });
    assert.equal(said.status, 200, await said.text());
    await until('the message', async () => (await list(ann.page, 'messages')).length === 1);
    await listed(ann.page, 'members', 'ann');
  });

  test('refuses a name that is too long, and the page says so', async (t) => {
    const { page, sockets } = await visit(t, endpoint, {
      prepare: (context) => context.addInitScript(() => localStorage.setItem('name', 'a'.repeat(41))),
    });
    await page.goto(`${endpoint}/examples/chat/`);
    await page.locator('#status', { hasText: 'closed: a name has at most 40 characters' }).waitFor();
    await until('the end of the socket', () => sockets.opened === 1 && sockets.open === 0);
  });

  test('lists who is there after everything behind it was killed', async (t) => {
    const room = randomUUID();
    const [ann, bob] = [await enter(t, endpoint, 'chat', 'ann', room), await enter(t, endpoint, 'chat', 'bob', room)];
    for (const { page } of [ann, bob]) await listed(page, 'members', 'ann', 'bob');
    assert.equal((await fetch(`${control}/kill`, { method: 'POST' })).status, 200);
    // Both come back with new connections, and the old ones are gone.
    await until('new connections', () => ann.sockets.opened > 1 && bob.sockets.opened > 1);
    for (const { page } of [ann, bob]) await listed(page, 'members', 'ann', 'bob');
    await bob.page.close();
    await listed(ann.page, 'members', 'ann');
  });
});

describe('the cursors', () => {
  test('move in one window as in the other, and vanish with their visitor', async (t) => {
    const room = randomUUID();
    const [ann, bob] = [await enter(t, endpoint, 'cursors', 'ann', room), await enter(t, endpoint, 'cursors', 'bob', room)];
    await moveTo(ann.page, 0.25, 0.5);
    await pointerAt(bob.page, 'ann', 0.25, 0.5);
    assert.deepEqual(await pointers(ann.page), [], 'nobody sees a pointer of their own');
    await moveTo(bob.page, 0.75, 0.1);
    await pointerAt(ann.page, 'bob', 0.75, 0.1);
    await moveTo(ann.page, 0.9, 0.9);
    await pointerAt(bob.page, 'ann', 0.9, 0.9);
    assert.ok((await pointers(bob.page))[0].inside);
    await ann.page.close();
    await until('the end of the pointer', async () => (await pointers(bob.page)).length === 0);
  });

  test('are there for who comes later, in a window of another size', async (t) => {
    const room = randomUUID();
    const ann = await enter(t, endpoint, 'cursors', 'ann', room);
    await moveTo(ann.page, 0.5, 0.25);
    const bob = await enter(t, endpoint, 'cursors', 'bob', room);
    await bob.page.setViewportSize({ width: 500, height: 400 });
    await pointerAt(bob.page, 'ann', 0.5, 0.25);
    await listed(bob.page, 'visitors', 'ann');
  });

  test('are sent about twenty times a second, and the last one arrives', async (t) => {
    const room = randomUUID();
    const [ann, bob] = [await enter(t, endpoint, 'cursors', 'ann', room), await enter(t, endpoint, 'cursors', 'bob', room)];
    const devtools = await ann.page.context().newCDPSession(ann.page);
    await devtools.send('Network.enable');
    let sent = 0;
    devtools.on('Network.webSocketFrameSent', ({ response }) => response.payloadData.includes('"move"') && sent++);
    const began = Date.now();
    for (let i = 1; i <= 200; i++) await moveTo(ann.page, i / 250, i / 250);
    await pointerAt(bob.page, 'ann', 0.8, 0.8);
    const seconds = (Date.now() - began) / 1000;
    t.diagnostic(`${sent} positions in ${seconds} s`);
    assert.ok(sent >= 2, 'what was sent was not seen: this test shows nothing');
    assert.ok(sent <= 20 * seconds + 2, `${sent} positions in ${seconds} s`);
  });
});
