// Times in the browser's zone: <time data-t="Unix time">.

import { when } from './fmt.js';

/** @param {Element} time */
export function localise(time) {
  time.textContent = when(Number(time.getAttribute('data-t')), Date.now() / 1000);
}

/** @param {ParentNode} root */
export function localiseAll(root) {
  root.querySelectorAll('time[data-t]').forEach(localise);
}
