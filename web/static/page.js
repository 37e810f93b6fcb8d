// What the pages have in common: who the visitor is, which room the address names, and what is wrong.

/** The visitor's name, as it was given before; asks for it if it was not, or if ask is set. */
export async function myName({ ask = false } = {}) {
  const known = localStorage.getItem('name');
  if (known && !ask) return known;
  const dialog = document.getElementById('who');
  const input = document.getElementById('name');
  input.value = known ?? '';
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  const name = input.value.trim();
  // Escape leaves the dialog without an answer.
  if (dialog.returnValue !== 'enter' || !name) return known ?? myName({ ask });
  localStorage.setItem('name', name);
  return name;
}

/** The room that the address names behind its #, or the one that everybody begins in. */
export function roomName() {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    // Somebody typed a lone percent sign: it stands for itself.
  }
  // A comma would be two parts of a key.
  return name.replaceAll(',', ' ').trim().slice(0, 40) || 'lobby';
}

/** Shows in #status how the connection is, or what went wrong. */
export function showStatus(status, error) {
  const element = document.getElementById('status');
  element.textContent = error ? `${status}: ${error.message}` : status;
  element.classList.toggle('bad', Boolean(error) || status === 'disconnected');
}
