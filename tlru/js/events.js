// @ts-check
/** Events of our own for listeners: what has happened is in `detail`. */

/** @template T */
export class TlruEvent extends Event {
  /** @param {string} type @param {T} detail */
  constructor(type, detail) {
    super(type);
    this.detail = detail;
  }
}

/**
 * Call somebody else's function. What it throws is theirs, and is told as whatever is thrown by a
 * listener: it must not harm those who come after.
 * @template A
 * @param {(given: A) => unknown} listener
 * @param {A} given
 */
export function callSafely(listener, given) {
  try {
    listener(given);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
