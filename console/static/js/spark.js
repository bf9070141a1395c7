// Sparks: the shape of a figure over the last minute, without an axis.

import { at } from './bind.js';
import { History, path } from './lines.js';

const POINTS = 60;
const HEIGHT = 24;
/** Room above and below the line for its stroke. */
const MARGIN = 2;
/** A value that does not move gets a band of this share of itself, so that noise stays small. */
const BAND = 0.005;

class Spark {
  /** @param {SVGElement} svg @param {Record<string, (number | null)[]>} columns */
  constructor(svg, columns) {
    this.path = svg.getAttribute('data-spark');
    this.history = new History(POINTS, columns[this.path]);
    this.line = svg.querySelector('.spark-line');
    this.area = svg.querySelector('.spark-area');
  }

  /** @param {number | null} value */
  push(value) {
    this.history.push(value);
    const shape = outline(this.history.values);
    this.line.setAttribute('d', shape.line);
    this.area.setAttribute('d', shape.area);
  }
}

/** The line through `values`, the newest at the right edge. @param {number[]} values */
function outline(values) {
  const numbers = values.filter((value) => !Number.isNaN(value));
  if (numbers.length < 2) return { line: '', area: '' };
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  const band = Math.max(high - low, Math.abs(high) * BAND) || 1;
  const middle = (low + high - band) / 2;
  const base = low >= 0 ? Math.max(0, middle) : middle;
  const room = HEIGHT - 2 * MARGIN;
  const first = POINTS - values.length;
  return path(
    values.map((_, index) => first + index),
    values.map((value) => HEIGHT - MARGIN - (room * (value - base)) / band),
    HEIGHT,
    1,
  );
}

/**
 * A function that adds a tick's figures to all sparks.
 * @param {ParentNode} root
 * @param {{ columns: Record<string, (number | null)[]> }} seed
 * @returns {(data: any) => void}
 */
export function sparks(root, seed) {
  const all = [...root.querySelectorAll('[data-spark]')].map((svg) => new Spark(svg, seed.columns));
  return (data) => all.forEach((spark) => spark.push(at(data, spark.path)));
}
