// The live page: starts from the figures that the server put into it, then follows the
// event stream.  Text goes in as text and attributes as attributes, never as markup.

import { bind } from './bind.js';
import { census } from './census.js';
import { Chart } from './chart.js';
import { derive } from './derive.js';
import { Events } from './events.js';
import { shortcuts } from './keys.js';
import { Indicator } from './live.js';
import { closeable, followSections } from './nav.js';
import { Ribbon } from './ribbon.js';
import { sparks } from './spark.js';
import { Stream } from './stream.js';
import { themeSwitch } from './theme.js';
import { localiseAll } from './times.js';

/** After a silence like this the page is loaded anew: the server has the history missed. */
const MISSED_S = 60;
/** Not more often than this, however often pools and groups come and go. */
const RELOAD_MS = 5000;

/** @param {string} id */
const byId = (id) => document.getElementById(id);

const seed = JSON.parse(byId('seed').textContent);
let last = seed.tick;
let worst = derive(last).worst;
let leaving = false;

/** @param {string} text */
function announce(text) {
  byId('announce').textContent = text;
}

const events = new Events(document.querySelector('.events'), byId('event-row'), seed.event);
const indicator = new Indicator(announce);
const chart = new Chart(document.querySelector('[data-chart]'), seed.occupancy);
const ribbon = new Ribbon(document.querySelector('.ribbon svg'), byId('ribbon-since'), seed.ribbon);

/** @type {((data: any) => void)[]} */
const views = [
  bind(document),
  sparks(document, seed.sparks),
  (data) => chart.push(data),
  (data) => ribbon.push(data),
  census(byId('census'), byId('census-at'), last.census?.at),
];

/** The server has another page for this: its rows are other ones, or we missed too much of it. */
function outdated(tick) {
  return tick.layout !== last.layout || tick.t - last.t > MISSED_S;
}

function reload() {
  leaving = true;
  setTimeout(() => location.reload(), Math.max(0, RELOAD_MS - performance.now()));
}

/** @param {any} tick */
function show(tick) {
  if (leaving || tick.t <= last.t) return;
  if (outdated(tick)) {
    reload();
    return;
  }
  last = tick;
  const data = { ...tick, now: derive(tick) };
  views.forEach((view) => view(data));
  const { name, state } = data.now.worst;
  if (state !== worst.state || (state !== 'open' && name !== worst.name)) {
    announce(state === 'open' ? 'No buffer is under pressure' : `Pressure: ${name} is ${state}`);
  }
  worst = data.now.worst;
}

localiseAll(document);
themeSwitch(byId('theme'));
shortcuts(byId('keys'));
followSections(document.querySelector('nav'));
closeable(document.querySelector('.menu'));

const stream = new Stream({
  tick: show,
  event: (event) => events.add(event),
  state: (state, silentFor) => indicator.show(state, silentFor, last.t),
  newest: () => events.newest,
});

const pause = byId('pause');
pause.hidden = false;
pause.addEventListener('click', () => {
  stream.pause(!stream.paused);
  pause.setAttribute('aria-pressed', String(stream.paused));
});

const help = byId('help');
help.hidden = false;
help.addEventListener('click', () => byId('keys').showModal());
