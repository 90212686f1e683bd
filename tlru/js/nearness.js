// @ts-check
/**
 * How far away a server is: round trips (in seconds), and when two of them differ at all. Pure.
 *
 * A round trip is the least of the last few, since whatever disturbs a measurement only makes it
 * longer. Two are alike if they differ by no more than such disturbances may make of them: nobody
 * moves, or is preferred, for the sake of noise.
 */

const SAMPLES = 5;
/** Within one place round trips take tenths of a millisecond; a busy page disturbs them by more. */
export const NOISE_S = 0.002;
const NOISE_SHARE = 0.25;

/** The last measurements of the way to one server. */
export class RoundTrips {
  /** @type {number[]} */
  #samples = [];

  get length() {
    return this.#samples.length;
  }

  /** The round trip, as far as it is known. @returns {number | null} */
  get least() {
    return this.#samples.length ? Math.min(...this.#samples) : null;
  }

  /** One more measurement. @param {number} seconds */
  note(seconds) {
    this.#samples.push(seconds);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** The way is gone; what it was does not count any more. */
  forget() {
    this.#samples = [];
  }
}

/**
 * Whether two round trips differ by nothing but noise.
 * @param {number} one
 * @param {number} other
 */
export function alike(one, other) {
  return Math.abs(one - other) <= Math.max(NOISE_S, NOISE_SHARE * Math.max(one, other));
}

/**
 * Whether the first is the shorter way beyond doubt. What is not known is never so.
 * @param {number | null} one
 * @param {number | null} other
 */
export function clearlyNearer(one, other) {
  return one !== null && other !== null && one < other && !alike(one, other);
}

/**
 * The servers in circles around the client: the nearest with all that are alike to it, the next of
 * the others with all that are alike to that, and so on. Where nothing was measured yet, one's own
 * region is taken to be near, and the rest to be far.
 * @template {{ roundTrip: number | null, atHome: boolean }} M
 * @param {M[]} servers
 * @returns {M[][]}
 */
export function circles(servers) {
  const unknown = servers.filter((each) => each.roundTrip === null);
  const assumed = unknown.filter((each) => each.atHome);
  const distant = unknown.filter((each) => !each.atHome);
  let left = servers
    .map((each) => ({ trip: each.roundTrip ?? Infinity, each }))
    .filter(({ trip }) => trip !== Infinity)
    .sort((one, other) => one.trip - other.trip);
  /** @type {M[][]} */
  const found = [];
  while (left.length) {
    const nearest = left[0].trip;
    found.push(left.filter(({ trip }) => alike(nearest, trip)).map(({ each }) => each));
    left = left.filter(({ trip }) => !alike(nearest, trip));
  }
  if (assumed.length) found.splice(0, 1, [...(found[0] ?? []), ...assumed]);
  if (distant.length) found.push(distant);
  return found;
}
