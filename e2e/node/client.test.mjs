// The published RivetKit client against running actorlog programs that host the example
// actors counter, chatRoom and lobby. One run is one client version and one encoding:
//
//   ACTORLOG_ENDPOINT  the gateway, http://host:port
//   ACTORLOG_CLIENT    npm package of the client: rivetkit (default) or rivetkit-oldest
//   ACTORLOG_ENCODING  bare, cbor or json; default: the client's own default, which is bare
//   ACTORLOG_CONTROL   where POST /restart and POST /kill end the gateway that serves the
//                      endpoint and start it again, and POST /kill-worker the worker; without
//                      it these tests are skipped
//
// e2e/node_test.go runs it in all combinations. By hand:
//
//   ACTORLOG_ENDPOINT=http://127.0.0.1:6420 node --test client.test.mjs

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

const endpoint = process.env.ACTORLOG_ENDPOINT;
const control = process.env.ACTORLOG_CONTROL;
const encoding = process.env.ACTORLOG_ENCODING;
const packageName = process.env.ACTORLOG_CLIENT ?? 'rivetkit';
assert.ok(endpoint, 'ACTORLOG_ENDPOINT is not set');

process.env.LOG_LEVEL ??= 'error';
const { createClient } = await import(`${packageName}/client`);

// What the oldest client cannot do, or does otherwise.
const old = packageName !== 'rivetkit';

const open = [];
function connectClient(options = {}) {
  const client = createClient({ endpoint, ...(encoding ? { encoding } : {}), ...options });
  open.push(client);
  return client;
}

// A key that no other test, run or encoding uses.
const fresh = (...parts) => [...parts, randomUUID()];

const isError = (group, code, check) => (error) => {
  assert.equal(`${error.group}.${error.code}`, `${group}.${code}`, error.stack);
  check?.(error);
  return true;
};

