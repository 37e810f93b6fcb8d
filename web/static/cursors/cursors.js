import { connect } from '../actorlog.js';
import { myName, roomName, showStatus } from '../page.js';

const $ = (id) => document.getElementById(id);
const interval = 50; // ms between the positions that are sent
const colors = ['#b91c1c', '#b45309', '#4d7c0f', '#047857', '#0e7490', '#1d4ed8', '#6d28d9', '#be185d']; // white is legible on all

const name = await myName();
const color = colors[Math.floor(Math.random() * colors.length)];
const pointers = new Map(); // connection -> {element, name}
let board = null; // the connection

function enter() {
  board?.close();
  clear();
  $('room').textContent = roomName();
  const conn = (board = connect('cursors', roomName(), { params: { name, color } }));
  conn.on('moved', show);
  conn.on('left', ({ id }) => {
    pointers.get(id)?.element.remove();
    pointers.delete(id);
    showVisitors();
  });
  conn.onStatus(async (status, error) => {
    showStatus(status, error);
    if (status !== 'connected') return clear();
    try {
      const all = await conn.call('cursors');
      // What was shown before this answer is in it.
      clear();
      all.forEach(show);
    } catch (error) {
      failed(conn, error);
    }
  });
}

function failed(conn, error) {
  if (conn === board && error.group !== 'client') showStatus(conn.status, error);
}

// show puts a pointer where its visitor has moved it: x and y are parts of the board, so that windows
// of all sizes agree.
function show({ id, name, color, x, y }) {
  let pointer = pointers.get(id);
  if (!pointer) {
    const element = document.createElement('div');
    element.className = 'pointer';
    element.setAttribute('aria-hidden', 'true'); // see the list of visitors
    const label = document.createElement('span');
    label.textContent = name;
    element.append(label);
    element.style.setProperty('--color', color);
    pointer = { element, name };
    pointers.set(id, pointer);
    $('board').append(element);
    showVisitors();
  }
  pointer.element.style.setProperty('--x', x);
  pointer.element.style.setProperty('--y', y);
}

function clear() {
  for (const { element } of pointers.values()) element.remove();
  pointers.clear();
  showVisitors();
}

function showVisitors() {
  const items = [...pointers.values()].map(({ name }) => {
    const item = document.createElement('li');
    item.textContent = name;
    return item;
  });
  $('visitors').replaceChildren(...items);
}

// The first position goes out at once; after that, the latest one every interval.
let latest = null;
let timer = 0;

function send() {
  timer = 0;
  if (!latest || board.status !== 'connected') return; // an old position is of no use later
  const conn = board;
  conn.call('move', ...latest).catch((error) => failed(conn, error));
  latest = null;
  timer = setTimeout(send, interval);
}

$('board').addEventListener('pointermove', ({ clientX, clientY }) => {
  const { left, top, width, height } = $('board').getBoundingClientRect();
  const part = (n) => Math.min(1, Math.max(0, n));
  latest = [part((clientX - left) / width), part((clientY - top) / height)];
  if (!timer) send();
});

addEventListener('hashchange', enter);
enter();
