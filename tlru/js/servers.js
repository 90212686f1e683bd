// @ts-check
/**
 * Which server next, and whether another would be better than the one in use. Pure: time and chance
 * are handed in. How servers are preferred, `choosing` says; here is who they are, and what befell
 * the client at them.
 *
 * Whom the cluster tells of no longer is forgotten, unless the program named him. Until one is of
 * use, each is tried once before any is tried again, however badly it stands. One that is in use
 * stays so until it fails, or another was clearly nearer in several rounds of measurements.
 */

import { Candidate, compare, ranked, STANDING } from "./choosing.js";
import { clearlyNearer, NOISE_S } from "./nearness.js";
import { parse } from "./server.js";

/** @typedef {import("./server.js").Server} Server */

export const LEARNED_MAX = 64; // servers that a cluster may add to the list
export const ROUNDS = 3; // of measurements in a row, before a nearer server is believed to be one
const MEASURED_MAX = 4; // servers that are measured in one round: here each costs an upgrade

/** The servers known, and what is known of each. */
export class Servers {
  /** @type {Map<string, string>} what is wrong with each */
  problems = new Map();
  /** @type {Server[]} the whole list, as the cluster told it last */
  listed = [];
  /** @type {string | null} */
  inUse = null;
  /** @type {Map<string, Candidate>} */
  #known = new Map();
  /** @type {Map<string, Server>} */
  #named = new Map();
  /** @type {Set<string>} */
  #tried = new Set();
  /** @type {Map<string, string>} which node was met at an address */
  #met = new Map();
  #cache;
  #chance;
  #region;
  #zone;

