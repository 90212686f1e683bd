// @ts-check
/**
 * Locks that the whole cluster respects.
 *
 * A lock is held for a time, and kept alive from the background until it is let go. Whoever holds
 * it has a `fence`, a number that grows with every holder: a store that refuses numbers below the
 * highest it has seen is safe even from a holder that slept through its time.
 */

import { BadRequest, LockLost, Timeout } from "./errors.js";
import { now } from "./settings.js";

const PARK_S = 60; // a request waits so long for its turn at the node, and is then made again
const RENEW_AT = 1 / 3; // of its time a lock is given new time

/**
 * @typedef {object} Locking
 * @property {number} ttl seconds that it is held unless it is renewed: who holds it may die
 * @property {number | null} [wait] seconds to wait for one's turn; null: as long as it takes
 * @property {boolean} [renew] whether it is kept alive (true)
 * @property {number} [timeout] seconds that the node may take to answer
 */

/** A lock, held between `acquire` and `release`. */
export class Lock {
  /** @type {number | null} */
  #fence = null;
  #until = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #exchange;
  #ttl;
  #wait;
  #renewing;
  #timeout;

  /**
   * @param {import("./exchange.js").Exchange} exchange
   * @param {string} name
   * @param {Locking & { timeout: number }} how
   */
  constructor(exchange, name, { ttl, wait = null, renew = true, timeout }) {
    if (!(ttl > 0)) throw new BadRequest("a lock needs a time to live: who holds it may die");
    this.name = name;
    this.#exchange = exchange;
    this.#ttl = ttl;
    this.#wait = wait ?? Infinity;
    this.#renewing = renew;
    this.#timeout = timeout;
  }

  /** The number of this holding, higher than any before. Throws `LockLost` if it is not held. */
  get fence() {
    if (this.#fence === null) throw new LockLost(`the lock ${this.#quoted} is not held`);
    return this.#fence;
  }

  /** Whether it is held, as far as can be told without asking. */
  get held() {
    return this.#fence !== null && now() < this.#until;
  }

  /** Throw `LockLost` unless it is held, as far as can be told without asking. */
  check() {
    if (!this.held) throw new LockLost(`the lock ${this.#quoted} is not held any more`);
  }

  /** Take the lock, waiting up to `wait` seconds (or as it was made); whether it is held.
   * @param {number} [wait] */
  async acquire(wait = this.#wait) {
    if (this.#fence !== null) throw new BadRequest(`the lock ${this.#quoted} is held already`);
    const until = now() + wait;
    while (true) {
      const left = Math.max(0, until - now());
      const reply = await this.#ask(Math.min(left, PARK_S));
      if (reply.held) {
        this.#fence = reply.fence;
        this.#until = now() + this.#ttl;
        if (this.#renewing) this.#renewLater();
        return true;
      }
      if (left <= PARK_S) return false;
    }
  }

  /** Let it go. Throws `LockLost` if it was not held any more. */
  async release() {
    const { fence } = this;
    clearTimeout(this.#timer);
    this.#fence = null;
    const reply = await this.#tell("unlock", { fence });
    if (!reply.released) {
      throw new LockLost(`the lock ${this.#quoted} was not held any more when it was let go`);
    }
  }

  /** Give it new time from now on. Throws `LockLost` if it is not held any more.
   * @param {number} [ttl] */
  async renew(ttl = this.#ttl) {
    await this.#renew(ttl, true);
  }

  /** @param {number} ttl @param {boolean} traced */
  async #renew(ttl, traced) {
    // From before the question, so that nobody believes to hold it for longer than is true.
    const since = now();
    const reply = await this.#tell("renew", { fence: this.fence, ttl }, traced);
    if (!reply.held) {
      this.#until = -Infinity;
      throw new LockLost(`the lock ${this.#quoted} is not held any more`);
    }
    this.#until = since + ttl;
  }

  /**
   * Do something while it is held, and let it go whatever comes of it.
   * @template R
   * @param {(lock: Lock) => R | Promise<R>} act
   * @returns {Promise<R>}
   */
  async hold(act) {
    if (!(await this.acquire())) {
      const what = `the lock ${this.#quoted} was not free within ${this.#wait} s`;
      throw new Timeout(what, {}, { retry: "no" });
    }
    let result;
    try {
      result = await act(this);
    } catch (error) {
      // What went wrong is the caller's to hear, not that the lock could not be let go after it.
      if (this.#fence !== null) await this.release().catch(() => {});
      throw error;
    }
    if (this.#fence !== null) await this.release();
    return result;
  }

  get #quoted() {
    return JSON.stringify(this.name);
  }

  /** @param {number} wait */
  #ask(wait) {
    const fields = { op: "lock", name: this.name, ttl: this.#ttl, timeout: this.#timeout };
    const all = wait > 0 ? { ...fields, wait } : fields;
    return this.#exchange.ask(all, wait + this.#timeout, "named");
  }

  /** @param {string} op @param {Record<string, any>} fields @param {boolean} [traced] */
  #tell(op, fields, traced = true) {
    const all = { op, name: this.name, timeout: this.#timeout, ...fields };
    return this.#exchange.ask(all, this.#timeout, "named", { traced });
  }

  /** Again and again; a failure is tried again as long as there is time left. */
  #renewLater() {
    this.#timer = setTimeout(async () => {
      try {
        // For as long as the lock is held: no part of the trace in which it was taken.
        await this.#renew(this.#ttl, false);
      } catch (error) {
        if (error instanceof LockLost || !this.held) return;
      }
      if (this.#fence !== null) this.#renewLater();
    }, this.#ttl * RENEW_AT * 1000);
  }
}
