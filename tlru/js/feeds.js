// @ts-check
/**
 * Subscriptions, from one connection to the next: each goes on where it was.
 *
 * It decides what is asked for when a connection opens, and what a listener is told when a feed
 * cannot go on from where it was. What changes mean, the listener decides.
 *
 * A listener is told every event once, in the order of the log. Only the connection in service is
 * listened to; where two have told the same, the versions tell.
 */

import { afterOf } from "./coming_back.js";
import { fromWire, Unavailable } from "./errors.js";
import { Request } from "./requests.js";
import { fullJitter } from "./resilience.js";

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./errors.js").TlruError} TlruError */
/** @typedef {import("./requests.js").Reply} Reply */

/** @typedef {{ epoch: string, pos: number }} Position */

/**
 * Who is told what a feed brings.
 * @typedef {object} Listener
 * @property {(event: Reply, position: Position | null, epoch: string) => void} event
 * @property {() => void} snapshotBegins what is known before may be old
 * @property {(item: Reply, time: number, epoch: string) => void} snapshotItem
 * @property {(position: Position) => void} snapshotEnds what was not listed is gone
 * @property {(reason: string, position: Position) => void} reset events were missed
 * @property {() => void} stateChanged whether it is live has changed
 * @property {(error: TlruError) => void} ended nothing more will come
 */

/**
 * @typedef {object} FeedOptions
 * @property {boolean} [snapshot]
 * @property {boolean} [fold]
 * @property {string} [send]
 * @property {Position | null} [since]
 */

/** One subscription, as long as anybody listens to it. */
export class Feed {
  /** From where it can be resumed; null where it must begin with a snapshot, or anew.
   * @type {Position | null} */
  position;
  /** @type {Connection | null} the one that is listened to, once it has answered */
  source = null;
  number = 0;
  attempts = 0;
  ended = false;
  /** @type {Request | null} */
  asked = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  #epoch = "";
  #seen = 0; // every event up to it has been told
  #goal = 0; // from here on it is as current as the node
  /** @type {"none" | "awaited" | "begun"} */
  #snapshot = "none";

  /** @type {Listener[]} */
  #listeners;

  /**
   * @param {Record<string, string>} selector one of `key`, `prefix`, `channel`, `channel_prefix`
   * @param {FeedOptions} options
   * @param {Listener} listener
   */
  constructor(selector, options, listener) {
    this.selector = selector;
    this.options = options;
    this.#listeners = [listener];
    this.position = options.since ?? null;
    /** What makes a subscription the same as another: one connection can have it once. */
    this.identity = JSON.stringify([selector, options.send ?? "values"]);
  }

  /** Whether who asks for so much can listen to this one too: from now on, to whatever comes.
   * @param {FeedOptions} options */
  suits({ snapshot, fold = false, since }) {
    const plain = !this.options.snapshot && !this.options.since && !snapshot && !since;
    return plain && (this.options.fold ?? false) === fold;
  }

  /** @param {Listener} listener */
  join(listener) {
    this.#listeners = [...this.#listeners, listener];
  }

  /** Whether anybody still listens. @param {Listener} listener */
  leave(listener) {
    this.#listeners = this.#listeners.filter((each) => each !== listener);
    return this.#listeners.length > 0;
  }

