// The ribbon: the highest pressure state of all buffers over time.

import { across } from './fmt.js';

const NS = 'http://www.w3.org/2000/svg';
/** Seconds that the ribbon may span, as much as there is. */
const SPANS = [120, 600, 1800];

export class Ribbon {
  /**
   * @param {SVGElement} svg
   * @param {Element} since where the time of its left edge stands
   * @param {[start: number, end: number, state: string][]} spans
   */
  constructor(svg, since, spans) {
    this.svg = svg;
    this.since = since;
    this.spans = spans;
    /** @type {SVGElement[]} */
    this.stretches = [...svg.querySelectorAll('.stretch')];
  }

  /** @param {{ t: number, now: { worst: { state: string } } }} data */
  push(data) {
    const { state } = data.now.worst;
    const last = this.spans.at(-1);
    if (last?.[2] === state) last[1] = data.t;
    else this.spans.push([last?.[1] ?? data.t, data.t, state]);
    this.spans = this.spans.filter(([, end]) => end > data.t - SPANS.at(-1));
    this.#draw(data.t);
  }

  /** @param {number} end */
  #draw(end) {
    const known = end - this.spans[0][0];
    const whole = SPANS.find((span) => known <= span) ?? SPANS.at(-1);
    this.since.textContent = `${whole / 60} min ago`;
    while (this.stretches.length > this.spans.length) this.stretches.pop().remove();
    while (this.stretches.length < this.spans.length) this.#add();
    this.spans.forEach(([from, to, state], index) => {
      const x = Math.max(0, (from - end + whole) / whole);
      const stretch = this.stretches[index];
      stretch.setAttribute('class', `stretch ${state}`);
      stretch.setAttribute('x', across(x));
      stretch.setAttribute('width', across((to - end + whole) / whole - x));
    });
  }

  #add() {
    const rect = document.createElementNS(NS, 'rect');
    rect.setAttribute('height', '22');
    this.svg.append(rect);
    this.stretches.push(rect);
  }
}
