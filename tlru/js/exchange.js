// @ts-check
/**
 * What is asked and what is answered.
 *
 * It decides when requests leave and what becomes of those that get no reply. Which connection
 * there is, the keeper decides; what a message holds, the outbox; whether to ask again,
 * `retrying.js`.
 *
 * All that is asked in one turn (before the next microtask) leaves as one message. Every request
 * ends in exactly one way. An error never says more than is known: a write that has left may have
 * been done until the node says that it was not; what has never left was certainly not done.
 */

import { USUAL_LIMITS } from "./connection.js";
import { retold, Timeout, Unavailable, UnknownOutcome } from "./errors.js";
import { Feeds } from "./feeds.js";
import { Keeper } from "./keeper.js";
import { Outbox } from "./outbox.js";
import { Request } from "./requests.js";
import { Retries } from "./retrying.js";
import { Session } from "./session.js";
import { now } from "./settings.js";
import { traceOf } from "./tracing.js";

/** @typedef {import("./connection.js").Connection} Connection */
/** @typedef {import("./errors.js").TlruError} TlruError */
/** @typedef {import("./requests.js").Kind} Kind */
/** @typedef {import("./requests.js").Reply} Reply */

const TOO_LARGE_MESSAGE = 1009;
const BACKLOG_MAX = 4 << 20; // bytes that a connection may owe before more is written to it
const LOOK_AGAIN_S = 0.02; // a browser does not tell when they have left

/** The requests of one client. */
export class Exchange {
  session = new Session();
  /** @type {string | null} why it ended */
  ended = null;
  /** @type {Connection | null} */
  connection = null;
  /** How far away the server in use is, in seconds, as last seen. @type {number | null} */
  roundTrip = null;
  #started = false;
  #number = 0;
  #own = 0; // of the numbers, those of hello and ping
  #turnOpen = false;
  /** @type {Map<Request, ReturnType<typeof setTimeout>>} those that will be asked again */
  #pausing = new Map();
  /** @type {Map<Connection, ReturnType<typeof setTimeout>>} those that only answer what they owe */
  #retired = new Map();
  #outbox;
  #retries;

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {() => void} changed is called when what is known of the link has changed
   */
  constructor(settings, changed) {
    this.settings = settings;
    this.changed = changed;
    this.#outbox = new Outbox(this.session);
    this.#retries = new Retries(Math.random, settings.timing, typeof settings.token === "function");
    this.keeper = new Keeper(settings, this);
    this.feeds = new Feeds(this);
  }

  // -- asking