function within(promise, what, ms = 15_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Collects the events of one name and waits for them by number.
function collect(conn, name) {
  const events = [];
  const waiting = [];
  const off = conn.on(name, (...args) => {
    events.push(args);
    for (const w of waiting.splice(0)) w();
  });
  const reach = async (n) => {
    while (events.length < n) await new Promise((resolve) => waiting.push(resolve));
    return events;
  };
  return { events, off, reach: (n) => within(reach(n), `event ${n} of ${name}`) };
}

// Resolves when the connection's status is, or becomes, the given one.
function status(conn, want, ms) {
  let off;
  const reached = new Promise((resolve) => {
    if (conn.connStatus === want) resolve();
    off = conn.onStatusChange((s) => s === want && resolve());
  });
  return within(reached, `status ${want}`, ms).finally(() => off());
}

const client = connectClient();

before(async () => {
  // The first call waits for topics, shards and so on. Everything after it is quick.
  await within(client.counter.getOrCreate(fresh('warm')).get(), 'the first answer', 60_000);
});

after(async () => {
  await within(Promise.all(open.map((c) => c.dispose())), 'dispose');
});

describe('calls without a connection', () => {
  test('answer, and remember', async () => {
    const counter = client.counter.getOrCreate(fresh());
    assert.equal(await counter.get(), 0);
    assert.equal(await counter.increment(5), 5);
    assert.equal(await counter.increment(2), 7);
    assert.equal(await counter.action({ name: 'get', args: [] }), 7);
  });

  test('get does not create', async () => {
    const key = fresh();
    await assert.rejects(client.counter.get(key).get(), isError('actor', 'not_found'));
    await client.counter.getOrCreate(key).increment(1);
    assert.equal(await client.counter.get(key).get(), 1);
  });

  test('a key may be a plain string', async () => {
    const name = randomUUID();
    await client.counter.getOrCreate(name).increment(3);
    assert.equal(await client.counter.getOrCreate([name]).get(), 3);
  });

  test('nothing is lost among many at once', async () => {
    const counter = client.counter.getOrCreate(fresh());
    const seen = await Promise.all(Array.from({ length: 50 }, () => counter.increment(1)));
    assert.deepEqual(
      seen.sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
  });

  test('several creators get one actor', async () => {
    const key = fresh();
    const ids = await Promise.all(Array.from({ length: 10 }, () => connectClient().counter.getOrCreate(key).resolve()));
    assert.equal(new Set(ids).size, 1);
  });

  test('large numbers stay numbers', async () => {
    for (const start of [2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER - 1]) {
      const counter = client.counter.getOrCreate(fresh(), { createWithInput: { start } });
      assert.equal(await counter.get(), start);
      assert.equal(await counter.increment(1), start + 1);
    }
  });

  test('an action without a result gives undefined', async () => {
    const counter = client.counter.getOrCreate(fresh());
    // Clients before 2.3 have no undefined in JSON.
    assert.equal(await counter.reset(), old && encoding === 'json' ? null : undefined);
  });

  test('positional arguments, text of all kinds, empty lists', async () => {
    const room = client.chatRoom.getOrCreate(fresh());
    assert.deepEqual(await room.history(), []);
    const texts = ['hello', '\u00e9 \u4f60\u597d \u{1f600}', '"\\/\n\t\u0001', '$BigInt', 'x'.repeat(20_000)];
    for (const text of texts) {
      const said = await room.say('ann', text);
      assert.equal(said.author, 'ann');
      assert.equal(said.text, text);
      assert.ok(Math.abs(Date.parse(said.at) - Date.now()) < 60_000, said.at);
    }
    assert.deepEqual((await room.history()).map((m) => m.text), texts);
  });

  test('namespaces are apart', async () => {
    const key = fresh();
    const other = connectClient({ namespace: `other-${randomUUID()}` });
    await client.counter.getOrCreate(key).increment(1);
    assert.equal(await other.counter.getOrCreate(key).get(), 0);
    assert.notEqual(await other.counter.getOrCreate(key).resolve(), await client.counter.getOrCreate(key).resolve());
  });

  test('the endpoint may name the namespace, and a token', { skip: old && 'since 2.3' }, async () => {
    const key = fresh();
    await client.counter.getOrCreate(key).increment(1);
    const url = new URL(endpoint);
    url.username = `other-${randomUUID()}`;
    url.password = 'to/k@en';
    const credentials = connectClient({ endpoint: url.href });
    assert.equal(await credentials.counter.getOrCreate(key).increment(5), 5);
    const conn = credentials.counter.getForId(await credentials.counter.getOrCreate(key).resolve()).connect();
    assert.equal(await conn.get(), 5);
    await conn.dispose();
    assert.equal(await client.counter.getOrCreate(key).get(), 1);
  });

  test('parameters may come along', async () => {
    const params = { who: 'caf\u00e9', list: ['$a', 1] };
    const counter = client.counter.getOrCreate(fresh(), { params });
    assert.equal(await counter.increment(1), 1);
    const conn = counter.connect({ ...params, who: '\u4f60\u597d \u{1f600}' });
    assert.equal(await conn.increment(1), 2);
    await conn.dispose();
  });
});

describe('keys', () => {
  const long = 'k'.repeat(128);
  const hostile = [
    [],
    ['a', 'b'],
    ['a/b', 'c'],
    ['a', 'b/c'],
    ['a\\', 'b'],
    ['a\\/b'],
    ['/'],
    ['\\0'],
    ['', 'a'],
    ['a', '', 'b'],
    ['..', '.', '~'],
    ['"quoted"', "it's", '`'],
    ['caf\u00e9', '\u4f60\u597d', '\u{1f600}', '\u202e'],
    ['tab\tline\nnul\0'],
    [' ', '+', '%', '%2F', '&a=b', '#', '?'],
    ['@', 'rvt-key=x', '$foo', '__proto__'],
    [long],
    [long, long, long, long, long, long, long],
  ];

  test('of all kinds name one actor each, on every path', async () => {
    const ids = new Set();
    for (const parts of hostile) {
      const key = parts.length > 6 ? parts.with(6, randomUUID()) : fresh(...parts);
      const counter = client.counter.getOrCreate(key);
      assert.equal(await counter.increment(1), 1, JSON.stringify(key));
      const id = await counter.resolve();
      assert.ok(!ids.has(id), `${JSON.stringify(key)} is no key of its own`);
      ids.add(id);
      assert.equal(await client.counter.getForId(id).increment(1), 2, JSON.stringify(key));
      assert.equal(await client.counter.get(key).increment(1), 3, JSON.stringify(key));
      assert.equal(await client.counter.get(key).resolve(), id, JSON.stringify(key));
      const conn = client.counter.get(key).connect();
      assert.equal(await conn.increment(1), 4, JSON.stringify(key));
      await conn.dispose();
    }
  });

  test('with a comma are one actor or two, as the client says', async () => {
    // Clients since 2.3.17 join the parts with commas in the URLs of calls and escape nothing,
    // so a server cannot tell the two; in all other places the keys differ.
    const unique = randomUUID();
    const joined = client.counter.getOrCreate([`${unique},b`]);
    const parts = client.counter.getOrCreate([unique, 'b']);
    await joined.increment(1);
    assert.equal(await parts.increment(1), old ? 1 : 2);
    assert.notEqual(await joined.resolve(), await parts.resolve());
  });

  test('that are too long are refused', async () => {
    const refused = isError('actor', 'key_too_large');
    await assert.rejects(client.counter.getOrCreate(fresh('k'.repeat(129))).get(), refused);
    await assert.rejects(client.counter.getOrCreate(Array(10).fill(long)).get(), refused);
    await assert.rejects(client.counter.create(fresh('k'.repeat(129))), refused);
  });
});

describe('life of an actor', () => {
  test('createWithInput counts at the creation only', async () => {
    const key = fresh();
    assert.equal(await client.counter.getOrCreate(key, { createWithInput: { start: 41 } }).increment(1), 42);
    assert.equal(await client.counter.getOrCreate(key, { createWithInput: { start: 1000 } }).get(), 42);
  });

  test('createWithInput of a connection', async () => {
    const conn = client.counter.getOrCreate(fresh(), { createWithInput: { start: 5 } }).connect();
    assert.equal(await conn.get(), 5);
    await conn.dispose();
  });

  test('create, and again', async () => {
    const key = fresh('a/b');
    const counter = await client.counter.create(key, { input: { start: 7 } });
    assert.equal(await counter.get(), 7);
    const id = await counter.resolve();
    await assert.rejects(
      client.counter.create(key, { input: { start: 8 } }),
      isError('actor', 'duplicate_key', (error) => {
        if (!old) assert.equal(error.metadata?.existing_actor_id, id);
      }),
    );
    assert.equal(await client.counter.get(key).get(), 7);
  });

  test('resolve and getForId', async () => {
    const key = fresh();
    await assert.rejects(client.counter.get(key).resolve(), isError('actor', 'not_found'));
    const id = await client.counter.getOrCreate(key).resolve();
    assert.equal(await client.counter.get(key).resolve(), id);
    const byId = client.counter.getForId(id);
    assert.equal(await byId.resolve(), id);
    assert.equal(await byId.increment(2), 2);
    assert.equal(await client.counter.get(key).get(), 2);
    const conn = byId.connect();
    assert.equal(await conn.increment(1), 3);
    await conn.dispose();
    await assert.rejects(client.counter.getForId('no-such-id').get(), (error) => error.group === 'actor' || error.group === 'guard');
  });

  test('destroy ends one life; the key can have another', async () => {
    const key = fresh();
    const counter = client.counter.getOrCreate(key, { createWithInput: { start: 10 } });
    assert.equal(await counter.increment(1), 11);
    const id = await counter.resolve();
    await counter.destroy();
    await assert.rejects(client.counter.getForId(id).get(), isError('actor', 'not_found'));
    await assert.rejects(client.counter.get(key).get(), isError('actor', 'not_found'));

    const again = client.counter.getOrCreate(key);
    assert.equal(await again.get(), 0);
    assert.notEqual(await again.resolve(), id);
    await assert.rejects(client.counter.getForId(id).get(), isError('actor', 'not_found'));

    const began = Date.now();
    await client.counter.getForId(await again.resolve()).destroy();
    assert.ok(Date.now() - began < 5_000, 'the client waits until the id is gone from the list');
  });
});

describe('errors', () => {
  const badStep = isError('user', 'bad_step', (error) => {
    assert.match(error.message, /step must be positive/);
    assert.deepEqual(error.metadata, { step: -1 });
  });

  test('of an action carry code, message and metadata, and change nothing', async () => {
    const counter = client.counter.getOrCreate(fresh());
    await counter.increment(1);
    await assert.rejects(counter.increment(-1), badStep);
    assert.equal(await counter.get(), 1);

    const conn = counter.connect();
    const events = collect(conn, 'count');
    // Old clients take an error of action 0 for one of the connection.
    assert.equal(await conn.get(), 1);
    await assert.rejects(conn.increment(-1), badStep);
    assert.equal(await conn.increment(1), 2, 'the connection goes on');
    assert.deepEqual(events.events, [[2]], 'and nobody hears of what was refused');
    await conn.dispose();
  });

  test('name the actor', { skip: old && 'since 2.3' }, async () => {
    const key = fresh('a/b');
    const counter = client.counter.getOrCreate(key);
    const id = await counter.resolve();
    const conn = counter.connect();
    await conn.get();
    for (const caller of [counter, conn]) {
      await assert.rejects(
        caller.increment(-1),
        isError('user', 'bad_step', (error) => {
          assert.equal(error.actor?.actorId, id);
          assert.equal(error.actor?.key, `a\\/b/${key[1]}`);
        }),
      );
    }
    await conn.dispose();
  });

  test('of unknown actions', async () => {
    const counter = client.counter.getOrCreate(fresh());
    await assert.rejects(counter.nope(), isError('actor', 'action_not_found'));
    const conn = counter.connect();
    await conn.get();
    await assert.rejects(conn.nope(1), isError('actor', 'action_not_found'));
    assert.equal(await conn.get(), 0);
    await conn.dispose();
  });

  test('of arguments that do not fit', async () => {
    const counter = client.counter.getOrCreate(fresh());
    for (const args of [['five'], [{}], [1.5], [1, 2, 3]]) {
      await assert.rejects(counter.increment(...args), (error) => {
        assert.ok(error.group && error.code, error.stack);
        assert.doesNotMatch(`${error.code} ${error.message}`, /panic|goroutine|\.go:/);
        return true;
      });
    }
    assert.equal(await counter.get(), 0);
  });

  test('of messages that are too long', async () => {
    const room = client.chatRoom.getOrCreate(fresh());
    await assert.rejects(room.say('ann', 'x'.repeat(70_000)), isError('message', 'incoming_too_long'));
    assert.deepEqual(await room.history(), []);
  });

  test('of kinds that do not exist', async () => {
    await assert.rejects(client.noSuchKind.getOrCreate(fresh()).get(), (error) => {
      assert.ok(error.group && error.code, error.stack);
      return true;
    });
  });
});

describe('connections', () => {
  test('hear events, whoever caused them, before the answer', async () => {
    const key = fresh();
    const counter = client.counter.getOrCreate(key);
    const a = counter.connect();
    const b = connectClient().counter.getOrCreate(key).connect();
    const atA = collect(a, 'count');
    const atB = collect(b, 'count');
    // A subscription has no answer, but a call after it on the same connection has.
    await Promise.all([a.get(), b.get()]);
    assert.equal(await a.increment(1), 1);
    assert.deepEqual(atA.events, [[1]], 'the event comes before the answer of the same action');
    assert.equal(await counter.increment(2), 3);
    assert.equal(await b.increment(3), 6);
    assert.deepEqual(await atA.reach(3), [[1], [3], [6]]);
    assert.deepEqual(await atB.reach(3), [[1], [3], [6]]);
    assert.equal(await a.reset(), old && encoding === 'json' ? null : undefined);
    assert.deepEqual(await atB.reach(4), [[1], [3], [6], [0]]);
    await Promise.all([a.dispose(), b.dispose()]);
  });

  test('stop hearing when they unsubscribe, and once is once', async () => {
    const conn = client.counter.getOrCreate(fresh()).connect();
    const always = collect(conn, 'count');
    const some = collect(conn, 'count');
    const firstOnly = [];
    conn.once('count', (n) => firstOnly.push(n));
    await conn.increment(1);
    some.off();
    await conn.increment(1);
    assert.deepEqual(always.events, [[1], [2]]);
    assert.deepEqual(some.events, [[1]]);
    assert.deepEqual(firstOnly, [1]);
    always.off(); // the last listener: the client tells the server
    await conn.increment(1);
    const later = collect(conn, 'count');
    await conn.increment(1);
    assert.deepEqual(later.events, [[4]]);
    assert.deepEqual(always.events, [[1], [2]]);
    await conn.dispose();
  });

  test('do not hear other actors', async () => {
    const a = client.counter.getOrCreate(fresh()).connect();
    const atA = collect(a, 'count');
    await a.get();
    await client.counter.getOrCreate(fresh()).increment(1);
    await a.increment(5);
    assert.deepEqual(atA.events, [[5]]);
    await a.dispose();
  });

  test('carry objects', async () => {
    const room = client.chatRoom.getOrCreate(fresh());
    const conn = room.connect();
    const said = collect(conn, 'message');
    await conn.history();
    const message = await room.say('ann', 'hello \u{1f600}');
    assert.deepEqual(await said.reach(1), [[message]]);
    assert.deepEqual(await conn.history(), [message]);
    await conn.dispose();
  });

  test('answer many calls at once', async () => {
    const conn = client.counter.getOrCreate(fresh()).connect();
    const seen = await Promise.all(Array.from({ length: 100 }, () => conn.increment(1)));
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
    await conn.dispose();
  });

  test('open and close', async () => {
    const conn = client.counter.getOrCreate(fresh()).connect();
    let closed = 0;
    conn.onClose(() => closed++);
    await status(conn, 'connected');
    assert.equal(conn.connStatus, 'connected');
    await within(conn.dispose(), 'dispose');
    assert.equal(closed, 1);
  });

  test('to an actor that does not exist', { skip: old && 'clients before 2.3 look it up first and retry for ever' }, async () => {
    const conn = client.counter.get(fresh()).connect();
    await status(conn, 'disconnected');
    await conn.dispose();
  });
});

// The lobby knows its players by their connections: see examples/lobby.
describe('in the lobby', () => {
  const enter = (key, params, who = client) => who.lobby.getOrCreate(key, { params }).connect();

  test('parameters become the state of the connection', async () => {
    const key = fresh();
    const conn = enter(key, { name: 'caf\u00e9 \u{1f600}' });
    assert.deepEqual(await conn.whoAmI(), { name: 'caf\u00e9 \u{1f600}', staff: false, lines: 0 });
    assert.equal((await conn.rename('ann')).name, 'ann');
    assert.equal((await conn.whoAmI()).name, 'ann');
    const [player] = await conn.players();
    assert.equal(player.name, 'ann');
    assert.ok(player.id);
    await conn.dispose();
  });

  test('getParams is asked for every connection', { skip: old && 'since 2.3' }, async () => {
    let asked = 0;
    const lobby = client.lobby.getOrCreate(fresh(), { getParams: async () => ({ name: `ann-${++asked}` }) });
    const conn = lobby.connect();
    assert.equal((await conn.whoAmI()).name, 'ann-1');
    await conn.dispose();
    const again = lobby.connect();
    assert.equal((await again.whoAmI()).name, 'ann-2');
    await again.dispose();
  });

  test('who is banned is told why, and does not come back', { skip: old && 'clients before 2.3 retry for ever' }, async () => {
    const key = fresh();
    const conn = enter(key, { name: 'mallory' });
    const error = new Promise((resolve) => conn.onError(resolve));
    const call = conn.whoAmI();
    await assert.rejects(call, isError('user', 'banned'));
    isError('user', 'banned', (e) => assert.deepEqual(e.metadata, { name: 'mallory' }))(await within(error, 'the error'));
    await status(conn, 'idle');
    assert.deepEqual(await client.lobby.getOrCreate(key).log(), []);
    await conn.dispose();
    await assert.rejects(client.lobby.getOrCreate(key, { params: { name: 'mallory' } }).players(), isError('user', 'banned'));
  });

  test('calls have a connection of their own', async () => {
    const key = fresh();
    const lobby = client.lobby.getOrCreate(key, { params: { name: 'ann' } });
    assert.deepEqual(await lobby.whoAmI(), { name: 'ann', staff: false, lines: 0 });
    assert.deepEqual(await lobby.players(), [], 'which is nobody in the lobby');
    assert.deepEqual(await lobby.log(), []);
  });

  test('events to one, and to all but one', async () => {
    const key = fresh();
    const ann = enter(key, { name: 'ann' });
    await ann.players();
    const bob = enter(key, { name: 'bob' });
    const [arrived, shoutedA, shoutedB] = [collect(ann, 'arrived'), collect(ann, 'shouted'), collect(bob, 'shouted')];
    const [welcomeB, whisperB, whisperA] = [collect(bob, 'welcome'), collect(bob, 'whisper'), collect(ann, 'whisper')];
    await Promise.all([ann.players(), bob.players()]);
    await ann.shout('from ann');
    await bob.shout('from bob');
    assert.equal(await ann.whisper('bob', 'psst'), true);
    assert.equal(await ann.whisper('nobody', 'psst'), false);
    assert.deepEqual(await whisperB.reach(1), [['psst']]);
    assert.deepEqual(await shoutedA.reach(1), [['from bob']]);
    assert.deepEqual(await shoutedB.reach(1), [['from ann']]);
    await client.lobby.getOrCreate(key).shout('from outside');
    assert.deepEqual(await shoutedA.reach(2), [['from bob'], ['from outside']]);
    assert.deepEqual(await shoutedB.reach(2), [['from ann'], ['from outside']]);
    assert.deepEqual(welcomeB.events, [['hello bob']], 'what OnConnect sends is heard by who listens already');
    assert.deepEqual(whisperA.events, []);
    assert.ok(arrived.events.length <= 1);
    await Promise.all([ann.dispose(), bob.dispose()]);
  });

  test('who leaves has left once', async () => {
    const key = fresh();
    const conn = enter(key, { name: 'ann' });
    await conn.players();
    await conn.dispose();
    await logged(key, ['came ann', 'left ann']);
  });

  test('status changes are told', { skip: old && 'since 2.3' }, async () => {
    const conn = enter(fresh(), { name: 'ann' });
    const seen = [];
    conn.onStatusChange((s) => seen.push(s));
    conn.onOpen(() => seen.push('open'));
    conn.onClose(() => seen.push('close'));
    await conn.players();
    await conn.dispose();
    assert.ok(seen.indexOf('open') >= 0 && seen.indexOf('open') < seen.indexOf('close'), seen.join());
    assert.equal(seen.filter((s) => s === 'connected').length, 1, seen.join());
  });

  test('who is kicked comes back by himself, as somebody new', { skip: old && 'since 2.3' }, async () => {
    const key = fresh();
    const bob = enter(key, { name: 'bob' });
    const [before] = await bob.players();
    const closed = new Promise((resolve) => bob.onClose(resolve));
    assert.equal(await client.lobby.getOrCreate(key).kick('bob'), 1);
    await within(closed, 'the end of the connection');
    await status(bob, 'connected');
    const [after] = await bob.players();
    assert.notEqual(after.id, before.id);
    await bob.dispose();
    await logged(key, ['came bob', 'left bob', 'came bob', 'left bob']);
  });

  test('an event of staff only', { skip: old && 'since 2.3' }, async () => {
    const key = fresh();
    const staff = enter(key, { name: 'sue', staff: true });
    const alerts = collect(staff, 'alert');
    await staff.players();
    const guest = enter(key, { name: 'guest' });
    await guest.players();
    const error = new Promise((resolve) => guest.onError(resolve));
    guest.on('alert', () => assert.fail('a guest hears an alert'));
    isError('auth', 'forbidden')(await within(error, 'the refusal'));
    await guest.dispose();
    assert.deepEqual((await alerts.reach(1))[0], ['guest has left']);
    await staff.dispose();
  });

  test('destroyed: its connections end', { skip: old && 'since 2.3' }, async () => {
    const key = fresh();
    const conn = enter(key, { name: 'ann' });
    await conn.players();
    const id = await client.lobby.getOrCreate(key).resolve();
    const closed = new Promise((resolve) => conn.onClose(resolve));
    await client.lobby.getOrCreate(key).destroy();
    await within(closed, 'the end of the connection');
    await status(conn, 'connected');
    assert.notEqual(await client.lobby.getOrCreate(key).resolve(), id, 'coming back makes a new one');
    await conn.dispose();
  });
});

async function logged(key, want) {
  const lobby = client.lobby.getOrCreate(key);
  const began = Date.now();
  let log;
  do {
    log = await lobby.log();
    if (JSON.stringify(log) === JSON.stringify(want)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  } while (Date.now() - began < 15_000);
  assert.deepEqual(log, want);
}

// Repeats a question until its answer is as wanted.
async function eventually(ask, check, what, ms = 15_000) {
  const began = Date.now();
  let answer;
  do {
    answer = await ask();
    if (check(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  } while (Date.now() - began < ms);
  assert.fail(`${what}: ${JSON.stringify(answer)}`);
}

// See examples/fanout.
describe('actors that ask others', () => {
  test('call them, and are told', async () => {
    const name = randomUUID();
    const total = client.total.getOrCreate(name);
    assert.equal(await total.call(10), 10);
    assert.equal(await total.call(10), 10);
    const { calls, sum } = await total.get();
    assert.deepEqual({ calls, sum }, { calls: 2, sum: 10 + 20 }, 'each part has counted to two');
    assert.equal((await client.part.get('3').get()).called[name], 2);
  });

  test('send them messages, and get as many replies', async () => {
    const total = client.total.getOrCreate(randomUUID());
    await total.message(10);
    const count = ({ replies }) => Object.values(replies ?? {}).reduce((a, b) => a + b, 0);
    const { replies } = await eventually(() => total.get(), (t) => count(t) >= 10, 'the replies');
    assert.deepEqual(Object.values(replies), Array(10).fill(1));
  });

  test('move money, and make none', async () => {
    const [from, to] = [randomUUID(), randomUUID()];
    const payer = client.account.getOrCreate(from);
    await payer.deposit(100);
    await client.account.getOrCreate(to).deposit(1);
    await payer.transfer({ to, cents: 30, note: 'rent' });
    await eventually(() => payer.transfers(), (all) => all.length === 1 && all[0].status === 'paid', 'the transfer');
    assert.equal((await payer.withdraw(70)).cents, 0);
    assert.equal((await client.account.get(to).withdraw(31)).cents, 0);
  });
});

// See examples/metronome.
describe('schedules', () => {
  test('fire at or after their time, each once', async () => {
    const metronome = client.metronome.getOrCreate(fresh());
    const began = Date.now();
    await metronome.start(100, 5);
    const { beats, early } = await eventually(() => metronome.get(), (m) => m.left === 0, 'the last beat');
    assert.ok(Date.now() - began >= 500);
    assert.equal(early, 0);
    assert.equal(beats.length, 5);
    for (let i = 1; i < 5; i++) assert.equal(beats[i] - beats[i - 1], 100);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal((await metronome.get()).beats.length, 5, 'and no more');
  });

  test('can be taken back', async () => {
    const metronome = client.metronome.getOrCreate(fresh());
    await metronome.start(60_000, 5);
    await metronome.stop();
    assert.equal((await metronome.get()).left, 0);
  });
});

describe('queues', { skip: old && 'since 2.1' }, () => {
  test('send, wait for the answer, and come in turn', async () => {
    const lobby = client.lobby.getOrCreate(fresh());
    const plain = await lobby.send('orders', { game: 'go' });
    assert.ok(plain === undefined || plain.status === 'completed', JSON.stringify(plain));
    assert.deepEqual(await lobby.send('orders', { game: 'chess' }, { wait: true, timeout: 10_000 }), {
      status: 'completed',
      response: { number: 2, game: 'chess' },
    });
    const conn = lobby.connect();
    assert.deepEqual((await conn.send('orders', { game: 'hex' }, { wait: true })).response, { number: 3, game: 'hex' });
    await conn.dispose();
  });

  test('time out, and say so', async () => {
    const lobby = client.lobby.getOrCreate(fresh());
    assert.equal((await lobby.send('parked', {}, { wait: true, timeout: 50 })).status, 'timedOut');
  });

  test('drop what nobody declared', async () => {
    const lobby = client.lobby.getOrCreate(fresh());
    assert.equal((await lobby.send('nothing', {}, { wait: true })).status, 'completed');
  });

  test('refuse who may not, what is too large, and too many', async () => {
    const key = fresh();
    const lobby = client.lobby.getOrCreate(key);
    await assert.rejects(lobby.send('staff', {}), isError('auth', 'forbidden'));
    await client.lobby.getOrCreate(key, { params: { staff: true } }).send('staff', {});
    await assert.rejects(lobby.send('parked', 'x'.repeat(65_536)), isError('queue', 'message_too_large'));
    await Promise.all(Array.from({ length: 10 }, async () => {
      const mine = connectClient().lobby.getOrCreate(key);
      for (let i = 0; i < 100; i++) await mine.send('parked', {}).catch(isError('queue', 'full'));
    }));
    await assert.rejects(lobby.send('parked', {}), isError('queue', 'full', (e) => assert.match(e.message, /1000/)));
  });
});

describe('raw requests', { skip: old && 'of the newest client' }, () => {
  const lobby = client.lobby.getOrCreate(fresh(), { params: { name: 'ann' } });

  test('carry method, path, query, headers and body', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const res = await lobby.fetch('some/path?x=1&y=a%20b', {
        method,
        headers: { 'x-hello': 'you', 'content-type': 'text/plain' },
        ...(method === 'GET' ? {} : { body: 'caf\u00e9' }),
      });
      assert.equal(res.status, 200);
      assert.equal(res.headers.get('x-lobby'), 'open');
      assert.deepEqual(await res.json(), {
        method, target: '/some/path?x=1&y=a%20b', type: 'text/plain', hello: 'you', name: 'ann', body: method === 'GET' ? '' : 'caf\u00e9',
      });
    }
    const head = await lobby.fetch('x', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), '');
  });

  test('come back with any status', async () => {
    const gone = await lobby.fetch('gone');
    assert.equal(gone.status, 410);
    assert.equal(gone.headers.get('x-lobby'), 'closed');
    assert.equal(await gone.text(), 'gone');
    assert.equal((await lobby.fetch('empty')).status, 204);
    const forbidden = await lobby.fetch('forbidden');
    assert.equal(forbidden.status, 403);
    assert.equal((await forbidden.json()).code, 'forbidden');
  });

  test('carry bytes', async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i * 7);
    const res = await lobby.fetch('bytes', { method: 'POST', body: bytes });
    assert.deepEqual(new Uint8Array(await res.arrayBuffer()), bytes);
  });

  test('carry 20 MiB each way, and no more', async () => {
    const bytes = new Uint8Array(20 * 1024 * 1024).map((_, i) => i * 7 + (i >> 12));
    const res = await lobby.fetch('bytes', { method: 'POST', body: bytes });
    assert.equal(res.status, 200);
    assert.ok(Buffer.from(await res.arrayBuffer()).equals(Buffer.from(bytes)));
    const more = await lobby.fetch('bytes', { method: 'POST', body: new Uint8Array(bytes.length + 1) });
    assert.equal(more.status, 413);
    assert.equal((await more.json()).code, 'incoming_too_long');
  });

  test('of kinds without a handler are not found', async () => {
    assert.equal((await client.counter.getOrCreate(fresh()).fetch('x')).status, 404);
  });
});

