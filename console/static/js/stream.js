// The connection to the server: an event stream while somebody looks, and what to tell
// when there is none.
//
// States: "live"; "lost" (no tick for a while) and "refused" (the server has no stream left
// for this page), both of which try again; "paused" (by the user); "signed-out" (the session
// is over; nothing more will come).

/** Ticks come every second; this long without one means lost. */
const LOST_AFTER_MS = 3500;
const RETRY_MS = 3000;
/** A stream that is open but says nothing is given up: the network may have lost it silently. */
const SILENT_MS = 10_000;
/** A hidden tab gives its stream back: browsers allow about six connections per server. */
const HIDDEN_MS = 30_000;

/**
 * @typedef {object} Handlers
 * @property {(tick: any) => void} tick
 * @property {(event: any) => void} event
 * @property {(state: string, silent_s: number) => void} state also once a second while lost
 * @property {() => number} newest id of the newest event known
 */

export class Stream {
  /** @type {EventSource | null} */
  #source = null;
  #state = 'starting';
  #heard = performance.now();
  #opened = performance.now();
  #timer = 0;

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    document.addEventListener('visibilitychange', () => this.#visibility());
    window.addEventListener('pagehide', () => this.#close());
    window.addEventListener('pageshow', (event) => event.persisted && this.#open());
    setInterval(() => this.#watch(), 1000);
    this.#open();
  }

  get paused() {
    return this.#state === 'paused';
  }

  /** @param {boolean} wanted */
  pause(wanted) {
    if (this.#state === 'signed-out') return;
    if (wanted) {
      this.#close();
      this.#enter('paused');
    } else {
      this.#enter('starting');
      this.#heard = performance.now();
      this.#open();
    }
  }

  get #over() {
    return this.#state === 'paused' || this.#state === 'signed-out';
  }

  /** @param {string} state */
  #enter(state) {
    this.#state = state;
    this.handlers.state(state, (performance.now() - this.#heard) / 1000);
  }

  #open() {
    clearTimeout(this.#timer);
    if (this.#source || this.#over) return;
    this.#opened = performance.now();
    this.#source = new EventSource(`/stream?after=${this.handlers.newest()}`);
    this.#source.addEventListener('tick', (message) => this.#tick(message));
    this.#source.addEventListener('event', (message) => this.handlers.event(JSON.parse(message.data)));
    this.#source.addEventListener('bye', () => this.#ask(() => this.#enter('signed-out'), 'lost'));
    this.#source.addEventListener('error', () => this.#failed());
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  /** @param {MessageEvent} message */
  #tick(message) {
    this.#heard = performance.now();
    if (this.#state !== 'live') this.#enter('live');
    this.handlers.tick(JSON.parse(message.data));
  }

  /** An EventSource tries again by itself, but not after an answer like 401 or 503. */
  #failed() {
    if (this.#source?.readyState !== EventSource.CLOSED) return;
    this.#ask(() => location.assign('/login?next=/'), 'refused');
  }

  /**
   * Finds out why there is no stream, and tries again unless it is for want of a session.
   * @param {() => void} signedOut
   * @param {string} otherwise the state if there is a session
   */
  async #ask(signedOut, otherwise) {
    this.#close();
    let status = 0;
    try {
      ({ status } = await fetch('/api/v1/session', { cache: 'no-store' }));
    } catch {
      // Nobody there.
    }
    if (this.#over) return;
    if (status === 401) {
      signedOut();
      return;
    }
    this.#enter(status === 200 ? otherwise : 'lost');
    this.#timer = setTimeout(() => this.#open(), RETRY_MS);
  }

  #watch() {
    if (this.#over || document.hidden) return;
    const now = performance.now();
    if (this.#state !== 'refused' && now - this.#heard > LOST_AFTER_MS) this.#enter('lost');
    if (this.#source && now - Math.max(this.#heard, this.#opened) > SILENT_MS) {
      this.#close();
      this.#open();
    }
  }

  #visibility() {
    clearTimeout(this.#timer);
    if (document.hidden) {
      this.#timer = setTimeout(() => this.#close(), HIDDEN_MS);
    } else if (!this.#source && !this.#over) {
      this.#heard = performance.now();
      this.#open();
    }
  }
}
