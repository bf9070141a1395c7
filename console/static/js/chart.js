// The chart of shares over the last ten minutes: follows the ticks, and reads out the
// values under a cursor that pointer and arrow keys move.

import { at } from './bind.js';
import { across, clock, down, percent0 } from './fmt.js';
import { History, path } from './lines.js';

/** Seconds that the chart may span, as much as there is; and seconds between its marks. */
const SPANS = [
  { span: 120, step: 30 },
  { span: 300, step: 60 },
  { span: 600, step: 120 },
];
/** Values kept, one a second. */
const KEPT = 600;
const VIEW_HEIGHT = 100;
/** A hole in the data wider than this breaks the line. */
const GAP_S = 5;
/** How far keys move the cursor, in values. */
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -KEPT, End: KEPT };

class Series {
  /** @param {Element} figure @param {SVGPathElement} line @param {Record<string, (number | null)[]>} columns */
  constructor(figure, line, columns) {
    this.path = line.getAttribute('data-line');
    const named = CSS.escape(this.path);
    this.line = line;
    this.area = figure.querySelector(`[data-area="${named}"]`);
    this.dot = figure.querySelector(`[data-dot="${named}"]`);
    this.value = figure.querySelector(`[data-value="${named}"]`);
    this.label = this.value.previousSibling.textContent.trim();
    this.history = new History(KEPT, columns[this.path]);
  }

  /** @param {number[]} xs */
  draw(xs) {
    const ys = this.history.values.map((share) => VIEW_HEIGHT * (1 - Math.min(1, share)));
    const shape = path(xs, ys, VIEW_HEIGHT, GAP_S);
    this.line.setAttribute('d', shape.line);
    this.area?.setAttribute('d', shape.area);
  }
}

export class Chart {
  /** The value under the cursor, counted from the newest; null without a cursor. @type {number | null} */
  #cursor = null;

  #scale = SPANS[0];

  /**
   * @param {Element} figure
   * @param {{ times: number[], columns: Record<string, (number | null)[]> }} seed
   */
  constructor(figure, seed) {
    this.plot = figure.querySelector('.plot');
    this.readout = figure.querySelector('.readout');
    this.lines = figure.querySelector('.lines');
    this.labels = [...figure.querySelectorAll('.x-label')];
    this.cursor = figure.querySelector('.cursor');
    this.times = new History(KEPT, seed.times);
    this.series = [...figure.querySelectorAll('[data-line]')].map(
      (line) => new Series(figure, line, seed.columns),
    );
    this.#listen();
    this.draw();
  }

  /** The name, and what a reader hears, of a chart that has a cursor. */
  #listen() {
    this.plot.setAttribute('role', 'slider');
    this.plot.setAttribute('tabindex', '0');
    this.plot.setAttribute('aria-valuemin', String(-KEPT));
    this.plot.setAttribute('aria-valuemax', '0');
    this.plot.addEventListener('pointermove', (event) => this.#point(event.clientX));
    this.plot.addEventListener('pointerdown', (event) => this.#point(event.clientX));
    this.plot.addEventListener('pointerleave', () => this.#moveTo(null));
    this.plot.addEventListener('blur', () => this.#moveTo(null));
    this.plot.addEventListener('keydown', (event) => this.#key(event));
  }

  /** @param {any} data */
  push(data) {
    if (data.t <= this.times.values.at(-1)) return;
    this.times.push(data.t);
    this.series.forEach((series) => series.history.push(at(data, series.path)));
    this.draw();
  }

  draw() {
    const end = this.times.values.at(-1) ?? Date.now() / 1000;
    const known = end - (this.times.values[0] ?? end);
    this.#scale = SPANS.find(({ span }) => known <= span) ?? SPANS.at(-1);
    this.lines.setAttribute('viewBox', `0 0 ${this.#scale.span} ${VIEW_HEIGHT}`);
    const xs = this.times.values.map((t) => t - end + this.#scale.span);
    this.series.forEach((series) => series.draw(xs));
    this.#drawLabels(end);
    this.#drawCursor();
  }

  /** @param {number} end */
  #drawLabels(end) {
    const { span, step } = this.#scale;
    const first = Math.ceil((end - span) / step) * step;
    this.labels.forEach((label, index) => {
      const t = first + index * step;
      label.toggleAttribute('hidden', t > end);
      label.setAttribute('x', across((t - end + span) / span));
      label.textContent = step < 60 ? clock(t) : clock(t).slice(0, 5);
    });
  }

  /** @param {number} clientX */
  #point(clientX) {
    const box = this.plot.querySelector('.axes').getBoundingClientRect();
    const end = this.times.values.at(-1);
    const wanted = end - (1 - (clientX - box.left) / box.width) * this.#scale.span;
    const distances = this.times.values.map((t) => Math.abs(t - wanted));
    this.#moveTo(distances.length - 1 - distances.indexOf(Math.min(...distances)));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === 'Escape') this.#moveTo(null);
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.#moveTo((this.#cursor ?? 0) - step);
  }

  /** @param {number | null} back how many values before the newest */
  #moveTo(back) {
    this.#cursor = back === null ? null : Math.max(0, Math.min(this.times.values.length - 1, back));
    this.#drawCursor();
  }

  #drawCursor() {
    const shown = this.#cursor !== null && this.times.values.length > 0;
    const index = this.times.values.length - 1 - (this.#cursor ?? 0);
    this.cursor.toggleAttribute('hidden', !shown);
    this.series.forEach(({ value, history }) => {
      value.textContent = percent0(history.values[index]);
    });
    const t = this.times.values[index];
    this.readout.textContent = shown ? clock(t) : `last ${this.#scale.span / 60} minutes`;
    this.#say(t);
    if (shown) this.#place(index, t);
  }

  /** @param {number} t */
  #say(t) {
    const values = this.series.map(({ label, value }) => `${label} ${value.textContent}`);
    this.plot.setAttribute('aria-valuenow', String(-(this.#cursor ?? 0)));
    this.plot.setAttribute('aria-valuetext', `${clock(t)}: ${values.join(', ')}`);
  }

  /** @param {number} index @param {number} t */
  #place(index, t) {
    const x = across(1 - (this.times.values.at(-1) - t) / this.#scale.span);
    const line = this.cursor.querySelector('line');
    line.setAttribute('x1', x);
    line.setAttribute('x2', x);
    for (const { dot, history } of this.series) {
      const share = history.values[index];
      dot.toggleAttribute('hidden', Number.isNaN(share));
      dot.setAttribute('cx', x);
      dot.setAttribute('cy', down(Math.min(1, share)));
    }
  }
}
