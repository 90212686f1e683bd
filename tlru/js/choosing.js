// @ts-check
/**
 * In which order servers are to be preferred. Pure: what is known of each, and chance, are handed
 * in.
 *
 * Those that can be expected to serve before those that cannot; the nearer before the farther;
 * among equally near ones, those of the client's own region and zone; among those, as a program
 * named them, or by lot. The lot is drawn once by each client for each server and falls by weight
 * and priority, so clients spread over servers that are equally good, and none changes its mind.
 */

import { REFUSING_STATUSES } from "./errors.js";
import { circles, RoundTrips } from "./nearness.js";
import { Breaker } from "./resilience.js";

const SILENT = "silent"; // what a cluster says of a member that it does not hear
const BREAK_AFTER = 3; // failures in a row: then others are tried before it for a while
const BREAK_S = 20;
// A priority says who leads; a server of none serves as well. So the highest usual one weighs twice
// as much as the lowest, and not endlessly more.
const PRIORITY_BASE = 100;

/** What can be expected of a server; the higher, the later it is tried. */
export const STANDING = Object.freeze({
  WELL: 0,
  RESTING: 1, // it has no weight: its operator wants nobody there who can be elsewhere
  UNLISTED: 2, // the program named it, and its cluster does not
  DOUBTFUL: 3, // it could not be used, several times and lately
  UNFIT: 4, // it refuses, or its cluster does not hear it
});

/** All that one client knows of one server. */
export class Candidate {
  /** @type {number | null} where the program names it */
  place = null;
  listed = false; // whether the cluster names it
  atHome = false;
  inZone = false;
  breaker = new Breaker(BREAK_AFTER, BREAK_S);
  trips = new RoundTrips();
  measuredAt = -Infinity;
  unreached = false; // the last measurement found nobody
  restsUntil = -Infinity; // it has said when to come back
  nearerFor = 0; // rounds in which it was clearly nearer than the one in use

  /** @param {import("./server.js").Server} server @param {number} lot */
  constructor(server, lot) {
    this.server = server;
    this.lot = lot;
  }

  /** Seconds, where it is known. */
  get roundTrip() {
    return this.trips.least;
  }

  /** What can be expected of it. @param {number} now @param {boolean} listKnown */
  standing(now, listKnown) {
    const { status, weight } = this.server;
    if (status === SILENT || REFUSING_STATUSES.includes(status)) return STANDING.UNFIT;
    const resting = now < this.restsUntil;
    if (this.unreached || resting || this.breaker.wait(now) > 0) return STANDING.DOUBTFUL;
    if (listKnown && !this.listed) return STANDING.UNLISTED;
    return weight > 0 ? STANDING.WELL : STANDING.RESTING;
  }

  /** Its order among servers that are as near and can be expected to do as well. */
  preference() {
    const asNamed = this.place !== null && !this.listed;
    const elsewhere = [Number(!this.atHome), Number(!this.inZone), Number(!asNamed)];
    if (asNamed) return [...elsewhere, -this.server.priority, this.place ?? 0];
    return [...elsewhere, 0, this.#drawn()];
  }

  /** Exponential draws: the least of them falls on each in proportion to its share. */
  #drawn() {
    const share = this.server.weight * (PRIORITY_BASE + this.server.priority);
    return share > 0 ? -Math.log(1 - this.lot) / share : Infinity;
  }
}

/**
 * Servers of one standing, the preferred one first.
 * @param {Candidate[]} candidates
 */
export function ranked(candidates) {
  return circles(candidates).flatMap((circle) =>
    circle
      .map((each) => ({ each, order: each.preference() }))
      .sort((one, other) => compare(one.order, other.order))
      .map(({ each }) => each),
  );
}

/** @param {number[]} one @param {number[]} other */
export function compare(one, other) {
  for (let at = 0; at < one.length; at++) {
    if (one[at] < other[at]) return -1;
    if (one[at] > other[at]) return 1;
  }
  return 0;
}