  /** @param {(listener: Listener) => void} act */
  tell(act) {
    for (const listener of this.#listeners) act(listener);
  }

  /** Whether what was told is as current as the node that tells it. */
  get live() {
    return this.source !== null && this.#snapshot === "none" && this.#seen >= this.#goal;
  }

  /** What is sent to have it. @returns {Record<string, any>} */
  fields() {
    const { snapshot, fold, send } = this.options;
    return {
      op: "subscribe",
      ...this.selector,
      send,
      snapshot: snapshot || null,
      fold: fold || null,
      since: this.position,
    };
  }

  /** The node has taken it up. @param {Connection} connection @param {Reply} reply */
  attached(connection, { feed, upto, resumed }) {
    const since = this.position;
    this.source = connection;
    this.number = feed;
    this.attempts = 0;
    this.#epoch = connection.epoch;
    this.#snapshot = this.options.snapshot && !resumed ? "awaited" : "none";
    // Where it resumes, `upto` is no more than that; the node may have come farther.
    this.#goal = resumed ? Math.max(upto, connection.pos) : upto;
    this.#seen = resumed && since ? since.pos : upto;
    if (!resumed && !since) this.#move(upto);
    this.tell((each) => each.stateChanged());
  }

  /** The connection is gone, or listened to no more. */
  detached() {
    if (this.source === null) return;
    this.source = null;
    this.#snapshot = "none";
    this.tell((each) => each.stateChanged());
  }

  /** Forget the position: it is of another life of the cache. */
  startAnew() {
    this.position = null;
  }

  /** Something of this feed has come. @param {Reply} message */
  take(message) {
    const wasLive = this.live;
    if (message.push === "events") this.#onEvents(message);
    else if (message.push === "snapshot") this.#onSnapshot(message);
    else if (message.push === "reset") this.#onReset(message);
    if (this.live !== wasLive) this.tell((each) => each.stateChanged());
  }

  /** @param {Reply} message */
  #onEvents({ events, upto }) {
    for (let at = 0; at < events.length; at++) {
      const event = events[at];
      if (event.version <= this.#seen && this.#snapshot === "none") continue;
      // Those of one version stand together; until the last of them, it has not all been told.
      const whole = events[at + 1]?.version !== event.version;
      this.#move(whole ? event.version : event.version - 1);
      this.tell((each) => each.event(event, this.position, this.#epoch));
    }
    this.#seen = Math.max(this.#seen, upto);
    this.#move(upto);
  }

  /** @param {Reply} message */
  #onSnapshot({ items, upto, time, last }) {
    if (this.#snapshot !== "begun") {
      this.#snapshot = "begun";
      this.tell((each) => each.snapshotBegins());
    }
    for (const item of items) this.tell((each) => each.snapshotItem(item, time, this.#epoch));
    if (!last) return;
    this.#snapshot = "none";
    this.#seen = Math.max(this.#seen, upto);
    this.#move(this.#seen);
    const { position } = this;
    if (position) this.tell((each) => each.snapshotEnds(position));
  }

  /** @param {Reply} message */
  #onReset({ reason, epoch, upto }) {
    this.#epoch = epoch;
    this.#seen = this.#goal = upto;
    this.position = null;
    this.#snapshot = this.options.snapshot ? "awaited" : "none";
    this.#move(upto);
    this.tell((each) => each.reset(String(reason), { epoch, pos: upto }));
  }

  /** Everything up to here has been told; unless a snapshot is still missing parts.
   * @param {number} pos */
  #move(pos) {
    if (this.#snapshot === "none") this.position = { epoch: this.#epoch, pos };
  }
}

/** All subscriptions of one client. */
export class Feeds {
  /** @type {Set<Feed>} */
  #feeds = new Set();
  /**
   * @type {Map<Request, string>} subscriptions that nobody wants any more, and are not answered yet
   */
  #unwanted = new Map();
  #exchange;

  /** @param {import("./exchange.js").Exchange} exchange */
  constructor(exchange) {
    this.#exchange = exchange;
  }

  get size() {
    return this.#feeds.size;
  }

  /** The subscription of this identity, or true where one is just being ended.
   * @param {string} identity
   * @returns {Feed | boolean} */
  find(identity) {
    for (const feed of this.#feeds) if (feed.identity === identity) return feed;
    return [...this.#unwanted.values()].includes(identity);
  }

  /** Have it from now on. @param {Feed} feed */
  add(feed) {
    if (this.#exchange.ended !== null) throw new Unavailable(this.#exchange.ended);
    this.#feeds.add(feed);
    this.#exchange.start();
    if (this.#exchange.connection) this.#exchange.enqueue(this.#request(feed));
  }

  /** And no more. @param {Feed} feed */
  remove(feed) {
    if (!this.#feeds.delete(feed)) return;
    feed.ended = true;
    clearTimeout(feed.timer);
    this.#forgetAsked(feed);
    const { source } = feed;
    if (source === null) return;
    source.feeds.delete(feed.number);
    feed.source = null;
    this.#unsubscribe(source, feed.number);
  }

  /** @param {Feed} feed */
  #forgetAsked(feed) {
    const { asked } = feed;
    feed.asked = null;
    if (!asked) return;
    if (asked.connection?.alive) this.#unwanted.set(asked, feed.identity);
    else asked.tell(new Unavailable("nobody wants it any more")); // so it never leaves
  }

  /** @param {Connection} connection @param {number} number */
  #unsubscribe(connection, number) {
    if (connection !== this.#exchange.connection) return;
    const asked = this.#exchange.ask(
      { op: "unsubscribe", feed: number },
      this.#exchange.settings.timeout,
      "feed",
    );
    asked.catch(() => {}); // then its connection is going, and the feed with it
  }

  /** @param {Feed} feed @returns {Request} */
  #request(feed) {
    const number = this.#exchange.nextNumber();
    const request = new Request(number, feed.fields(), "feed", Infinity);
    request.promise.catch(() => {}); // nobody waits for it
    feed.asked = request;
    return request;
  }

  // -- what connections tell

  /** What is to leave with `hello`: every subscription, from where it is. @param {Connection} _ */
  openingRequests(_) {
    return [...this.#feeds].map((feed) => this.#request(feed));
  }

  /** Only this connection is listened to now. @param {Connection} connection */
  switchTo(connection) {
    for (const feed of this.#feeds) {
      clearTimeout(feed.timer);
      feed.detached();
      if (!this.#isAsked(feed, connection)) this.#exchange.enqueue(this.#request(feed));
    }
  }

  /** @param {Feed} feed @param {Connection} connection */
  #isAsked(feed, connection) {
    return feed.asked !== null && connection.unanswered.get(feed.asked.number) === feed.asked;
  }

  /** @param {Connection} connection @param {Request} request @param {Reply} reply */
  answered(connection, request, reply) {
    if (reply.feed === undefined) return; // that was an `unsubscribe`
    this.#unwanted.delete(request);
    const feed = this.#of(request);
    if (!feed || connection !== this.#exchange.connection) {
      this.#unsubscribe(connection, reply.feed);
      return;
    }
    feed.asked = null;
    connection.feeds.set(reply.feed, feed);
    feed.attached(connection, reply);
  }

  /** @param {Connection} connection @param {Request} request @param {TlruError} error */
  refused(connection, request, error) {
    this.#unwanted.delete(request);
    const feed = this.#of(request);
    if (!feed) return;
    feed.asked = null;
    if (error.code === "wrong_epoch" && feed.position) {
      const position = { epoch: connection.epoch, pos: connection.pos };
      feed.startAnew();
      feed.tell((each) => each.reset("epoch", position));
      this.#again(feed, 0);
    } else this.#refused(feed, error);
  }

  /** @param {Connection} connection @param {Reply} message */
  pushed(connection, message) {
    const feed = connection.feeds.get(message.feed);
    if (!feed || feed.source !== connection) return;
    if (message.push !== "end") {
      feed.take(message);
      return;
    }
    connection.feeds.delete(message.feed);
    feed.detached();
    this.#refused(feed, fromWire(message.error));
  }

  /** @param {Connection} connection */
  lost(connection) {
    for (const request of this.#unwanted.keys()) {
      if (!request.connection?.alive) this.#unwanted.delete(request);
    }
    for (const feed of this.#feeds) if (feed.source === connection) feed.detached();
  }

  /** @param {Request} request */
  #of(request) {
    return [...this.#feeds].find((feed) => feed.asked === request);
  }

  /** It is asked for again, or its listener is told. @param {Feed} feed @param {TlruError} error */
  #refused(feed, error) {
    // A token that has run out ends its feeds; asked for again, they are refused, and by that the
    // keeper hears of it and goes on with another one. However often: whoever gives out tokens
    // also has a bad hour.
    const renews =
      error.code === "unauthenticated" && typeof this.#exchange.settings.token === "function";
    if (renews || error.retry === "same" || error.retry === "other") {
      const { backoffFirst, backoffMost } = this.#exchange.settings.timing;
      const jitter = fullJitter(feed.attempts++, Math.random(), backoffFirst, backoffMost);
      this.#again(feed, jitter + afterOf(error));
      return;
    }
    this.remove(feed);
    feed.tell((each) => each.ended(error));
  }

  /** @param {Feed} feed @param {number} delay seconds */
  #again(feed, delay) {
    clearTimeout(feed.timer);
    feed.timer = setTimeout(() => {
      const { connection } = this.#exchange;
      if (!connection || !this.#feeds.has(feed) || feed.source) return;
      if (!this.#isAsked(feed, connection)) this.#exchange.enqueue(this.#request(feed));
    }, delay * 1000);
  }

  /** The client ends. */
  close() {
    for (const feed of [...this.#feeds]) {
      this.#feeds.delete(feed);
      clearTimeout(feed.timer);
      feed.ended = true;
      feed.detached();
      feed.tell((each) => each.ended(new Unavailable("this client has been closed")));
    }
  }
}