  /**
   * @param {Iterable<Server>} named
   * @param {{ cache: string, chance: () => number, region?: string, zone?: string }} settings
   */
  constructor(named, { cache, chance, region = "", zone = "" }) {
    this.#cache = cache;
    this.#chance = chance;
    this.#region = region;
    this.#zone = zone;
    for (const server of named) {
      if (this.#named.has(server.url)) continue;
      const place = this.#named.size;
      this.#named.set(server.url, server);
      this.#takeUp(server).place = place;
    }
  }

  get size() {
    return this.#known.size;
  }

  // -- who they are

  /**
   * Take up a cluster's list; what is of no use in it is left out. A list that is not the whole one
   * adds to what is known, and takes nothing away. Gives whether there was anything in it.
   * @param {any} entries
   * @param {{ whole?: boolean }} [how]
   */
  learn(entries, { whole = true } = {}) {
    /** @type {Map<string, Server>} */
    const found = new Map();
    for (const entry of Array.isArray(entries) ? entries : []) {
      const server = parse(entry, this.#cache);
      if (server && found.size < LEARNED_MAX && !found.has(server.url)) {
        found.set(server.url, server);
      }
    }
    if (!found.size) return false;
    if (whole) {
      this.listed = [...found.values()];
      for (const url of [...this.#known.keys()]) if (!found.has(url)) this.#unlist(url);
    }
    for (const server of found.values()) {
      const room = this.#known.size < LEARNED_MAX + this.#named.size;
      if (room || this.#known.has(server.url)) this.#takeUp(server).listed = true;
    }
    this.#forgetStrangers();
    return true;
  }

  /** @param {Server} server @returns {Candidate} */
  #takeUp(server) {
    let candidate = this.#known.get(server.url);
    if (!candidate) {
      candidate = new Candidate(server, this.#chance());
      this.#known.set(server.url, candidate);
    }
    const own = this.#named.get(server.url) ?? server;
    const region = server.region || own.region;
    const zone = server.zone || own.zone;
    candidate.server = { ...server, region, zone };
    candidate.atHome = this.#region !== "" && region === this.#region;
    candidate.inZone = candidate.atHome && this.#zone !== "" && zone === this.#zone;
    return candidate;
  }

  /** @param {string} url */
  #unlist(url) {
    const named = this.#named.get(url);
    const candidate = this.#known.get(url);
    if (!named || !candidate) {
      this.#known.delete(url);
      return;
    }
    // The node behind it may be listed by another of its entrances.
    const behind = this.#met.get(url) || candidate.server.id;
    const same = this.listed.find((each) => behind && each.id === behind);
    this.#takeUp(same ? { ...same, url } : named).listed = same !== undefined;
  }

  #forgetStrangers() {
    const strange = (/** @type {string} */ url) => !this.#known.has(url) && url !== this.inUse;
    for (const url of [...this.problems.keys()]) if (strange(url)) this.problems.delete(url);
    for (const url of [...this.#met.keys()]) if (strange(url)) this.#met.delete(url);
    for (const url of [...this.#tried]) if (!this.#known.has(url)) this.#tried.delete(url);
  }

  // -- what befell the client at them

  /** The address to try now. @param {number} now @returns {string} */
  next(now) {
    const known = [...this.#known.keys()];
    if (known.every((url) => this.#tried.has(url))) this.#tried.clear();
    const nodes = new Set([...this.#tried].map((url) => this.#nodeAt(url)));
    nodes.delete("");
    // Another entrance of a node that was tried just now says little new.
    const left = this.#ranked(now)
      .filter((each) => !this.#tried.has(each.server.url))
      .map((each, at) => ({
        each,
        order: [
          this.#standing(each, now),
          Number(nodes.has(this.#nodeAt(each.server.url))),
          at,
        ],
      }))
      .sort((one, other) => compare(one.order, other.order));
    const chosen = left[0].each;
    chosen.breaker.allows(now); // this is the trial, if it is in doubt
    return chosen.server.url;
  }

  /**
   * An address was of no use; it is left in peace for so long, where it has asked for it.
   * @param {string} url @param {string} problem @param {number} now @param {number} [rest]
   */
  failed(url, problem, now, rest = 0) {
    this.problems.set(url, problem);
    this.#tried.add(url);
    if (url === this.inUse) this.inUse = null;
    const candidate = this.#known.get(url);
    if (!candidate) return;
    candidate.breaker.failed(now);
    candidate.nearerFor = 0;
    candidate.restsUntil = now + rest;
  }

  /** Seconds that an address is to be left in peace. @param {string} url @param {number} now */
  rest(url, now) {
    return Math.max(0, (this.#known.get(url)?.restsUntil ?? now) - now);
  }

  /** An address is of use, and leads to this node. @param {string} url @param {string} [node] */
  worked(url, node = "") {
    this.inUse = url;
    this.problems.clear();
    this.#tried.clear();
    if (node) this.#met.set(url, node);
    const candidate = this.#known.get(url);
    if (candidate) candidate.unreached = false;
    for (const each of this.#known.values()) each.nearerFor = 0;
  }

  /**
   * An address has been of use for long: its failures do not count any more.
   * @param {string} url
   */
  lasted(url) {
    this.#known.get(url)?.breaker.succeeded();
  }

  /** Whether there is another node than the one at this address, or may be. @param {string} url */
  elsewhere(url) {
    const node = this.#nodeAt(url);
    return [...this.#known.keys()].some(
      (each) => each !== url && (!node || this.#nodeAt(each) !== node),
    );
  }

  /** Whether every server has been tried, in vain, since one was last of use. */
  allFailed() {
    return [...this.#known.keys()].every((url) => this.problems.has(url));
  }

  /** What is wrong with each, for a message to the user. */
  told() {
    if (this.problems.size) {
      return [...this.problems].map(([url, problem]) => `${url}: ${problem}`).join("; ");
    }
    const first = this.inUse ?? this.#known.keys().next().value ?? "no server";
    return `${first}: not connected yet`;
  }

  /** Every server that is known, as it is known. @returns {Server[]} */
  all() {
    return [...this.#known.values()].map((each) => each.server);
  }

  // -- how far they are

  /**
   * Whose round trip to look at in this round, the one in use before all others. Where it is so
   * near that nobody can be clearly nearer, others are measured a few times and then left in peace.
   * @param {number} now
   * @returns {string[]}
   */
  toMeasure(now) {
    const used = this.#known.get(this.inUse ?? "");
    if (!used) return [];
    const trip = used.roundTrip;
    const others = !this.elsewhere(used.server.url)
      ? []
      : [...this.#known.values()]
          .filter((each) => each !== used && this.#standing(each, now) !== STANDING.UNFIT)
          .filter((each) => trip === null || trip > NOISE_S || each.trips.length < ROUNDS)
          .sort((one, other) => one.measuredAt - other.measuredAt);
    return [used, ...others].slice(0, MEASURED_MAX).map((each) => each.server.url);
  }

  /**
   * The way to an address and back took so long; null where nobody was found there.
   * @param {string} url @param {number | null} seconds @param {number} now
   */
  measured(url, seconds, now) {
    const candidate = this.#known.get(url);
    if (!candidate) return;
    candidate.measuredAt = now;
    candidate.unreached = seconds === null;
    if (seconds === null) candidate.trips.forget();
    else candidate.trips.note(seconds);
  }

  /** Seconds to an address and back, as far as is known. @param {string | null} url */
  roundTrip(url) {
    return this.#known.get(url ?? "")?.roundTrip ?? null;
  }

  /**
   * After a round of measurements: the address to move to, where there is a better one.
   * @param {number} now
   * @returns {string | null}
   */
  better(now) {
    const used = this.#known.get(this.inUse ?? "");
    if (!used) return null;
    const unfit = this.#standing(used, now) === STANDING.UNFIT;
    const order = this.#ranked(now);
    for (const each of order) {
      const well = each !== used && this.#standing(each, now) === STANDING.WELL;
      const nearer = well && clearlyNearer(each.roundTrip, used.roundTrip);
      each.nearerFor = nearer ? each.nearerFor + 1 : 0;
    }
    const reached = (/** @type {Candidate} */ each) =>
      this.#standing(each, now) === STANDING.WELL && each.roundTrip !== null;
    const found = order.find(
      (each) => each.nearerFor >= ROUNDS || (unfit && each !== used && reached(each)),
    );
    return found ? found.server.url : null;
  }

  /** @param {Candidate} candidate @param {number} now */
  #standing(candidate, now) {
    return candidate.standing(now, this.listed.length > 0);
  }

  /** All of them, the preferred one first. @param {number} now @returns {Candidate[]} */
  #ranked(now) {
    /** @type {Candidate[][]} */
    const byStanding = Object.values(STANDING).map(() => []);
    for (const each of this.#known.values()) byStanding[this.#standing(each, now)].push(each);
    return byStanding.flatMap(ranked);
  }

  /** @param {string} url */
  #nodeAt(url) {
    return this.#met.get(url) || (this.#known.get(url)?.server.id ?? "");
  }
}
