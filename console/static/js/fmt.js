// How figures read: one function per unit.
//
// The server has the same functions under the same names (formats.py) and makes the
// same text, so that a page reads alike before and after its first update; a test
// runs both over the same numbers.  Change both or none.
//
// A figure that the engine cannot tell is null and reads as a dash.

/** @typedef {number | null | undefined} Figure */
/** @typedef {import('./derive.js').Buffer} Buffer */
/** @typedef {import('./derive.js').Pool} Pool */

const DASH = '–';
const MINUS = '−';
/** No-break space, between a number and its unit. */
const SPACE = '\u00a0';
/** Forbids a line break where it stands. */
const JOINER = '\u2060';

const SECONDS_PER_DAY = 86_400;
/** Nobody plans by a forecast further away than this. */
const FORECAST_LIMIT_S = SECONDS_PER_DAY;
/** Growth that is a rounding error of the buffer's size. */
const STEADY = 1e-5;
/** Shades of a heat table; 0 is an empty cell. */
const SHADES = 7;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Pressure states, the calmest first. */
export const PRESSURES = ['open', 'frozen', 'withholding', 'discarding'];

/**
 * With `places` decimals and thousands set apart by commas, rounded half away from zero.
 * @param {number} value
 * @param {number} places
 */
export function fixed(value, places) {
  const [whole, part] = Math.abs(value).toFixed(places).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  const text = part === undefined ? grouped : `${grouped}.${part}`;
  return value < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}

/** @param {unknown} value */
export const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A text or a number as it stands. @param {unknown} value */
export const word = (value) => (known(value) ? String(value) : DASH);

/** A count. @param {Figure} value */
export const integer = (value) => (known(value) ? fixed(value, 0) : DASH);

/**
 * @param {Figure} value
 * @param {number} decimalsBelow
 */
function prefixed(value, decimalsBelow) {
  if (!known(value)) return DASH;
  let size = Math.abs(value);
  if (size < 999.5) return fixed(value, size < 9.95 && size % 1 ? 1 : 0);
  const prefixes = ['k', 'M', 'G', 'T'];
  let power = 0;
  size /= 1000;
  while (size >= 999.5 && power < prefixes.length - 1) {
    size /= 1000;
    power += 1;
  }
  return (value < 0 ? MINUS : '') + fixed(size, size < decimalsBelow ? 1 : 0) + SPACE + prefixes[power];
}

/** A number in at most four characters and a decimal prefix. @param {Figure} value */
export const short = (value) => prefixed(value, 99.95);

/** As `short`, with decimals only below ten. @param {Figure} value */
export const brief = (value) => prefixed(value, 9.95);

/** Bytes with a binary prefix. @param {Figure} value */
export function octets(value) {
  if (!known(value)) return DASH;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = Math.abs(value);
  let power = 0;
  while (size >= 1023.5 && power < units.length - 1) {
    size /= 1024;
    power += 1;
  }
  const places = power === 0 || size >= 999.95 ? 0 : size < 9.995 ? 2 : 1;
  return (value < 0 ? MINUS : '') + fixed(size, places) + SPACE + units[power];
}

/** Bytes per second. @param {Figure} value */
export const byterate = (value) => (known(value) ? `${octets(value)}/s` : DASH);

/** A ratio in per cent, one decimal. @param {Figure} value */
export const percent = (value) => (known(value) ? `${fixed(value * 100, 1)}${SPACE}%` : DASH);

/** A ratio in whole per cent. @param {Figure} value */
export const percent0 = (value) => (known(value) ? `${fixed(value * 100, 0)}${SPACE}%` : DASH);

/** A ratio in per cent without the sign, for attributes. @param {Figure} value */
export const percentage = (value) => (known(value) ? fixed(value * 100, 1) : '0');

/** A threshold, decimals only where it has some. @param {Figure} value */
export const limit = (value) => (known(value) ? `${percentage(value).replace(/\.0$/, '')}${SPACE}%` : DASH);

/** A short time given in ms. @param {Figure} value */
export function milliseconds(value) {
  if (!known(value)) return DASH;
  if (value < 999.5) return `${fixed(value, value < 9.95 ? 1 : 0)}${SPACE}ms`;
  return `${fixed(value / 1000, value < 9995 ? 2 : 1)}${SPACE}s`;
}

/** @param {number} value */
const two = (value) => String(value).padStart(2, '0');

/** A time given in seconds. @param {Figure} value */
export function duration(value) {
  if (!known(value)) return DASH;
  const all = Math.max(0, Math.floor(value));
  const days = Math.floor(all / SECONDS_PER_DAY);
  const hours = Math.floor(all / 3600) % 24;
  const minutes = Math.floor(all / 60) % 60;
  const seconds = all % 60;
  if (days) return `${days}${SPACE}d${SPACE}${two(hours)}:${two(minutes)}`;
  if (hours) return `${hours}:${two(minutes)}:${two(seconds)}`;
  if (minutes) return `${minutes}${SPACE}m${SPACE}${two(seconds)}${SPACE}s`;
  return `${seconds}${SPACE}s`;
}

