// The table of connections by state and idle time: made anew with every count.

import { brief, idle, shade, when } from './fmt.js';

/**
 * @param {string} name
 * @param {string} text
 * @param {Record<string, string>} attributes
 */
function cell(name, text, attributes = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** @param {HTMLElement[]} cells */
function row(...cells) {
  const element = document.createElement('tr');
  element.append(...cells);
  return element;
}

/** @param {import('./derive.js').Census} census */
function table(census) {
  const head = document.createElement('thead');
  const columns = Array.from({ length: census.edges_s.length + 1 }, (_, index) => idle(census.edges_s, index));
  head.append(row(...['State', ...columns].map((text) => cell('th', text, { scope: 'col' }))));

  const body = document.createElement('tbody');
  for (const [state, counts] of Object.entries(census.rows)) {
    const cells = counts.map((count) => cell('td', count ? brief(count) : '·', { 'data-shade': shade(count) }));
    body.append(row(cell('th', state, { scope: 'row' }), ...cells));
  }

  const element = document.createElement('table');
  element.className = 'heat';
  element.append(head, body);
  return element;
}

/**
 * A function that shows a tick's census if it is a new one.
 * @param {Element} host
 * @param {Element} at where the time of the count stands
 * @param {number} shown the time of the count that the page came with
 * @returns {(data: any) => void}
 */
export function census(host, at, shown) {
  return ({ t, census: counted }) => {
    if (!counted || counted.at === shown) return;
    shown = counted.at;
    host.replaceChildren(table(counted));
    at.textContent = when(counted.at, t);
  };
}
