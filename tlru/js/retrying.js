// @ts-check
/**
 * Whether to ask again after a refusal, and how long to wait first. Pure: time and chance are
 * handed in.
 *
 * A request is asked again only where the refusal says that it was not done (or, with a name, that
 * asking again can tell), only if its caller will still be waiting, and only within the budget.
 */

import { afterOf } from "./coming_back.js";
import { Timeout, Unauthenticated } from "./errors.js";
import { fullJitter, RetryBudget } from "./resilience.js";

/** @typedef {import("./requests.js").Request} Request */
/** @typedef {import("./errors.js").TlruError} TlruError */

const LOST_MAX = 3; // connections that may die under one request before it is given up

/** The retries of one client. */
export class Retries {
  #chance;
  #timing;
  #renewable;
  #budget = new RetryBudget();

  /**
   * @param {() => number} chance
   * @param {{ backoffFirst: number, backoffMost: number }} timing
   * @param {boolean} renewable whether another token can be had
   */
  constructor(chance, timing, renewable) {
    this.#chance = chance;
    this.#timing = timing;
    this.#renewable = renewable;
  }

  /**
   * Seconds until the request is asked again; null where its caller is told the error.
   * @param {Request} request @param {TlruError} error @param {number} asked @param {number} now
   * @returns {number | null}
   */
  delay(request, error, asked, now) {
    if (!this.#mayHelp(request, error)) return null;
    const wait = this.#wait(request.tries, error);
    if (now + wait >= request.deadline || !this.#budget.spend(asked, now)) return null;
    request.tries += 1;
    request.refusal = error;
    return wait;
  }

  /**
   * Whether a request whose connection died is sent again. The first time is free: how often
   * connections are opened has limits of its own. After some times it may well be the request that
   * connections die of.
   * @param {Request} request @param {number} asked @param {number} now
   */
  repeat(request, asked, now) {
    request.lost += 1;
    if (request.lost > LOST_MAX) return false;
    return request.lost === 1 || this.#budget.spend(asked, now);
  }

  /** @param {Request} request @param {TlruError} error */
  #mayHelp(request, error) {
    if (error instanceof Unauthenticated) return this.#renewable && request.tries === 0;
    if (error instanceof Timeout) return request.kind === "named" && !error.outcomeKnown;
    return error.retry === "same" || error.retry === "other";
  }

  /** @param {number} tries @param {TlruError} error */
  #wait(tries, error) {
    const { backoffFirst, backoffMost } = this.#timing;
    const jitter = fullJitter(tries, this.#chance(), backoffFirst, backoffMost);
    return jitter + afterOf(error, Infinity); // its caller's patience is the bound
  }
}
