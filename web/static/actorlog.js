// A small client for actorlog in browsers: one WebSocket per actor, JSON, nothing to install.
//
//   import { connect, subscribe } from '/examples/actorlog.js';
//
//   const counter = connect('counter', ['org', '42']);
//   counter.on('count', (n) => console.log('now', n));
//   console.log('result', await counter.call('increment', 3));
//
//   subscribe('counter', ['org', '42'], { onEvent: (name, n) => console.log(name, n), onReady: (recovered) => recovered || readAnew() });
//
// It speaks the RivetKit protocol. For more than this (calls without a connection, binary
// encodings, React) use the npm packages rivetkit and @rivetkit/react.

const firstPause = 250; // ms, at most, before connecting again; doubles with every attempt that fails
const longestPause = 8_000;
const longestSilence = 45_000; // ms without a message, heartbeats included, after which a subscription's socket is taken for dead
const refused = 1008; // close code of a subscription that need not come back
const settled = 5_000; // ms after which a connection that ends counts as a good one

/** What a call is rejected with, and what ends a connection for good: {group, code, message, metadata}. */
export class ActorError extends Error {
  constructor({ group, code, message, metadata }) {
    super(message);
    this.name = 'ActorError';
    Object.assign(this, { group, code, metadata });
  }
}

/**
 * Connects to the actor of this kind and key, and creates it if there is none.
 *
 * key: a string, or a list of strings, none of which contains a comma.
 * options.params: what the actor is told about this connection; any JSON value.
 * options.input: what the actor is created with, if it is; any JSON value.
 * options.endpoint: URL of the gateway. Default: where the page came from.
 */
export function connect(kind, key, options = {}) {
  return new Connection(socketURL(kind, key, options), options.params);
}

/**
 * Follows the events of an actor without a connection to it, and without a gap: whatever breaks, it comes back after what it has had.
 * Returns a function that ends it.
 *
 * options.events: names; default: all that need not be asked for by name.
 * options.onEvent(name, ...args): one event.
 * options.onReady(recovered): it follows from now on. recovered says that nothing was missed since the last event (or options.after); if it is
 *   false, as it is the first time, read the actor's state.
 * options.onEnd(error): it was refused, and does not come back.
 * options.after: id to begin after; see docs/http-api.md. options.params, options.endpoint: as for connect.
 */
export function subscribe(kind, key, { events = [], after = '', params, endpoint = location.origin, onEvent, onReady, onEnd }) {
  const url = `${endpoint.replace(/^http/, 'ws').replace(/\/$/, '')}/actors/${[kind, key].flat().map(segment).join('/')}/events`;
  let socket;
  let timer;
  let failures = 0; // attempts in a row that were not told that they follow
  const open = () => {
    const current = (socket = new WebSocket(url));
    let refusal = null;
    const again = () => {
      if (socket !== current) return;
      socket = null;
      current.close();
      clearTimeout(timer);
      timer = setTimeout(open, Math.min(longestPause, firstPause * 2 ** failures++) * (0.5 + Math.random() / 2));
    };
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(again, longestSilence);
    };
    listen();
    current.onopen = () => current.send(JSON.stringify({ subscribe: events, after, params }));
    current.onmessage = ({ data }) => {
      if (socket !== current) return;
      listen();
      const message = JSON.parse(data);
      after = message.id ?? after;
      if (message.error) refusal = new ActorError(message.error);
      if (message.event !== undefined) onEvent?.(message.event, ...message.args);
      if (!message.subscribed) return;
      failures = 0;
      onReady?.(message.recovered);
    };
    current.onclose = ({ code }) => {
      if (socket !== current || code !== refused) return again();
      end();
      onEnd?.(refusal ?? clientError('refused', 'The subscription was refused.'));
    };
  };
  const end = () => {
    clearTimeout(timer);
    const last = socket;
    socket = null;
    last?.close(1000);
  };
  open();
  return end;
}

class Connection {
  #url;
  #protocols = ['rivet', 'rivet_encoding.json'];
  #socket = null;
  #status = 'connecting';
  #error = null;
  #failures = 0; // attempts in a row without a good connection
  #timer = 0;
  #nextId = 0n;
  #calls = new Map(); // id -> {frame, sent, resolve, reject}
  #listeners = new Map(); // event -> set of functions
  #watchers = new Set();

  constructor(url, params) {
    this.#url = url;
    if (params !== undefined) this.#protocols.push('rivet_conn_params.' + escaped(JSON.stringify(params)));
    this.#open();
  }

  /** 'connecting', 'connected', 'disconnected' (it is going to try again) or 'closed' (for good). */
  get status() {
    return this.#status;
  }

  /**
   * Runs an action, and resolves to its result. A call waits for the connection if there is none. If the
   * connection ends before the answer, the call is rejected with client.connection_lost, for it may have run or not.
   */
  call(name, ...args) {
    return new Promise((resolve, reject) => {
      if (this.#status === 'closed') return reject(this.#error);
      const id = this.#nextId++;
      const frame = encode('ActionRequest', { id, name, args });
      this.#calls.set(id, { frame, sent: this.#send(frame), resolve, reject });
    });
  }

  /** Calls fn with the arguments of every such event from now on. Returns a function that ends it. */
  on(event, fn) {
    const fns = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, fns.add(fn));
    if (fns.size === 1) this.#subscribe(event, true);
    return () => {
      if (!fns.delete(fn) || fns.size > 0) return;
      this.#listeners.delete(event);
      this.#subscribe(event, false);
    };
  }

