// @ts-check
/** Events as they come: the newest first, so many of them, drawn once a frame. */

import { byId, make, say } from "./dom.js";
import { begin } from "./rights.js";
import { life, number, short } from "./words.js";

const SHOWN_MAX = 300;
const DRAWN_MAX = 60; // of one frame; the rest is only counted
const WAIT_MS = 300;

export class Stream {
  /** @type {any[]} */
  #waiting = [];
  #left = 0;
  #seen = 0;
  #paused = false;
  #drawing = false;
  /** @type {(() => void) | null} */
  #stop = null;
  #over = true; // nothing is told, or not any more
  #cache;

  /** @param {any} cache */
  constructor(cache) {
    this.#cache = cache;
    /** @type {any} */
    let waiting;
    byId("pattern").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.watch(byId("pattern").value || "*"), WAIT_MS);
    });
    byId("stream-form").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    byId("pause").addEventListener("click", () => this.pause());
    byId("wipe").addEventListener("click", () => byId("stream-rows").replaceChildren());
  }

  /**
   * A node has let us in: begin, or begin again where what may be heard has changed.
   * @param {import("./rights.js").Rights | null} may @param {boolean} changed
   */
  goOn(may, changed) {
    if (!changed && !this.#over) return;
    const field = byId("pattern");
    if (field.value === "" || field.value === "*") field.value = `${begin(may, "subscribe")}*`;
    this.watch(field.value);
  }

  /** @param {string} pattern */
  watch(pattern) {
    this.#stop?.();
    this.#over = false;
    this.#waiting = [];
    this.#seen = this.#left = 0;
    say(byId("stream-note"), `${pattern}: nothing has happened yet`);
    try {
      this.#stop = this.#cache.subscribe(pattern, (/** @type {any} */ change) => this.#on(change));
    } catch (error) {
      this.#stop = null;
      say(byId("stream-note"), /** @type {Error} */ (error).message);
    }
  }

  pause() {
    this.#paused = !this.#paused;
    byId("pause").setAttribute("aria-pressed", String(this.#paused));
    say(byId("pause"), this.#paused ? "Go on" : "Pause");
    if (!this.#paused) this.#drawLater();
  }

  /** @param {any} change */
  #on(change) {
    if (change.type === "snapshot") return;
    if (change.type === "end") this.#over = true;
    this.#seen += 1;
    this.#waiting.push({ ...change, heard: Date.now() });
    if (this.#waiting.length > (this.#paused ? SHOWN_MAX : DRAWN_MAX)) {
      this.#waiting.shift();
      this.#left += 1;
    }
    this.#drawLater();
  }

  #drawLater() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const held = this.#paused ? `, paused with ${number(this.#waiting.length)} waiting` : "";
    const left = this.#left ? `, ${number(this.#left)} only counted` : "";
    say(byId("stream-note"), `${number(this.#seen)} event${this.#seen === 1 ? "" : "s"}${left}${held}`);
    if (this.#paused) return;
    const rows = byId("stream-rows");
    for (const change of this.#waiting.splice(0)) rows.prepend(rowOf(change));
    while (rows.children.length > SHOWN_MAX) rows.lastElementChild.remove();
  }
}

/** @param {any} change */
function rowOf(change) {
  const { type, key = "", value, ttl } = change;
  const said = type === "set" || type === "message" ? short(value) : type === "reset" || type === "end" ? (change.reason ?? change.error?.message ?? "") : "";
  const lived = ttl ? ` (${life(ttl)})` : "";
  const shown = type === "clear" ? `${key}*` : key;
  return make(
    "tr",
    {},
    make("td", {}, new Date(change.heard).toLocaleTimeString("en-GB", { hour12: false })),
    make("td", {}, make("span", { class: `kind ${type}` }, type)),
    make("td", { class: "key", title: shown }, shown),
    make("td", { class: "value" }, `${said}${lived}`),
  );
}
