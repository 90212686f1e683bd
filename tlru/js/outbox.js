// @ts-check
/**
 * What waits to be sent, and what the next message is. It does no I/O.
 *
 * The order is that in which requests were asked; a message holds as many of them as the node's
 * limits allow, and none that nobody waits for any more. A named write keeps its name from the
 * first sending to the last, and no request that belongs to one epoch is sent in another.
 */

import { TooLarge, UnknownOutcome, WrongEpoch } from "./errors.js";
import { bytesIn, withField } from "./requests.js";
import { OnceNames } from "./session.js";

/** @typedef {import("./requests.js").Request} Request */

const MESSAGE_BYTES_MIN = 4096; // messages are not split below this, whatever a proxy objects to
const COMPACT_AT = 1024; // from this length on, requests whose callers have gone are cleared out
const WAIT_MAX_S = 3600; // the longest that a node waits until it is where it has to be

/** The requests of one client that have not been sent yet. */
export class Outbox {
  /** @type {Request[]} */
  queue = [];
  #once = new OnceNames();
  #compactAt = COMPACT_AT;
  #messageBytesMax = Infinity;
  #session;

  /** @param {import("./session.js").Session} session */
  constructor(session) {
    this.#session = session;
  }

  /** These were sent in vain: they come before all that was not sent yet.
   * @param {Request[]} requests */
  putBack(requests) {
    this.queue = [...requests, ...this.queue];
  }

  /** Subscriptions that wait for a connection that is gone: the next one has its own. */
  forgetFeeds() {
    this.queue = this.queue.filter((request) => request.kind !== "feed");
  }

  /** The request will not be sent again: the node need not remember its result.
   * @param {Request} request */
  letGo(request) {
    if (!request.once) return;
    this.#once.finish(request.once.n);
    request.once = null;
  }

  /** A message was too large for somebody on the way: send smaller ones.
   * @param {number} sentLargest */
  split(sentLargest) {
    this.#messageBytesMax = Math.max(MESSAGE_BYTES_MIN, Math.floor(sentLargest / 2));
  }

  /**
   * The next message to this connection; empty where there is nothing, or no room.
   * @param {import("./connection.js").Connection} connection
   * @param {number} now
   * @returns {string[]}
   */
  take(connection, now) {
    const { limits, unanswered } = connection;
    const most = Math.min(limits.message_bytes, this.#messageBytesMax);
    const room = Math.min(limits.batch, limits.in_flight - unanswered.size);
    const texts = [];
    let size = 0;
    let taken = 0;
    for (; taken < this.queue.length && texts.length < room; taken++) {
      const request = this.queue[taken];
      if (request.settled) {
        this.letGo(request);
        continue;
      }
      const text = this.#complete(request, connection, now);
      if (text === null) continue;
      const length = bytesIn(text) + 1;
      if (size + length > most && texts.length) break;
      if (length > limits.message_bytes) {
        this.#refuse(request, length, limits.message_bytes);
        continue;
      }
      size += length;
      connection.noteSent(request);
      texts.push(text);
    }
    this.queue.splice(0, taken);
    return texts;
  }

  /** Clear out what nobody waits for, so that a long outage does not collect the departed. */
  compact() {
    if (this.queue.length < this.#compactAt) return;
    for (const request of this.queue) if (request.settled) this.letGo(request);
    this.queue = this.queue.filter((request) => !request.settled);
    this.#compactAt = Math.max(COMPACT_AT, 2 * this.queue.length);
  }

  /**
   * Its text with what is known only when it leaves; null where it must not leave.
   * @param {Request} request
   * @param {import("./connection.js").Connection} connection
   * @param {number} now
   */
  #complete(request, connection, now) {
    if (request.kind === "read") {
      if (!this.#session.aheadOf(connection.pos, connection.time)) return request.text;
      const text = withField(request.text, "min", this.#session.minimum());
      // Half of the caller's time: the other half is for asking elsewhere.
      const patience = Math.min((request.deadline - now) / 2, WAIT_MAX_S);
      return withField(text, "timeout", Math.max(0, patience));
    }
    if (!request.isWrite) return request.text;
    if (!this.#fitsEpoch(request)) {
      this.letGo(request);
      return null;
    }
    let { text } = request;
    if (request.kind === "named") {
      request.once ??= this.#once.give(this.#session.clusterMs(now));
      text = withField(text, "once", request.once);
    }
    if (request.trace === null || !connection.takesTraces) return text;
    return withField(text, "trace", request.trace);
  }

  /** Whether it may go to the present epoch; if not, its caller is told why.
   * @param {Request} request */
  #fitsEpoch(request) {
    const { epoch } = this.#session;
    const unsure = request.mayBeDone;
    if (request.epoch === null || (request.epoch !== epoch && !request.bound && !unsure)) {
      request.epoch = epoch;
    }
    if (request.epoch === epoch) return true;
    request.tell(
      unsure
        ? new UnknownOutcome(`${request.what} was sent, and then the cache began another life`)
        : new WrongEpoch(`${request.what} speaks of another life of the cache; it was not sent`),
    );
    return false;
  }

  /** @param {Request} request @param {number} length @param {number} most */
  #refuse(request, length, most) {
    const what = `makes ${length} bytes, the node takes ${most}; it was not sent`;
    request.tell(new TooLarge(`${request.what} ${what}`));
    this.letGo(request);
  }
}
