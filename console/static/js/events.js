// The list of events: new ones come on top, old ones leave below.

import { localise } from './times.js';

const SHOWN = 8;

/**
 * @typedef {{ id: number, t: number, severity: string, text: string, detail: string }} Event
 */

export class Events {
  /** @param {Element} list @param {HTMLTemplateElement} pattern @param {number} newest id of the newest shown */
  constructor(list, pattern, newest) {
    this.list = list;
    this.pattern = pattern;
    this.newest = newest;
  }

  /** Shows an event unless it stands there already. @param {Event} event */
  add(event) {
    if (event.id <= this.newest) return;
    this.newest = event.id;
    this.list.prepend(this.#row(event));
    while (this.list.children.length > SHOWN) this.list.lastElementChild.remove();
    document.getElementById('no-events')?.remove();
  }

  /** @param {Event} event */
  #row(event) {
    const row = this.pattern.content.firstElementChild.cloneNode(true);
    row.setAttribute('data-severity', event.severity);
    row.setAttribute('data-id', event.id);
    row.querySelector('use').setAttribute('href', `#icon-${event.severity}`);
    row.querySelector('.text').textContent = event.text;
    row.querySelector('.note').textContent = event.detail;
    const time = row.querySelector('time');
    time.setAttribute('data-t', event.t);
    time.setAttribute('datetime', new Date(event.t * 1000).toISOString());
    localise(time);
    return row;
  }
}
