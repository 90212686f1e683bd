// @ts-check
/** Subscriptions as a program sees them: a function that is told of changes. */

import { callSafely } from "./events.js";
import { selector } from "./patterns.js";
import { blank, change, positionOf, positionText } from "./results.js";

/** @typedef {import("./results.js").Change} Change */

/**
 * @typedef {object} Subscribing
 * @property {boolean} [snapshot] tell what there is, before what happens
 * @property {string | import("./feeds.js").Position | null} [since] a stored position to go on from
 * @property {boolean} [fold] where much piles up, only the last event of each key
 * @property {string} [send] what events hold, as the protocol has it
 */

/**
 * A subscription: call it to stop.
 * @typedef {object} SubscriptionFacts
 * @property {string | null} position from where to go on, if all that was told has been seen to
 * @property {boolean} live whether what was told is as current as the node that tells it
 */
/** @typedef {(() => void) & Readonly<SubscriptionFacts>} Subscription */

/**
 * @param {import("./lines.js").Lines} lines
 * @param {string} prefix
 * @param {import("./patterns.js").Pattern} pattern
 * @param {(change: Change) => unknown} listener
 * @param {Subscribing} how
 * @returns {Subscription}
 */
export function subscribe(lines, prefix, pattern, listener, { since, ...options }) {
  const own = (/** @type {string} */ key) => key.slice(prefix.length);
  const tell = (/** @type {Change} */ told) => callSafely(listener, told);
  /** @type {import("./feeds.js").Listener} */
  const listening = {
    event: (event, position) =>
      tell(change(event, { key: own(event.key), since: event.at, position })),
    snapshotBegins() {},
    snapshotItem: (item, time) =>
      tell(change(item, { key: own(item.key), since: time, snapshot: true })),
    snapshotEnds: (position) =>
      tell({ ...blank("snapshot"), snapshot: true, position: positionText(position) }),
    reset: (reason, position) =>
      tell({ ...blank("reset"), reason, position: positionText(position) }),
    stateChanged() {},
    ended: (error) => tell({ ...blank("end"), error, reason: error.code }),
  };
  const wanted = { ...options, since: positionOf(since) };
  const { feed } = lines.listen(selector(pattern, prefix), wanted, listening);
  const stop = () => lines.leave(feed, listening);
  return /** @type {Subscription} */ (
    Object.defineProperties(stop, {
      position: { get: () => positionText(feed.position) },
      live: { get: () => feed.live },
    })
  );
}
