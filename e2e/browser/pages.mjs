// How the tests use the pages of actorlog dev.

import { visit } from './browser.mjs';

// Opens an example in a window of its own, as a visitor who gives this name.
export async function enter(t, endpoint, example, name, room) {
  const visited = await visit(t, `${endpoint}/examples/${example}/#${encodeURIComponent(room)}`);
  await visited.page.fill('#name', name);
  await visited.page.press('#name', 'Enter');
  // Connected, whatever else it says.
  await visited.page.locator('#status', { hasText: /^connected/ }).waitFor();
  return visited;
}

// What the chat shows: "author: text" of every message.
export const messages = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('#messages li')].map((li) => `${li.querySelector('strong').textContent}: ${li.querySelector('span').textContent}`),
  );
