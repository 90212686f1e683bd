// @ts-check
/**
 * Filling the cache from elsewhere: what `getOrSet` does when the cache has no answer.
 *
 * One load at a time: within the program by sharing a promise, within the cluster by a lock, whose
 * name the Python client gives it too. What was loaded is stored only if nobody has set, deleted or
 * cleared the key since it was missed, so a value that was invalidated while it was being loaded is
 * not kept.
 *
 * It fails open. A cache that is away, slow or full costs its users a load each, never an error,
 * unless they ask for one. What is wrong with the call itself and what the loader throws is always
 * thrown.
 *
 * Stale values: the item lives for `ttl + stale` seconds. Its reader knows the `ttl`, and the reply
 * says when it was set and what time it is, so nothing more is stored to know that it is due.
 */

import { BadRequest, BadValue, TlruError } from "./errors.js";
import { Lock } from "./lock.js";
import { Text } from "./requests.js";
import * as results from "./results.js";
import { encode } from "./values.js";

/** @typedef {"load" | "raise" | "default"} OnError */
/**
 * @typedef {object} Filling
 * @property {number | null} [ttl] seconds that a value is served; not given, it is this part's own
 * @property {number} [stale] seconds more, in which it is served while one caller replaces it (0)
 * @property {OnError} [onError] what is done where the cache cannot be used: `load` all the same,
 *   `raise` what is wrong, or give the `default` ("load")
 * @property {any} [default]
 * @property {number} [wait] seconds to wait for another's load (5)
 * @property {number} [timeout] seconds that the cache may take to answer
 */
/**
 * What a look at the key has found, and where the node was then.
 * @typedef {object} Look
 * @property {boolean} found
 * @property {any} value
 * @property {boolean} due nothing is there, or what is there has outlived its time
 * @property {string | null} epoch
 * @property {number} pos
 */

const WAIT_S = 5;
const LEASE_S = 10; // of the lock around a load; it is renewed for as long as the load takes
const LOCK_SUFFIX = "#load";
const LOCK_CHARS_MAX = 200;
// FNV-1a of 64 bits: the same in any language, and two keys that meet only wait for each other.
const FNV_FIRST = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** The loads under way of one client, by their keys: who asks meanwhile waits for the same. */
export class Loads {
  /** @type {Map<string, Promise<any>>} */
  #loads = new Map();

  /** @param {string} key */
  has(key) {
    return this.#loads.has(key);
  }

  /**
   * The load for this key, which begins if there is none.
   * @param {string} key @param {() => Promise<any>} begin
   */
  join(key, begin) {
    const under = this.#loads.get(key);
    if (under) return under;
    const load = begin().finally(() => this.#loads.delete(key));
    this.#loads.set(key, load);
    return load;
  }
}

/** One key, and how it is filled. */
export class Fill {
  #exchange;
  #loads;
  #key;
  #load;
  #ttl;
  #stale;
  #onError;
  #default;
  #wait;
  #timeout;

  /**
   * @param {import("./exchange.js").Exchange} exchange
   * @param {Loads} loads
   * @param {string} key
   * @param {() => any} load
   * @param {Filling & { ttl: number | null, timeout: number }} how
   */
  constructor(exchange, loads, key, load, how) {
    this.#exchange = exchange;
    this.#loads = loads;
    this.#key = key;
    this.#load = load;
    this.#ttl = how.ttl;
    this.#stale = Math.max(0, how.stale ?? 0);
    this.#onError = how.onError ?? "load";
    this.#default = how.default;
    this.#wait = how.wait ?? WAIT_S;
    this.#timeout = how.timeout;
  }

  /** The value: from the cache, or loaded and kept there. */
  async get() {
    let look;
    try {
      look = await this.#look();
    } catch (error) {
      return this.#without(error);
    }
    if (!look.due) return look.value;
    const missed = look;
    if (!look.found) return this.#loads.join(this.#key, () => this.#fill(missed));
    // It is stale: one replaces it in the background, and nobody waits for that.
    if (!this.#loads.has(this.#key)) {
      void this.#loads.join(this.#key, () => this.#refresh(missed.value));
    }
    return look.value;
  }

