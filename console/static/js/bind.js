// Elements that show a figure keep showing it: data-bind="target:path:format ...",
// as page.py describes.

import * as fmt from './fmt.js';

/** What stands at a dotted path, or null. @param {any} data @param {string} path */
export function at(data, path) {
  let value = data;
  for (const step of path.split('.')) {
    value = value?.[step];
  }
  return value ?? null;
}

/** Whether a condition, `path` or `path=text`, holds. @param {any} data @param {string} condition */
function holds(data, condition) {
  const [path, wanted] = condition.split('=');
  const value = at(data, path);
  return wanted === undefined ? value !== null : value === wanted;
}

/** Targets that take a condition: how the element shows whether it holds. */
const CONDITIONAL = {
  if: (/** @type {Element} */ element, /** @type {boolean} */ yes) => element.toggleAttribute('hidden', !yes),
  unless: (/** @type {Element} */ element, /** @type {boolean} */ yes) => element.toggleAttribute('hidden', yes),
  current: (/** @type {Element} */ element, /** @type {boolean} */ yes) => {
    if (yes) element.setAttribute('aria-current', 'step');
    else element.removeAttribute('aria-current');
  },
};

class Binding {
  /** The value shown; undefined before the first. @type {string | boolean | undefined} */
  #shown;

  /** @param {Element} element @param {string} spec */
  constructor(element, spec) {
    const [target, path, format] = spec.split(':');
    this.element = element;
    this.target = target;
    this.path = path;
    this.toggle = CONDITIONAL[target];
    this.format = fmt[format];
  }

  /** Touches the element only if what it shows changes. @param {any} data */
  update(data) {
    const value = this.toggle ? holds(data, this.path) : this.format(at(data, this.path));
    if (value === this.#shown) return;
    this.#shown = value;
    if (this.toggle) this.toggle(this.element, value);
    else if (this.target === 'text') this.element.textContent = value;
    else this.element.setAttribute(this.target, value);
  }
}

/**
 * A function that shows new data in all bound elements.
 * @param {ParentNode} root
 * @returns {(data: any) => void}
 */
export function bind(root) {
  const bindings = [...root.querySelectorAll('[data-bind]')].flatMap((element) =>
    element.getAttribute('data-bind').split(' ').map((spec) => new Binding(element, spec)),
  );
  return (data) => bindings.forEach((binding) => binding.update(data));
}
