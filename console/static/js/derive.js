// What follows from a tick: the worst buffer, and the verdict on the whole.
//
// The server draws the same conclusions from the same tick (derive.py); a test holds
// the two against each other.  Change both or none.

import { nextState, PRESSURES } from './fmt.js';

/**
 * @typedef {{ frozen: number, withholding: number, discarding: number, hysteresis: number }} Thresholds
 * @typedef {{ state: string, since: number, entries: Record<string, number>,
 *   durations_s: Record<string, number>, thresholds: Thresholds }} Pressure
 * @typedef {{ size_bytes: number, used_bytes: number, used: number, peak_bytes: number,
 *   delta_bytes_per_s: number, next_state_s: number | null, pressure: Pressure }} Buffer
 * @typedef {{ name: string, receive: Buffer, largest: string | null, largest_share: number | null }} Pool
 * @typedef {{ at: number, edges_s: number[], rows: Record<string, number[]>, total: number }} Census
 * @typedef {{ t: number, layout: string, engine: { state: string, connections: number, max_connections: number },
 *   pools: Record<string, Pool>, transmit: { buffer: Buffer }, census: Census | null,
 *   counters: Record<string, number> }} Tick
 *   One second's figures, as figures.py describes them; only what these scripts name themselves.
 * @typedef {{ kind: string, name: string, state: string, higher: string | null, for_s: number,
 *   buffer: Buffer }} Judged
 */

/**
 * @param {string} kind
 * @param {string} name
 * @param {Buffer} buffer
 * @param {number} now
 * @returns {Judged}
 */
function judged(kind, name, buffer, now) {
  const { state, since } = buffer.pressure;
  return { kind, name, state, higher: nextState(state), for_s: now - since, buffer };
}

/** Use is compared in twentieths: two buffers about as full would take turns every second. */
const STEPS = 20;

/**
 * Whether `a` is in a higher state than `b`, or as high and clearly fuller.
 * @param {Judged} a
 * @param {Judged} b
 */
function worse(a, b) {
  const steps = PRESSURES.indexOf(a.state) - PRESSURES.indexOf(b.state);
  return steps > 0 || (steps === 0 && Math.floor(a.buffer.used * STEPS) > Math.floor(b.buffer.used * STEPS));
}

/**
 * @param {Thresholds} a
 * @param {Thresholds} b
 */
const same = (a, b) =>
  a.frozen === b.frozen &&
  a.withholding === b.withholding &&
  a.discarding === b.discarding &&
  a.hysteresis === b.hysteresis;

/**
 * Conclusions from a tick; derive.py says what each is.
 * @param {Tick} tick
 */
export function derive(tick) {
  const buffers = Object.values(tick.pools).map((pool) => judged('receive', pool.name, pool.receive, tick.t));
  buffers.push(judged('transmit', 'transmit buffer', tick.transmit.buffer, tick.t));
  const worst = buffers.reduce((found, each) => (worse(each, found) ? each : found));
  const limits = worst.buffer.pressure.thresholds;
  const pressed = buffers.filter((each) => each.state !== 'open').length;
  const counters = Object.entries(tick.counters);
  return {
    worst,
    verdict: tick.engine.state === 'stopped' ? 'stopped' : pressed ? worst.kind : null,
    thresholds: buffers.every((each) => same(each.buffer.pressure.thresholds, limits)) ? limits : null,
    pressed: pressed || null,
    counts: Object.fromEntries(counters.map(([name, count]) => [name, count || null])),
    counted: counters.reduce((sum, [, count]) => sum + count, 0) || null,
    pools: Object.keys(tick.pools).length,
    connections: tick.engine.connections / tick.engine.max_connections,
  };
}
