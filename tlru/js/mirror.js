// @ts-check
/**
 * A live copy of the keys of a pattern: read like a Map, at memory's speed, and told when it
 * changes.
 *
 * It is coherent while it is as current as the node that feeds it. What it holds beyond that, while
 * the link is down, is as old as the outage; what a reader is given then was decided when it was
 * made. An item whose life is over is never given, whether or not its end has been told.
 */

import { BadRequest, Timeout, Unavailable } from "./errors.js";
import { callSafely, TlruEvent } from "./events.js";
import { selector } from "./patterns.js";
import { blank, change } from "./results.js";

/** @typedef {import("./exchange.js").Exchange} Exchange */
/** @typedef {import("./feeds.js").Feed} Feed */
/** @typedef {import("./lines.js").Lines} Lines */
/** @typedef {import("./requests.js").Reply} Reply */
/** @typedef {import("./results.js").Change} Change */

/**
 * @typedef {object} Mirroring
 * @property {"keep" | "empty" | "throw"} [whenDown] what readers are given while it is not
 *   coherent: what was there last ("keep", the usual), nothing, or an error
 * @property {number} [timeout] seconds that it may take to be filled (10)
 * @property {(change: Change) => unknown} [onChange] told of changes from the beginning
 */

/** @typedef {Change & { epoch: string }} Kept an item, as the change that brought it */

const FILLED_WITHIN_S = 10;

/** @extends {EventTarget} */
export class Mirror extends EventTarget {
  /** @type {Map<string, Kept>} */
  #items = new Map();
  #mortal = 0; // items whose life has an end
  /** @type {Set<string> | null} keys that a snapshot has listed, or events since it began */
  #listed = null;
  #filled = false;
  #coherent = false;
  /** @type {import("./errors.js").TlruError | null} */
  #error = null;
  #prefix;
  #exchange;
  #whenDown;
  #lines;
  #wanted;
  /** @type {Feed | null} */
  #feed = null;
  #listening = this.#listener();
  /** @type {(error?: Error) => void} */
  #whenFilled = () => {};

  /**
   * A mirror that is filled. It is `Mirror.open` and `cache.mirror`; there is no other way to one.
   * @param {Lines} lines
   * @param {string} prefix
   * @param {import("./patterns.js").Pattern} pattern
   * @param {Mirroring} how
   * @returns {Promise<Mirror>}
   */
  static async open(lines, prefix, pattern, how) {
    const { timeout = FILLED_WITHIN_S } = how;
    const mirror = new Mirror(lines, prefix, pattern, how);
    try {
      await mirror.#fill(timeout);
    } catch (error) {
      mirror.close();
      throw error;
    }
    return mirror;
  }

  /**
   * @param {Lines} lines
   * @param {string} prefix
   * @param {import("./patterns.js").Pattern} pattern
   * @param {Mirroring} how
   */
  constructor(lines, prefix, pattern, { whenDown = "keep", onChange }) {
    super();
    const wanted = selector(pattern, prefix);
    if ("channel" in wanted || "channel_prefix" in wanted) {
      throw new BadRequest("a mirror is of keys: channels keep nothing");
    }
    if (!["keep", "empty", "throw"].includes(whenDown)) {
      throw new BadRequest("`whenDown` is keep, empty or throw");
    }
    this.#lines = lines;
    this.#exchange = lines.main;
    this.#wanted = wanted;
    this.#prefix = prefix;
    this.#whenDown = whenDown;
    if (onChange) {
      this.addEventListener("change", (event) =>
        callSafely(onChange, /** @type {TlruEvent<Change>} */ (event).detail),
      );
    }
  }