  // -- the steps

  /** @returns {Promise<Look>} */
  async #look() {
    const fields = { op: "get", key: this.#key };
    const reply = await this.#exchange.ask(fields, this.#timeout, "read");
    const { epoch } = this.#exchange.session;
    const missing = { found: false, value: undefined, due: true, epoch, pos: reply.pos ?? 0 };
    if (!reply.found) return missing;
    try {
      const value = results.value(this.#key, results.part(reply, "value"));
      return { ...missing, found: true, value, due: this.#isDue(reply) };
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      return missing; // it is loaded anew
    }
  }

  /** @param {import("./requests.js").Reply} reply */
  #isDue(reply) {
    if (this.#ttl === null || !this.#stale) return false;
    return (reply.time ?? 0) - (reply.at ?? 0) >= this.#ttl * 1000;
  }

  /** Load what nobody has, or take it from whoever was faster. @param {Look} missed */
  async #fill(missed) {
    const lock = this.#lock(this.#wait);
    const held = await this.#attempt(() => lock.acquire());
    try {
      // Somebody may have loaded it between our look and our turn.
      const look = (held && (await this.#attempt(() => this.#look()))) || missed;
      return look.due ? await this.#keep(look, await this.#load()) : look.value;
    } finally {
      await this.#release(lock);
    }
  }

  /** Replace a value that is due, unless somebody else does; a failure leaves it as it is.
   * @param {any} stale */
  async #refresh(stale) {
    try {
      const lock = this.#lock(0);
      if (!(await lock.acquire())) return stale;
      try {
        const look = await this.#look();
        return look.due ? await this.#keep(look, await this.#load()) : look.value;
      } finally {
        await this.#release(lock);
      }
    } catch (error) {
      const key = JSON.stringify(this.#key);
      console.warn(`${key} could not be refreshed and is served stale:`, error);
      return stale;
    }
  }

  /**
   * Keep the value, unless the key has met a write since the look.
   * @param {Look} look @param {any} value
   */
  async #keep(look, value) {
    const data = new Text(encode(value));
    if (look.epoch === null || look.epoch !== this.#exchange.session.epoch) return value;
    const fields = {
      op: "set",
      key: this.#key,
      value: data,
      ttl: this.#ttl === null ? null : this.#ttl + this.#stale,
      if: { unchanged: look.pos },
      timeout: this.#timeout,
    };
    await this.#attempt(() => this.#exchange.ask(fields, this.#timeout, "plain", { bound: true }));
    return value;
  }

  /** @param {number} wait */
  #lock(wait) {
    const how = { ttl: LEASE_S, wait, timeout: this.#timeout };
    return new Lock(this.#exchange, lockName(this.#key), how);
  }

  /** @param {Lock} lock */
  async #release(lock) {
    if (lock.held) await this.#attempt(() => lock.release());
  }

  // -- failing open

  /** @param {unknown} error */
  #without(error) {
    this.#must(error);
    if (this.#onError === "default") return this.#default;
    return this.#loads.join(this.#key, async () => this.#load());
  }

  /**
   * What a step gives, or null where the cache fails it and its user can do without.
   * @template R
   * @param {() => Promise<R>} step
   */
  async #attempt(step) {
    try {
      return await step();
    } catch (error) {
      this.#must(error);
      return null;
    }
  }

  /** Throw what the caller has to hear. @param {unknown} error */
  #must(error) {
    const forgiven = error instanceof TlruError && !(error instanceof BadRequest);
    if (!forgiven || this.#onError === "raise") throw error;
  }
}

/**
 * The name of the lock around loading a key. It has the key's beginning, hence its rights.
 * @param {string} key
 */
export function lockName(key) {
  const chars = [...key];
  if (chars.length <= LOCK_CHARS_MAX) return key + LOCK_SUFFIX;
  let hash = FNV_FIRST;
  for (const byte of new TextEncoder().encode(key)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  }
  const told = hash.toString(16).padStart(16, "0");
  return `${chars.slice(0, LOCK_CHARS_MAX).join("")}#${told}${LOCK_SUFFIX}`;
}
