// The live indicator and the banners about the connection: how old the figures are is
// always on screen.

import { clock, duration } from './fmt.js';

const SPOKEN = {
  live: 'Live again',
  lost: 'No data from the console',
  refused: 'Too many open pages',
  paused: 'Live updates paused',
  'signed-out': 'Signed out',
};

/** States whose figures are old; each has a banner of its name. */
const STALE = ['lost', 'refused', 'signed-out'];

/** @param {string} id */
const byId = (id) => document.getElementById(id);

export class Indicator {
  #state = 'starting';

  /** @param {(text: string) => void} announce */
  constructor(announce) {
    this.announce = announce;
    this.element = byId('live');
    this.text = byId('live-text');
  }

  /**
   * @param {string} state as in stream.js
   * @param {number} silentFor seconds since the last tick
   * @param {number} lastTick Unix time of the figures on the page
   */
  show(state, silentFor, lastTick) {
    this.text.textContent = {
      starting: 'Connecting…',
      live: 'Live',
      lost: `No data for ${duration(silentFor)}`,
      refused: 'Too many pages',
      paused: `Paused at ${clock(lastTick)}`,
      'signed-out': 'Signed out',
    }[state];
    if (state === this.#state) return;
    if (SPOKEN[state] && !(this.#state === 'starting' && state === 'live')) this.announce(SPOKEN[state]);
    this.#state = state;
    this.element.setAttribute('data-state', state);
    document.documentElement.classList.toggle('stale', STALE.includes(state));
    for (const id of STALE) {
      byId(id).hidden = id !== state;
      byId(`${id}-since`).textContent = clock(lastTick);
    }
  }
}