describe('raw sockets', { skip: old && 'of the newest client' }, () => {
  const open = async (key, path, params) => {
    const socket = await client.lobby.getOrCreate(key, { params }).webSocket(path);
    const received = [];
    const waiting = [];
    socket.addEventListener('message', ({ data }) => {
      received.push(typeof data === 'string' ? data : new Uint8Array(data));
      for (const w of waiting.splice(0)) w();
    });
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
    const reach = async (n) => {
      while (received.length < n) await new Promise((resolve) => waiting.push(resolve));
      return received;
    };
    if (socket.readyState !== 1) await within(new Promise((resolve) => socket.addEventListener('open', resolve)), 'open');
    return { socket, closed: () => within(closed, 'the end of the socket'), reach: (n) => within(reach(n), `message ${n}`) };
  };

  test('carry text and bytes, in order', async () => {
    const { socket, reach } = await open(fresh(), 'sub/path?x=1', { name: 'ann' });
    socket.send('where');
    socket.send('hello');
    socket.send(Uint8Array.of(0, 255));
    for (let i = 0; i < 100; i++) socket.send(`n${i}`);
    const all = await reach(103);
    assert.deepEqual(all.slice(0, 3), ['/websocket/sub/path?x=1', 'HELLO', Uint8Array.of(0, 255)]);
    assert.deepEqual(all.slice(3), Array.from({ length: 100 }, (_, i) => `N${i}`));
    socket.close();
  });

  test('close both ways with code and reason', async () => {
    const key = fresh();
    const first = await open(key, '', { name: 'ann' });
    first.socket.send('bye');
    const event = await first.closed();
    assert.equal(`${event.code} ${event.reason}`, '4001 bye.now');
    assert.deepEqual(await first.reach(1), ['BYE']);
    const second = await open(key, '', { name: 'bob' });
    second.socket.close(4002, 'so long');
    await logged(key, ['came ann', 'socket 4001 bye.now', 'left ann', 'came bob', 'socket 4002 so long', 'left bob']);
  });

  test('are refused by their reason', async () => {
    const socket = await client.lobby.getOrCreate(fresh(), { params: { name: 'mallory' } }).webSocket();
    const event = await within(new Promise((resolve) => socket.addEventListener('close', resolve)), 'the refusal');
    assert.equal(event.code, 1011);
    assert.match(event.reason, /^user\.banned/);
  });
});

