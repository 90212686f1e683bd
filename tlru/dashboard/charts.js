// @ts-check
/** Small charts of the last while: a curve, and the present figure in words. */

import { draw, make, say } from "./dom.js";

const KEPT = 90; // samples; one every two seconds
const LEAST = 15;
const WIDTH = 300;
const HEIGHT = 54;

export class Chart {
  /** @type {(number | null)[]} */
  #samples = [];
  #figure = make("b");
  #curve = draw("path", { class: "curve" });
  #under = draw("path", { class: "under" });
  #most;
  #shown;

  /**
   * @param {Element} place
   * @param {string} title
   * @param {(value: number | null) => string} shown
   * @param {number} [most] the top of the scale, where it is fixed
   */
  constructor(place, title, shown, most) {
    this.#shown = shown;
    this.#most = most;
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.#under, this.#curve);
    place.append(make("div", { class: "chart" }, make("p", {}, make("span", {}, title), this.#figure), svg));
  }

  /** @param {number | null | undefined} value */
  add(value) {
    const sample = value ?? null;
    this.#samples.push(sample);
    if (this.#samples.length > KEPT) this.#samples.shift();
    say(this.#figure, this.#shown(sample));
    this.#draw();
  }

  #draw() {
    const most = this.#most ?? Math.max(1e-9, ...this.#samples.map((each) => each ?? 0)) * 1.1;
    const wide = Math.max(LEAST, this.#samples.length); // a young page need not look empty
    const first = wide - this.#samples.length;
    /** @type {string[][]} */
    const runs = [];
    this.#samples.forEach((each, place) => {
      if (each === null) return; // not known is not nothing: a gap
      if (!runs.length || this.#samples[place - 1] === null) runs.push([]);
      const x = ((first + place) / (wide - 1)) * WIDTH;
      runs[runs.length - 1].push(`${x.toFixed(1)},${(HEIGHT - 2 - (each / most) * (HEIGHT - 6)).toFixed(1)}`);
    });
    const foot = (/** @type {string} */ point) => `${point.split(",")[0]},${HEIGHT}`;
    this.#curve.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
    this.#under.setAttribute("d", runs.map((run) => `M${foot(run[0])}L${run.join("L")}L${foot(run[run.length - 1])}Z`).join(""));
  }
}