  /**
   * Ask for anything. `bound`: it speaks of versions or positions of this epoch alone.
   * @param {Record<string, any>} fields
   * @param {number} timeout
   * @param {Kind} [kind]
   * @param {{ bound?: boolean, traced?: boolean }} [how] `traced`: it may belong to a trace
   * @returns {Promise<Reply>}
   */
  ask(fields, timeout, kind = "read", { bound = false, traced = true } = {}) {
    this.start();
    if (this.ended !== null) throw new Unavailable(this.ended);
    if (this.connection === null) this.keeper.check(timeout);
    const life = bound ? { epoch: this.session.epoch, bound } : {};
    const request = new Request(++this.#number, fields, kind, now() + timeout, life);
    const { traceparent } = this.settings;
    if (traceparent && traced && request.isWrite) request.trace = traceOf(traceparent());
    request.timer = setTimeout(() => this.#late(request), timeout * 1000);
    this.enqueue(request);
    return request.promise;
  }

  /** A request leaves at the end of this turn. @param {Request} request */
  enqueue(request) {
    this.#outbox.queue.push(request);
    this.#seeToIt();
  }

  /** What the node in service takes; what nodes usually take, where there is none yet. */
  get limits() {
    return this.connection?.limits ?? USUAL_LIMITS;
  }

  /** Cluster time now, in milliseconds, as far as can be told; 0 where nobody has told it yet. */
  clusterMs() {
    return this.session.time ? this.session.clusterMs(now()) : 0;
  }

  /** Begin to connect, unless that has begun. */
  start() {
    if (this.#started || this.ended !== null) return;
    this.#started = true;
    this.keeper.run();
    this.changed();
  }

  get started() {
    return this.#started;
  }

  #seeToIt() {
    if (this.#turnOpen) return;
    this.#turnOpen = true;
    queueMicrotask(() => this.#flush());
  }

  #flush() {
    this.#turnOpen = false;
    const { connection } = this;
    if (connection === null) {
      this.#outbox.compact();
      return;
    }
    while (this.#outbox.queue.length) {
      if (connection.backlog > BACKLOG_MAX) {
        setTimeout(() => this.#seeToIt(), LOOK_AGAIN_S * 1000);
        return;
      }
      const texts = this.#outbox.take(connection, now());
      if (!texts.length) return;
      connection.send(texts);
    }
  }

  // -- what connections report

  /** @param {Connection} connection */
  answered(connection) {
    this.session.saw(connection.epoch, connection.pos, connection.time, connection.heard);
    if (this.#outbox.queue.length) this.#seeToIt();
    if (this.#retired.has(connection) && !connection.unanswered.size) connection.close();
  }

  /** @param {Connection} connection @param {Request} request @param {Reply} reply */
  settle(connection, request, reply) {
    this.#outbox.letGo(request);
    if (request.kind === "feed") this.feeds.answered(connection, request, reply);
  }

  /** @param {Connection} connection @param {Request} request @param {TlruError} error */
  refused(connection, request, error) {
    if (this.keeper.refused(connection, error)) this.#retire(connection);
    if (request.kind === "feed") {
      this.feeds.refused(connection, request, error);
      return;
    }
    const delay = request.settled
      ? null
      : this.#retries.delay(request, error, this.#asked, now());
    if (delay === null) {
      this.#outbox.letGo(request);
      request.tell(error);
    } else {
      const again = () => {
        this.#pausing.delete(request);
        this.enqueue(request);
      };
      this.#pausing.set(request, setTimeout(again, delay * 1000));
    }
  }

  /** What is not known is ignored, as the protocol asks.
   * @param {Connection} connection @param {Reply} message */
  pushed(connection, message) {
    if (message.push === "goaway") this.keeper.goAway(connection, message);
    else if (message.push === "servers") this.keeper.learn(message.servers, message.leader);
    else if (message.push) this.feeds.pushed(connection, message);
  }

  /** @param {Connection} connection */
  lost(connection) {
    if (connection === this.connection) this.connection = null;
    clearTimeout(this.#retired.get(connection));
    this.#retired.delete(connection);
    if (connection.end.code === TOO_LARGE_MESSAGE) this.#outbox.split(connection.sentLargest);
    if (this.ended !== null) return;
    const unanswered = [...connection.unanswered.values()];
    connection.unanswered.clear();
    for (const request of unanswered) request.connection = null;
    const why = `${connection.url}: ${connection.end.problem}`;
    // What may be asked again is, before all others.
    this.#outbox.putBack(unanswered.filter((request) => this.#mayRepeat(request, why)));
    this.#outbox.forgetFeeds();
    this.feeds.lost(connection);
    this.keeper.lost(connection);
    if (this.#outbox.queue.length) this.#seeToIt();
    this.changed();
  }

  /** @param {Request} request @param {string} why */
  #mayRepeat(request, why) {
    if (request.kind === "feed") return false;
    let told = why;
    if (!request.settled && request.kind !== "plain") {
      if (this.#retries.repeat(request, this.#asked, now())) return true;
      told = `${why}, as others before it`;
    }
    this.#outbox.letGo(request);
    const kind = request.isWrite ? UnknownOutcome : Unavailable;
    request.tell(new kind(`${request.what} was sent, and never answered: ${told}`));
    return false;
  }

  // -- what the keeper asks and reports

  /** How many requests callers have made. */
  get #asked() {
    return this.#number - this.#own;
  }

  /** A number for a request that no caller has made. */
  nextNumber = () => {
    this.#own += 1;
    return ++this.#number;
  };

  /** @param {Connection} connection */
  openingRequests(connection) {
    return this.feeds.openingRequests(connection);
  }

  /** @param {string} epoch */
  hasLeft(epoch) {
    return this.session.hasLeft(epoch);
  }

  isWanted() {
    return this.feeds.size > 0;
  }

  /** This connection is in service now; the one before answers what it owes, and closes.
   * @param {Connection} connection */
  takeUp(connection) {
    if (this.connection) this.#retire(this.connection);
    this.session.enter(connection.epoch);
    this.session.saw(connection.epoch, connection.pos, connection.time, connection.heard);
    this.connection = connection;
    // What `hello` took is a way and back too, as long as nothing better is known.
    this.roundTrip = this.keeper.servers.roundTrip(connection.url) ?? connection.greetedIn;
    this.#outbox.forgetFeeds();
    this.feeds.switchTo(connection);
    connection.adopt(this);
    if (!connection.alive) this.lost(connection); // between its greeting and this very moment
    this.#seeToIt();
    this.changed();
  }

  /** Nobody will open a connection for those who wait. @param {TlruError} error */
  giveUp(error) {
    const waiting = this.#outbox.queue;
    this.#outbox.queue = [];
    for (const request of waiting) this.#unsent(request, error);
  }

  /** @param {Connection} connection */
  #retire(connection) {
    if (this.#retired.has(connection)) return;
    if (connection === this.connection) this.connection = null;
    const patience = this.settings.timing.drain * 1000;
    this.#retired.set(connection, setTimeout(() => connection.close(), patience));
    if (!connection.unanswered.size) connection.close();
  }

  /** Seconds that the server in service takes to answer. @param {number} timeout */
  async ping(timeout) {
    const since = now();
    await this.ask({ op: "ping" }, timeout, "ask");
    this.roundTrip = now() - since;
    this.changed();
    return this.roundTrip;
  }

  /** There is another token. What the one before had allowed is asked no more of anybody. */
  renew() {
    if (!this.#started || this.ended !== null) return;
    if (this.connection) this.#retire(this.connection);
    this.keeper.renew();
    this.changed();
  }

  // -- time

  /** Its time is up. @param {Request} request */
  #late(request) {
    const { connection } = request;
    if (connection === null) {
      this.#unsent(request, this.#whyUnsent());
      return;
    }
    // It stays known, since its reply may still come.
    const what = `${request.what} was not answered in time by ${connection.url}`;
    request.tell(new Timeout(what, {}, { retry: request.isWrite ? "unknown" : "no" }));
    this.#doubt(connection);
  }

  #whyUnsent() {
    if (this.connection === null) {
      return new Unavailable(`no server in time; ${this.keeper.servers.told()}`);
    }
    return new Timeout("there was no room for it in time", {}, { retry: "no" });
  }

  /** Somebody waited in vain; is it the node as a whole? @param {Connection} connection */
  #doubt(connection) {
    const { timing, timeout } = this.settings;
    if (connection.owesAWord) connection.suspect(Math.max(timing.doubt, timeout));
    const { unanswered, limits } = connection;
    if (unanswered.size < limits.in_flight) return;
    // It answers nothing of all that it may be asked at once.
    if ([...unanswered.values()].every((request) => request.settled)) connection.abort();
  }

  /** It is on no connection, and nobody will send it any more.
   * @param {Request} request @param {TlruError} error */
  #unsent(request, error) {
    this.#outbox.letGo(request);
    clearTimeout(this.#pausing.get(request));
    this.#pausing.delete(request);
    if (request.mayBeDone) {
      const what = `${request.what} was sent, and its result never came: ${error.message}`;
      request.tell(new UnknownOutcome(what));
    } else if (request.refusal && error instanceof Timeout) {
      request.tell(request.refusal); // it says more than that there was no time left
    } else {
      request.tell(retold(error, `${request.what} was not done: ${error.message}`));
    }
  }

  // -- ends

  /** End it, say goodbye to the node, and tell everybody who waits. */
  close() {
    if (this.ended !== null) return;
    const problem = "this client has been closed";
    this.ended = problem;
    this.keeper.close();
    this.feeds.close();
    const connections = [...this.#retired.keys(), ...(this.connection ? [this.connection] : [])];
    for (const timer of this.#retired.values()) clearTimeout(timer);
    for (const connection of connections) {
      for (const request of connection.unanswered.values()) {
        const kind = request.isWrite ? UnknownOutcome : Unavailable;
        request.tell(new kind(`${request.what} was sent, and not answered yet: ${problem}`));
      }
      connection.close();
    }
    this.connection = null;
    for (const request of [...this.#outbox.queue, ...this.#pausing.keys()]) {
      this.#unsent(request, new Unavailable(problem));
    }
    this.#outbox.queue = [];
    this.changed();
  }
}
