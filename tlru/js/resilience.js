// @ts-check
/**
 * How hard to try again, and whether to try at all: waits with jitter, a budget for retries, a
 * circuit breaker. Pure: time (in seconds) and chance are handed in.
 *
 * A wait is never above its ceiling, and a ceiling never above the most; whatever is asked for,
 * retries stay within a share of the traffic plus a small floor; of a breaker that is half open at
 * most one trial is under way.
 */

const DOUBLINGS_MAX = 32; // beyond this a ceiling has long met its most

/**
 * The wait before attempt number `attempt` (0 is the first repeat): anything up to a ceiling. The
 * whole range is used, since clients that lost the same server at the same moment would otherwise
 * come back together.
 * @param {number} attempt @param {number} chance @param {number} first @param {number} most
 */
export function fullJitter(attempt, chance, first, most) {
  return chance * Math.min(most, first * 2 ** Math.min(attempt, DOUBLINGS_MAX));
}

/** The waits between attempts that keep failing; a success makes it start over. */
export class Backoff {
  failures = 0;
  #chance;
  #first;
  #most;

  /** @param {() => number} chance @param {number} [first] @param {number} [most] */
  constructor(chance, first = 0.1, most = 20) {
    this.#chance = chance;
    this.#first = first;
    this.#most = most;
  }

  /** Seconds to wait now that one more attempt has failed. */
  wait() {
    return fullJitter(this.failures++, this.#chance(), this.#first, this.#most);
  }

  /** An attempt has succeeded. */
  reset() {
    this.failures = 0;
  }
}

const SHARE = 0.1; // of a retry that each request earns
const FLOOR_PER_S = 1; // retries that time earns, so that a lone caller gets its own
const SAVED_MAX = 100; // a long calm does not pay for a storm

/** Retries that may still be made: a tenth of the traffic, and a floor for the quiet. */
export class RetryBudget {
  #saved = 10;
  #asked = 0;
  /** @type {number | null} */
  #at = null;

  /**
   * Whether one more retry may be made, which is then paid for.
   * @param {number} asked all requests since the beginning @param {number} now
   */
  spend(asked, now) {
    const elapsed = this.#at === null ? 0 : Math.max(0, now - this.#at);
    const earned = SHARE * Math.max(0, asked - this.#asked) + FLOOR_PER_S * elapsed;
    this.#saved = Math.min(SAVED_MAX, this.#saved + earned);
    this.#asked = Math.max(asked, this.#asked);
    this.#at = now;
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}

/** Counts failures in a row, and opens when there are too many. */
export class Breaker {
  /** @type {"closed" | "open" | "half-open"} */
  circuit = "closed";
  #failures = 0;
  #until = 0;
  #failuresMax;
  #openS;

  /** @param {number} failuresMax in a row: then it opens @param {number} openS for so long */
  constructor(failuresMax, openS) {
    this.#failuresMax = failuresMax;
    this.#openS = openS;
  }

  /** Whether an attempt may be made now. Who is told so makes it, and tells how it ended.
   * @param {number} now */
  allows(now) {
    if (this.circuit === "open" && now >= this.#until) {
      this.circuit = "half-open";
      return true;
    }
    return this.circuit === "closed";
  }

  /** Seconds until an open one lets a trial through; 0 where it is not open.
   * @param {number} now */
  wait(now) {
    return this.circuit === "open" ? Math.max(0, this.#until - now) : 0;
  }

  /** An attempt has succeeded. */
  succeeded() {
    this.circuit = "closed";
    this.#failures = 0;
  }

  /** An attempt has failed.
   * @param {number} now */
  failed(now) {
    this.#failures += 1;
    if (this.circuit === "half-open" || this.#failures >= this.#failuresMax) {
      this.circuit = "open";
      this.#until = now + this.#openS;
    }
  }
}
