import { connect } from '../actorlog.js';
import { myName, roomName, showStatus } from '../page.js';

const $ = (id) => document.getElementById(id);

let me = '';
let room = null; // the connection

function enter() {
  room?.close();
  $('room').textContent = roomName();
  $('me').textContent = me;
  $('messages').replaceChildren();
  showMembers(new Map());

  const conn = (room = connect('chatRoom', roomName(), { params: { name: me } }));
  const members = new Map(); // connection -> name
  conn.on('message', addMessage);
  conn.on('joined', ({ id, name }) => showMembers(members.set(id, name)));
  conn.on('left', ({ id }) => {
    members.delete(id);
    showMembers(members);
  });
  conn.onStatus(async (status, error) => {
    showStatus(status, error);
    if (status !== 'connected') return;
    try {
      // What comes on one connection is in order: the events behind an answer are those that it does
      // not contain, so each answer replaces what was there.
      const history = await conn.call('history');
      $('messages').replaceChildren();
      history.forEach(addMessage);
      const list = await conn.call('members');
      members.clear();
      for (const { id, name } of list) members.set(id, name);
      showMembers(members);
    } catch (error) {
      if (conn === room && error.group !== 'client') showStatus(status, error);
    }
  });
}

function addMessage({ author, text, at }) {
  const log = $('log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const item = document.createElement('li');
  const who = document.createElement('strong');
  who.textContent = author;
  const when = document.createElement('time');
  when.dateTime = at;
  when.textContent = new Date(at).toLocaleTimeString([], { timeStyle: 'short' });
  const what = document.createElement('span');
  what.textContent = text;
  item.append(who, when, what);
  $('messages').append(item);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function showMembers(members) {
  const names = [...members.values()].sort((a, b) => a.localeCompare(b));
  const items = names.map((name) => {
    const item = document.createElement('li');
    item.textContent = name;
    return item;
  });
  $('members').replaceChildren(...items);
}

$('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text) return;
  $('text').value = '';
  try {
    await room.call('say', me, text);
  } catch (error) {
    $('text').value ||= text;
    showStatus('not sent', error);
  }
});

$('go').addEventListener('submit', (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent($('other').value.trim());
  $('other').value = '';
});

$('rename').addEventListener('click', async () => {
  const before = me;
  me = await myName({ ask: true });
  if (me !== before) enter();
});

me = await myName();
addEventListener('hashchange', enter);
enter();