/** A share of a width, 0 to 1, as an SVG length. @param {Figure} value */
export const across = (value) => (known(value) ? `${fixed(Math.min(1, Math.max(0, value)) * 100, 2)}%` : '0%');

/** A share of a height, 0 at the bottom, as an SVG length from the top. @param {Figure} value */
export const down = (value) => (known(value) ? across(1 - value) : '0%');

/** How dark a heat table's cell is, 0 to 7, logarithmic: one step per factor of 7. @param {Figure} value */
export const shade = (value) => (value ? String(Math.min(SHADES, 1 + Math.floor(Math.log10(value) * 1.18))) : '0');

/**
 * The largest unit that a time is a multiple of: its seconds and its sign.
 * @param {number} seconds
 * @returns {[size: number, unit: string]}
 */
function unitOf(seconds) {
  if (seconds % 3600 === 0) return [3600, 'h'];
  return seconds % 60 === 0 ? [60, 'min'] : [1, 's'];
}

/**
 * The idle times that a column of the census stands for.
 * @param {number[]} edges
 * @param {number} column
 */
export function idle(edges, column) {
  const low = edges[Math.max(0, column - 1)];
  const [size, unit] = unitOf(low);
  if (column === 0) return `<${SPACE}${low / size}${SPACE}${unit}`;
  if (column === edges.length) return `>${SPACE}${low / size}${SPACE}${unit}`;
  return `${low / size}–${JOINER}${Math.floor(edges[column] / size)} ${unit}`;
}

// --- Sentences about a buffer ------------------------------------------------------

/** What a gauge says to who cannot see it. @param {Buffer} buffer */
export const meter = (buffer) => `${percent(buffer.used)} used, ${buffer.pressure.state}`;

/** How fast it fills or empties; empty when it stands still. @param {Buffer} buffer */
export function growth(buffer) {
  const delta = buffer.delta_bytes_per_s;
  if (!known(delta) || Math.abs(delta) < buffer.size_bytes * STEADY) return '';
  return `${delta > 0 ? 'growing' : 'emptying'} by ${byterate(Math.abs(delta))}`;
}

/** The next higher pressure state; null for the highest. @param {string} state */
export const nextState = (state) => PRESSURES[PRESSURES.indexOf(state) + 1] ?? null;

/** When the next state comes at this growth; empty when that is far away. @param {Buffer} buffer */
export function forecast(buffer) {
  const seconds = buffer.next_state_s;
  const higher = nextState(buffer.pressure.state);
  if (!known(seconds) || higher === null || seconds > FORECAST_LIMIT_S) return '';
  return `${higher} in ${duration(Math.max(seconds, 1))}`;
}

/** The forecast as a sentence; empty without one. @param {Buffer} buffer */
export function outlook(buffer) {
  const coming = forecast(buffer);
  return coming ? `At this rate: ${coming}.` : '';
}

/** Who holds most; empty when the buffer is. @param {Pool} pool */
export const largest = (pool) =>
  pool.largest === null ? '' : `largest group ${pool.largest}, ${percent0(pool.largest_share)}`;

/** A reason after a statement; empty without one. @param {string | null} reason */
export const because = (reason) => (reason ? `: ${reason}` : '');

/** What a noun ends in after a count. @param {Figure} count */
export const plural = (count) => (count === 1 ? '' : 's');

/** How often. @param {Figure} count */
export function times(count) {
  if (!known(count)) return DASH;
  return { 0: 'never', 1: 'once' }[count] ?? `${integer(count)} times`;
}

/** How often a buffer came back into the state that it began in. @param {Figure} count */
export function returns(count) {
  if (!known(count)) return DASH;
  return { 0: 'at the start', 1: 'once again' }[count] ?? `${integer(count)} times again`;
}

// --- Times, in the browser's zone (the server, which does not know it, writes UTC) ----

/** A Unix time. @param {Figure} value */
export function clock(value) {
  if (!known(value)) return DASH;
  const moment = new Date(value * 1000);
  return [moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(two).join(':');
}

/**
 * A Unix time, with the date unless that is today's.
 * @param {number} value
 * @param {number} now
 */
export function when(value, now) {
  const moment = new Date(value * 1000);
  if (moment.toDateString() === new Date(now * 1000).toDateString()) return clock(value);
  return `${moment.getDate()}${SPACE}${MONTHS[moment.getMonth()]} ${clock(value).slice(0, 5)}`;
}