describe('when the worker is killed', { skip: !control && 'ACTORLOG_CONTROL is not set' }, () => {
  test('connections stay as they are, with their state', async () => {
    const key = fresh();
    const conn = client.lobby.getOrCreate(key, { params: { name: 'ann' } }).connect();
    const shouted = collect(conn, 'shouted');
    await conn.rename('anna');
    const [before] = await conn.players();
    let closed = 0;
    conn.onClose(() => closed++);
    await within(post('kill-worker'), 'the kill', 60_000);
    const [after] = await within(conn.players(), 'a call after the kill', 60_000);
    assert.deepEqual(after, before);
    assert.equal((await conn.whoAmI()).name, 'anna');
    await client.lobby.getOrCreate(key).shout('still here?');
    assert.deepEqual(await shouted.reach(1), [['still here?']]);
    assert.equal(closed, 0);
    await conn.dispose();
    await logged(key, ['came ann', 'left anna']);
  });
});

describe('when the worker is killed,', { skip: !control && 'ACTORLOG_CONTROL is not set' }, () => {
  test('schedules go on, each time once', async () => {
    const metronome = client.metronome.getOrCreate(fresh());
    const [every, n] = [100, 30];
    await metronome.start(every, n);
    await within(post('kill-worker'), 'the kill', 60_000);
    const { beats, early } = await eventually(() => within(metronome.get(), 'an answer after the kill', 60_000), (m) => m.left === 0, 'the last beat', 30_000);
    assert.equal(early, 0);
    assert.deepEqual(beats.map((at) => at - beats[0]), Array.from({ length: n }, (_, i) => i * every));
  });
});

