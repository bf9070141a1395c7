// Path data of charts; charts.py draws the same on the server.

/** Values of the last moments, the oldest first; forgets what is older. */
export class History {
  /**
   * @param {number} capacity
   * @param {(number | null)[]} values
   */
  constructor(capacity, values = []) {
    this.capacity = capacity;
    this.values = values.slice(-capacity).map((value) => value ?? NaN);
  }

  /** @param {number | null} value */
  push(value) {
    this.values.push(value ?? NaN);
    if (this.values.length > this.capacity) this.values.shift();
  }
}

/**
 * Points joined where they are at most `gap` apart and known.
 * @param {number[]} xs
 * @param {number[]} ys
 * @param {number} bottom where the area below the line ends
 * @param {number} gap
 * @returns {{ line: string, area: string }}
 */
export function path(xs, ys, bottom, gap) {
  let line = '';
  let area = '';
  let run = '';
  let points = 0;
  let first = 0;
  let last = -Infinity;

  const close = () => {
    if (points > 1) {
      line += `M${run}`;
      area += `M${first.toFixed(1)},${bottom}L${run}L${last.toFixed(1)},${bottom}Z`;
    }
    run = '';
    points = 0;
  };

  for (let index = 0; index < xs.length; index += 1) {
    const x = xs[index];
    const y = ys[index];
    if (Number.isNaN(y) || x - last > gap) close();
    if (!Number.isNaN(y)) {
      if (!points) first = x;
      run += `${points ? ' ' : ''}${x.toFixed(1)},${y.toFixed(2)}`;
      points += 1;
      last = x;
    }
  }
  close();
  return { line, area };
}
