// Keyboard shortcuts: g and a letter go to a section, ? opens the help.  They can be
// turned off, since somebody may dictate, or hit single keys by accident.

/** How long after g the second key counts. */
const PAIR_MS = 1200;
const STORED = 'xtcp_keys';

/** @param {HTMLDialogElement} help */
export function shortcuts(help) {
  const wanted = help.querySelector('input');
  wanted.checked = localStorage.getItem(STORED) !== 'off';
  wanted.addEventListener('change', () => localStorage.setItem(STORED, wanted.checked ? 'on' : 'off'));

  let prefixed = -Infinity;
  document.addEventListener('keydown', (event) => {
    if (!wanted.checked || help.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement) return;
    const second = event.timeStamp - prefixed < PAIR_MS;
    prefixed = -Infinity;
    if (event.key === '?') help.showModal();
    else if (second) document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
    else if (event.key === 'g') prefixed = event.timeStamp;
  });
}
