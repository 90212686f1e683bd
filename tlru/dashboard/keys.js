// @ts-check
/**
 * The keys with a prefix, in order, a page at a time, kept current by a subscription. A key that comes
 * new among those that are shown is shown; what follows after the last one waits for "More".
 */

import { byId, make, say } from "./dom.js";
import { begin } from "./rights.js";
import { life, number, short } from "./words.js";

const PAGE = 50;
const SHOWN_MAX = 500;
const GONE_MAX = 10_000; // of the time that one page takes
const SOON_S = 10;
const WAIT_MS = 150;

export class Keys {
  /** @type {Map<string, any>} */
  #items = new Map();
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #prefix = "";
  #more = false;
  #asked = 0;
  #drawing = false;
  /** @type {any[] | null} what went while a page was being read */
  #gone = null;
  /** @type {(() => void) | null} */
  #stop = null;
  #over = true; // nothing tells of changes, or not any more
  #problem = ""; // why not
  /** @type {Set<string>} keys that have changed since they were drawn */
  #fresh = new Set();
  #cache;
  #open;

  /** @param {any} cache @param {(key: string | null) => void} open */
  constructor(cache, open) {
    this.#cache = cache;
    this.#open = open;
    /** @type {any} */
    let waiting;
    byId("prefix").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.search(byId("prefix").value), WAIT_MS);
    });
    byId("keys-search").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    byId("keys-more").addEventListener("click", () => this.#page());
    byId("new-key").addEventListener("click", () => open(null));
    byId("keys-rows").addEventListener("click", (/** @type {any} */ event) => this.#openRow(event.target));
    byId("keys-rows").addEventListener("keydown", (/** @type {any} */ event) => this.#onKey(event));
    setInterval(() => this.#countDown(), 250);
  }

  /**
   * A node has let us in: begin, or begin again where what could be seen has changed.
   * @param {import("./rights.js").Rights | null} may @param {boolean} changed
   */
  goOn(may, changed) {
    if (!changed && !this.#over) return;
    const field = byId("prefix");
    field.value ||= begin(may, "read");
    this.search(field.value);
  }

  /** @param {string} prefix */
  search(prefix) {
    this.#stop?.();
    this.#over = false;
    this.#problem = "";
    this.#asked += 1;
    this.#prefix = prefix;
    this.#gone = null;
    this.#items.clear();
    this.#rows.clear();
    byId("keys-rows").replaceChildren();
    this.#stop = this.#cache.subscribe({ prefix }, (/** @type {any} */ change) => this.#on(change));
    return this.#page();
  }

  async #page() {
    const asked = this.#asked;
    const after = [...this.#items.keys()].sort(byBytes).at(-1);
    // The page may come by another connection than the events, so also after what it does not know yet.
    const gone = (this.#gone = this.#gone ?? []);
    say(byId("keys-note"), this.#items.size ? "" : "reading…");
    byId("keys-note").className = "note";
    try {
      const { items, more } = await this.#cache.scan(this.#prefix, { after, limit: PAGE, values: true });
      if (asked !== this.#asked) return;
      for (const [key, item] of items) {
        if (gone.some((each) => each.version > item.version && (each.type === "clear" ? key.startsWith(each.key) : key === each.key))) continue;
        if (!(this.#items.get(key)?.version > item.version)) this.#items.set(key, timed(item, this.#cache.time));
      }
      this.#more = more;
      this.#show();
    } catch (error) {
      if (asked !== this.#asked) return;
      byId("keys-note").className = "note bad";
      say(byId("keys-note"), `The keys could not be read: ${/** @type {Error} */ (error).message}`);
    } finally {
      if (this.#gone === gone) this.#gone = null;
    }
  }

  /** @param {any} change */
  #on(change) {
    const { type, key } = change;
    const known = this.#items.get(key);
    const goes = type === "delete" || type === "expire" || type === "evict";
    if ((goes || type === "clear") && this.#gone && this.#gone.length < GONE_MAX) this.#gone.push(change);
    if (type === "set") {
      if (known || this.#belongs(key)) this.#items.set(key, { ...change });
    } else if (type === "touch") {
      if (known) known.expires = change.expires;
    } else if (goes) {
      this.#items.delete(key);
    } else if (type === "clear") {
      for (const each of [...this.#items.keys()]) if (each.startsWith(key)) this.#items.delete(each);
    } else if (type === "reset") {
      this.search(this.#prefix);
      return;
    } else if (type === "end") {
      this.#over = true;
      this.#problem = `These keys are not kept current: ${change.error?.message ?? change.reason}.`;
      this.#showLater();
      return;
    }
    const row = this.#rows.get(key);
    if (row) row.classList.remove("fresh");
    if (this.#items.has(key)) this.#fresh.add(key);
    if (known || this.#items.has(key) || type === "clear") this.#showLater();
  }

  /** Whether a new key stands among those that are shown. @param {string} key */
  #belongs(key) {
    if (this.#items.size >= SHOWN_MAX) return false;
    if (!this.#more) return true;
    const last = [...this.#items.keys()].sort(byBytes).at(-1);
    return last !== undefined && byBytes(key, last) <= 0;
  }

  /** Once a frame, however much happens: to put keys in order for each event would stop the page. */
  #showLater() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#show();
    });
  }

  #show() {
    const body = byId("keys-rows");
    for (const [key, row] of this.#rows) {
      if (!this.#items.has(key)) {
        row.remove();
        this.#rows.delete(key);
      }
    }
    let next = body.firstElementChild;
    for (const key of [...this.#items.keys()].sort(byBytes)) {
      let row = this.#rows.get(key);
      if (!row) {
        row = make("tr", { tabindex: 0, "data-key": key }, make("td", { class: "key" }), make("td", { class: "value" }), make("td", { class: "num life" }), make("td", { class: "num" }));
        this.#rows.set(key, row);
      }
      if (row === next) next = next.nextElementSibling;
      else body.insertBefore(row, next);
      this.#fill(row, key);
    }
    for (const key of this.#fresh) this.#rows.get(key)?.classList.add("fresh");
    this.#fresh.clear();
    byId("keys-more").hidden = !this.#more || this.#items.size >= SHOWN_MAX;
    byId("keys-note").className = this.#problem ? "note bad" : "note";
    say(byId("keys-note"), `${this.#problem} ${this.#remark()}`.trim());
    this.#countDown();
  }

  #remark() {
    if (this.#items.size) return this.#more && this.#items.size >= SHOWN_MAX ? "There are more; search for a longer prefix." : "";
    if (this.#prefix) return `No key begins with “${this.#prefix}”.`;
    return byId("new-key").hidden ? "The cache is empty." : "The cache is empty. “New” keeps a first value, or: tlru set greeting hello";
  }

  /** @param {Element} row @param {string} key */
  #fill(row, key) {
    const item = this.#items.get(key);
    const [name, value, , version] = row.children;
    say(name, key);
    name.setAttribute("title", key);
    say(value, item.error ? "cannot be read here" : short(item.value));
    say(version, number(item.version));
  }

  #countDown() {
    const now = this.#cache.time || Date.now();
    for (const [key, row] of this.#rows) {
      const item = this.#items.get(key);
      const left = item?.expires ? (item.expires - now) / 1000 : null;
      const cell = row.children[2];
      say(cell, left === null ? "" : life(left));
      cell.classList.toggle("soon", left !== null && left < SOON_S);
    }
  }

  /** @param {Element} target */
  #openRow(target) {
    const key = target.closest("tr")?.getAttribute("data-key");
    if (key !== null && key !== undefined) this.#open(key);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const row = /** @type {Element} */ (event.target).closest("tr");
    if (event.key === "Enter" || event.key === " ") this.#openRow(/** @type {Element} */ (event.target));
    else if (event.key === "ArrowDown") /** @type {any} */ (row?.nextElementSibling)?.focus();
    else if (event.key === "ArrowUp") /** @type {any} */ (row?.previousElementSibling)?.focus();
    else return;
    event.preventDefault();
  }
}

/** An item with the moment at which it is over. @param {any} item @param {number | null} now */
function timed(item, now) {
  const from = now || Date.now();
  return { ...item, expires: item.expires ?? (item.ttl === null || item.ttl === undefined ? null : from + item.ttl * 1000) };
}

const encoder = new TextEncoder();

/** Keys are in the order of their bytes, which that of JavaScript's strings is not. @param {string} a @param {string} b */
function byBytes(a, b) {
  const [one, other] = [encoder.encode(a), encoder.encode(b)];
  const size = Math.min(one.length, other.length);
  for (let place = 0; place < size; place += 1) if (one[place] !== other[place]) return one[place] - other[place];
  return one.length - other.length;
}
