// @ts-check
/**
 * When a node wants to see us again: in an error, in a goodbye. Pure. What a stranger says is
 * bounded: nobody can send a client away for good.
 *
 * A browser shows nothing of a refused upgrade, so its Retry-After is not to be had here: the wait
 * before the next attempt is then the usual one, which grows.
 */

export const AFTER_MAX_S = 300;
export const TOO_FAST = 4429; // the close code of it

const IN_REASON = /^after=(\d{1,6}(?:\.\d{1,6})?)(?![\d.])/;

/** Seconds that an error says to wait, up to `most`; 0 where it says none.
 * @param {import("./errors.js").TlruError} error @param {number} [most] */
export function afterOf(error, most = AFTER_MAX_S) {
  return bounded(error.facts.after, most);
}

/** Seconds that the reason of a close begins with, `after=5 ...`. @param {string} reason */
export function afterInReason(reason) {
  return bounded(Number(IN_REASON.exec(reason)?.[1] ?? 0));
}

/** @param {unknown} after @param {number} [most] */
function bounded(after, most = AFTER_MAX_S) {
  return typeof after === "number" && after > 0 ? Math.min(most, after) : 0;
}