describe('when the gateway is', { skip: !control && 'ACTORLOG_CONTROL is not set' }, () => {
  for (const how of ['restart', 'kill']) {
    test(`${how}ed: connections come back with their subscriptions, counts are kept`, async () => {
      const counter = client.counter.getOrCreate(fresh());
      const id = await counter.resolve();
      const conn = counter.connect();
      const events = collect(conn, 'count');
      await conn.increment(1);
      const lost = new Promise((resolve) => conn.onClose(resolve));

      await within(post(how), how, 60_000);
      await within(lost, 'the end of the connection');
      await status(conn, 'connected', 45_000);
      assert.equal(await within(conn.increment(1), 'a call after the reconnect'), 2);
      assert.deepEqual(events.events, [[1], [2]]);
      assert.equal(await counter.increment(1), 3, 'calls without a connection go on too');
      assert.deepEqual(await events.reach(3), [[1], [2], [3]]);
      assert.equal(await client.counter.getForId(id).get(), 3);
      await conn.dispose();
    });
  }

  test('killed: the actor learns once that its connections have ended', async () => {
    const key = fresh();
    const conn = client.lobby.getOrCreate(key, { params: { name: 'ann' } }).connect();
    await conn.players();
    const lost = new Promise((resolve) => conn.onClose(resolve));
    await within(post('kill'), 'kill', 60_000);
    await within(lost, 'the end of the connection');
    await status(conn, 'connected', 45_000);
    const began = Date.now();
    // Both gateways were killed, one after the other: she may have come back to the second in between.
    const here = async () => {
      const log = await client.lobby.getOrCreate(key).log();
      return log.filter((line) => line === 'came ann').length - log.filter((line) => line === 'left ann').length;
    };
    while ((await here()) !== 1) {
      assert.ok(Date.now() - began < 15_000, `${await here()} of her are here`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.deepEqual((await conn.players()).map((p) => p.name), ['ann'], 'only the new one is there');
    await conn.dispose();
  });

  test('restarted: calls under way are answered, none counts twice', async () => {
    const counter = client.counter.getOrCreate(fresh());
    await counter.get();
    let stop = false;
    let acknowledged = 0;
    let attempted = 0;
    const failures = [];
    const callers = Array.from({ length: 8 }, async () => {
      while (!stop) {
        attempted++;
        try {
          await counter.increment(1);
          acknowledged++;
        } catch (error) {
          failures.push(`${error.group}.${error.code} ${error.message}`);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    });
    await within(post('restart'), 'restart', 60_000);
    stop = true;
    await within(Promise.all(callers), 'the last answers', 30_000);
    const count = await counter.get();
    assert.ok(acknowledged > 0);
    assert.ok(acknowledged <= count && count <= attempted, `${acknowledged} acknowledged, ${count} counted, ${attempted} attempted: ${failures}`);
  });
});

async function post(path) {
  const res = await fetch(`${control}/${path}`, { method: 'POST' });
  assert.equal(res.status, 200, await res.text());
}