  /** @param {number} timeout */
  #fill(timeout) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const why = this.#exchange.keeper.servers.told();
        const down = this.#exchange.connection === null;
        this.#whenFilled(
          down
            ? new Unavailable(`the mirror was not filled within ${timeout} s: ${why}`)
            : new Timeout(`the mirror was not filled within ${timeout} s`, {}, { retry: "no" }),
        );
      }, timeout * 1000);
      this.#whenFilled = (error) => {
        clearTimeout(timer);
        this.#whenFilled = () => {};
        if (error) reject(error);
        else resolve(null);
      };
      const options = { snapshot: true, fold: true };
      const { feed, exchange } = this.#lines.listen(this.#wanted, options, this.#listening);
      this.#feed = feed;
      this.#exchange = exchange;
    });
  }

  /** Let it go: it is told of nothing more, and is not coherent any more. */
  close() {
    if (this.#feed) this.#lines.leave(this.#feed, this.#listening);
    this.#stateChanged();
  }

  // -- how it stands

  /** Whether it is as current as the node that feeds it. */
  get coherent() {
    return this.#coherent;
  }

  /** Why it has ended, if the node ended it; it is not fed any more then. */
  get error() {
    return this.#error;
  }

  // -- what is in it

  /** How many items it has. */
  get size() {
    const items = this.#readable();
    if (!this.#mortal) return items.size;
    let count = 0;
    for (const _ of this.#living(items)) count += 1;
    return count;
  }

  /** The value under a key; undefined where there is none. @param {string} key @returns {any} */
  get(key) {
    return this.#at(key)?.value;
  }

  /** @param {string} key */
  has(key) {
    return this.#at(key) !== undefined;
  }

  /**
   * What is under a key, with its version and the seconds of life that are left to it; or null.
   * @param {string} key
   * @returns {import("./results.js").Item | null}
   */
  item(key) {
    const kept = this.#at(key);
    return kept ? this.#shown(kept) : null;
  }

  /** The keys, as a Map has them. @returns {IterableIterator<string>} */
  *keys() {
    for (const [key] of this.#living(this.#readable())) yield key;
  }

  /** @returns {IterableIterator<any>} */
  *values() {
    for (const [, kept] of this.#living(this.#readable())) yield kept.value;
  }

  /** @returns {IterableIterator<[string, any]>} */
  *entries() {
    for (const [key, kept] of this.#living(this.#readable())) yield [key, kept.value];
  }

  /** Each key with its item. @returns {IterableIterator<[string, import("./results.js").Item]>} */
  *items() {
    for (const [key, kept] of this.#living(this.#readable())) yield [key, this.#shown(kept)];
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  /** @param {(value: any, key: string, mirror: Mirror) => void} act */
  forEach(act) {
    for (const [key, value] of this.entries()) act(value, key, this);
  }

  /** @param {string} key */
  #at(key) {
    const kept = this.#readable().get(key);
    return kept && this.#lives(kept) ? kept : undefined;
  }

  /** @param {Map<string, Kept>} items */
  *#living(items) {
    for (const [key, kept] of items) {
      if (this.#lives(kept)) yield /** @type {[string, Kept]} */ ([key, kept]);
    }
  }

  #readable() {
    if (this.#coherent || this.#whenDown === "keep") return this.#items;
    if (this.#whenDown === "empty") return new Map();
    const why = this.#error?.message ?? this.#exchange.keeper.servers.told();
    throw new Unavailable(`the mirror is not coherent now: ${why}`);
  }

  /** @param {Kept} kept */
  #lives({ expires }) {
    return expires === null || expires.getTime() > this.#exchange.clusterMs();
  }

  /** @param {Kept} kept @returns {import("./results.js").Item} */
  #shown({ value, version, at, expires, rev, mime }) {
    const ttl = expires && (expires.getTime() - this.#exchange.clusterMs()) / 1000;
    return { value, version, at, ttl, rev, mime };
  }

  // -- what feeds it

  /** @returns {import("./feeds.js").Listener} */
  #listener() {
    return {
      event: (event, position, epoch) => {
        const key = event.key.slice(this.#prefix.length);
        this.#apply({ ...change(event, { key, since: event.at, position }), epoch });
      },
      snapshotBegins: () => (this.#listed = new Set()),
      snapshotItem: (item, time, epoch) => {
        const key = item.key.slice(this.#prefix.length);
        this.#onListed({ ...change(item, { key, since: time, snapshot: true }), epoch });
      },
      snapshotEnds: () => this.#onAllListed(),
      reset: (reason) => this.#tell({ ...blank("reset"), reason }),
      stateChanged: () => this.#stateChanged(),
      ended: (error) => {
        this.#error = error;
        this.#stateChanged();
        this.#whenFilled(error);
      },
    };
  }

  /** @param {Kept} told */
  #apply(told) {
    this.#listed?.add(told.key);
    switch (told.type) {
      case "set":
        this.#put(told);
        break;
      case "touch": {
        const kept = this.#items.get(told.key);
        const { expires, ttl } = told;
        if (kept) this.#put({ ...kept, expires, ttl }); // its version stays that of its value
        break;
      }
      case "clear":
        for (const key of [...this.#items.keys()]) if (key.startsWith(told.key)) this.#drop(key);
        break;
      default:
        this.#drop(told.key);
    }
    this.#tell(told);
  }

  /** @param {Kept} told */
  #onListed(told) {
    this.#listed?.add(told.key);
    const kept = this.#items.get(told.key);
    // Versions compare within one epoch only. The same one may have been given another life.
    if (kept && kept.epoch === told.epoch) {
      if (kept.version > told.version) return;
      const sameLife = kept.expires?.getTime() === told.expires?.getTime();
      if (kept.version === told.version && sameLife) return;
    }
    this.#put(told);
    this.#tell(told);
  }

  #onAllListed() {
    const listed = this.#listed ?? new Set();
    this.#listed = null;
    for (const key of [...this.#items.keys()]) {
      if (listed.has(key)) continue;
      this.#drop(key);
      this.#tell({ ...blank("delete"), key, snapshot: true });
    }
    this.#filled = true;
    this.#stateChanged();
    this.#whenFilled();
  }

  /** @param {Kept} kept */
  #put(kept) {
    this.#drop(kept.key);
    if (kept.expires) this.#mortal += 1;
    this.#items.set(kept.key, kept);
  }

  /** @param {string} key */
  #drop(key) {
    if (this.#items.get(key)?.expires) this.#mortal -= 1;
    this.#items.delete(key);
  }

  /** @param {Change} told */
  #tell(told) {
    this.dispatchEvent(new TlruEvent("change", told));
  }

  #stateChanged() {
    const feed = this.#feed;
    const coherent = this.#filled && feed !== null && feed.live && !feed.ended;
    if (coherent === this.#coherent) return;
    this.#coherent = coherent;
    this.dispatchEvent(new TlruEvent("state", { coherent, error: this.#error }));
  }
}