  /** Calls fn(status, error) now and whenever the status changes; error says why it is closed. Returns a function that ends it. */
  onStatus(fn) {
    this.#watchers.add(fn);
    fn(this.#status, this.#error);
    return () => this.#watchers.delete(fn);
  }

  /** Ends the connection, and rejects all calls that have no answer. */
  close() {
    this.#end(clientError('closed', 'The connection was closed.'));
  }

  #open() {
    const socket = (this.#socket = new WebSocket(this.#url, this.#protocols));
    let since = Infinity;
    let refusal = null;
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      const { tag, val } = decode(data);
      if (tag === 'Init') {
        since = Date.now();
        this.#connected();
      } else if (tag === 'Event') {
        for (const fn of [...(this.#listeners.get(val.name) ?? [])]) fn(...val.args);
      } else if (tag === 'ActionResponse') {
        this.#take(val.id)?.resolve(val.output);
      } else if (tag === 'Error') {
        const error = new ActorError(val);
        if (val.actionId != null) this.#take(val.actionId)?.reject(error);
        else refusal = error; // of the connection: the close follows
      }
    };
    socket.onclose = ({ reason }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      // Refused before it began: the server says so only to those who need not ask again.
      if (refusal && since === Infinity) return this.#end(refusal);
      this.#failures = Date.now() - since > settled ? 0 : this.#failures + 1;
      const pause = Math.min(longestPause, firstPause * 2 ** this.#failures);
      this.#timer = setTimeout(() => this.#open(), pause * (0.5 + Math.random() / 2));
      const error = clientError('connection_lost', `The connection ended before the answer came (${reason || 'no reason given'}).`);
      this.#reject((call) => call.sent, refusal ?? error);
      this.#become('disconnected');
    };
    this.#become('connecting');
  }

  #connected() {
    // Before the watchers: what they call comes after the subscriptions, so that no event
    // is missed in between, and after what waited.
    this.#status = 'connected';
    for (const event of this.#listeners.keys()) this.#subscribe(event, true);
    for (const call of this.#calls.values()) call.sent = this.#send(call.frame);
    for (const fn of [...this.#watchers]) fn(this.#status, null);
  }

  #subscribe(eventName, subscribe) {
    this.#send(encode('SubscriptionRequest', { eventName, subscribe }));
  }

  #send(frame) {
    if (this.#status !== 'connected') return false;
    this.#socket.send(frame);
    return true;
  }

  #take(id) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }

  #reject(which, error) {
    for (const [id, call] of this.#calls) if (which(call)) this.#take(id).reject(error);
  }

  #end(error) {
    if (this.#status === 'closed') return;
    clearTimeout(this.#timer);
    this.#socket?.close(1000, 'closed by the page');
    this.#socket = null;
    this.#error = error;
    this.#become('closed');
    this.#reject(() => true, error);
  }

  #become(status) {
    if (this.#status === status) return;
    this.#status = status;
    for (const fn of [...this.#watchers]) fn(status, this.#error);
  }
}

const clientError = (code, message) => new ActorError({ group: 'client', code, message });

function socketURL(kind, key, { endpoint = location.origin, input }) {
  const parts = [key].flat();
  if (parts.join('').includes(',')) throw new TypeError('a part of a key contains a comma');
  const query = new URLSearchParams({ 'rvt-namespace': 'default', 'rvt-method': 'getOrCreate' });
  if (parts.length > 0) query.set('rvt-key', parts.join(','));
  if (input !== undefined) query.set('rvt-input', base64url(cbor(JSON.parse(JSON.stringify(input)))));
  return `${endpoint.replace(/^http/, 'ws').replace(/\/$/, '')}/gateway/${encodeURIComponent(kind)}/connect?${query}`;
}

// A part of a plain path. What would be taken for something else than a part of a key has a letter escaped.
const segment = (part) =>
  encodeURIComponent(part).replace(/^(state|events|actions|queues)$/, (word) => `%${word.charCodeAt(0).toString(16)}${word.slice(1)}`);

// Encoded for a URL and for the name of a sub-protocol, which has no parentheses.
const escaped = (text) => encodeURIComponent(text).replaceAll('(', '%28').replaceAll(')', '%29');

// What JSON has no form for is a pair on the wire whose first part begins with a dollar sign. A
// pair of the user's that looks alike gets another one.
const tagged = (v) => Array.isArray(v) && v.length === 2 && typeof v[0] === 'string' && v[0].startsWith('$');

const encode = (tag, val) =>
  JSON.stringify({ body: { tag, val } }, (_, v) => {
    if (typeof v === 'bigint') return ['$BigInt', String(v)];
    return tagged(v) ? ['$' + v[0], v[1]] : v;
  });

const decode = (text) =>
  JSON.parse(text, (_, v) => {
    if (!tagged(v)) return v;
    if (v[0] === '$Undefined') return undefined;
    if (v[0] === '$BigInt') return BigInt(v[1]);
    return v[0].startsWith('$$') ? [v[0].slice(1), v[1]] : v;
  }).body;

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

// The bytes of a JSON value in CBOR, which the input of a creation is in whatever else is JSON.
function cbor(v) {
  const head = (major, n) => {
    if (n < 24) return [(major << 5) | n];
    return [(major << 5) | 26, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255];
  };
  if (v === null) return [0xf6];
  if (typeof v === 'boolean') return [v ? 0xf5 : 0xf4];
  if (Number.isInteger(v) && Math.abs(v) < 2 ** 32) return v < 0 ? head(1, -1 - v) : head(0, v);
  if (typeof v === 'number') return [0xfb, ...new Uint8Array(new Float64Array([v]).buffer).reverse()];
  if (typeof v === 'string') {
    const text = new TextEncoder().encode(v);
    return [...head(3, text.length), ...text];
  }
  if (Array.isArray(v)) return [...head(4, v.length), ...v.flatMap(cbor)];
  const members = Object.entries(v);
  return [...head(5, members.length), ...members.flatMap(([name, value]) => [...cbor(name), ...cbor(value)])];
}
