// @ts-check
/**
 * Whether the other side is still there. Pure: time is handed in, in seconds, and the answer says
 * what to do and when to look again.
 *
 * Nobody is given up who was heard since being asked, nor before having had the time to answer.
 */

/** @typedef {{ what: "wait" | "ask" | "give up", again: number }} Verdict */

/** The watch over one connection: quiet for long, ask; no answer to that, give up. */
export class Pulse {
  /** @type {number | null} */
  #askedAt = null;
  #until = 0;
  #askAfter;
  #answerWithin;

  /** @param {number} askAfter @param {number} answerWithin */
  constructor(askAfter, answerWithin) {
    this.#askAfter = askAfter;
    this.#answerWithin = answerWithin;
  }

  /**
   * What to do, when the other side was last heard at `heard`; and when to look again.
   * @param {number} heard @param {number} now
   * @returns {Verdict}
   */
  look(heard, now) {
    if (this.#askedAt !== null) {
      if (heard <= this.#askedAt) {
        const left = this.#until - now;
        return left > 0 ? { what: "wait", again: left } : { what: "give up", again: 0 };
      }
      this.#askedAt = null;
    }
    const left = heard + this.#askAfter - now;
    if (left > 0) return { what: "wait", again: left };
    return this.ask(this.#answerWithin, heard, now);
  }

  /**
   * Ask at once, since there is a reason to doubt; an answer is due `within` seconds.
   * @param {number} within @param {number} heard @param {number} now
   * @returns {Verdict}
   */
  ask(within, heard, now) {
    if (this.#askedAt !== null && heard <= this.#askedAt) {
      return { what: "wait", again: Math.max(0, this.#until - now) };
    }
    const due = Math.min(within, this.#answerWithin);
    this.#askedAt = now;
    this.#until = now + due;
    return { what: "ask", again: due };
  }
}
