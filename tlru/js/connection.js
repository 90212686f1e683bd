// @ts-check
/**
 * One connection to a node: what was asked of it, and the replies that settle it.
 *
 * It decides when the other side is no longer believed alive. What happens to requests that it
 * leaves unanswered, and where the next connection goes, is its owner's business. Until it has one,
 * what comes is held.
 *
 * A request that was sent stays in `unanswered` until its reply has come or the connection is lost;
 * the owner hears of the loss exactly once, whatever ended it.
 */

import { afterInReason, TOO_FAST } from "./coming_back.js";
import {
  Forbidden,
  fromWire,
  RateLimited,
  TlruError,
  Unauthenticated,
  Unavailable,
} from "./errors.js";
import { Pulse } from "./pulse.js";
import { bytesIn, write } from "./requests.js";
import { now } from "./settings.js";
import { FEATURE } from "./tracing.js";

/** @typedef {import("./requests.js").Reply} Reply */
/** @typedef {import("./requests.js").Request} Request */
/** @typedef {import("./settings.js").Settings} Settings */

const PROTOCOL = "tlru.v1.json";
const NORMAL = 1000;
const ABNORMAL = 1006;
const NOT_ALLOWED = 1008;
const NOT_AUTHENTICATED = 4401;
const HELD_MAX = 10_000; // messages that a node may send before its connection is taken up

/** What a node takes, where its `hello` does not say: the protocol's own limits. */
export const USUAL_LIMITS = Object.freeze({
  message_bytes: 4 << 20,
  batch: 1024,
  in_flight: 4096,
  keys: 10_000,
  scan: 1000,
  feeds: 1024,
});
/** @typedef {typeof USUAL_LIMITS} Limits */

/**
 * What the bearer of a token may do: the prefixes of the keys and channels that each right is for;
 * an empty one is for all.
 * @typedef {object} Rights
 * @property {string[]} read
 * @property {string[]} write
 * @property {string[]} subscribe
 * @property {string[]} publish
 * @property {boolean} admin
 */

/**
 * Who is told what a connection meets.
 * @typedef {object} Owner
 * @property {(connection: Connection) => void} answered replies have come
 * @property {(connection: Connection, request: Request, reply: Reply) => void} settle it is done
 * @property {(connection: Connection, request: Request, error: TlruError) => void} refused
 * @property {(connection: Connection, message: Reply) => void} pushed
 * @property {(connection: Connection) => void} lost nothing more will come
 */

/** A connection from its first byte to its last. */
export class Connection {
  limits = USUAL_LIMITS;
  epoch = "";
  takesTraces = false;
  /** @type {Rights | null} */
  may = null;
  node = "";
  // This node has itself answered with these, so it is there.
  pos = 0;
  time = 0;
  /** @type {Map<number, Request>} */
  unanswered = new Map();
  /** @type {Map<number, import("./feeds.js").Feed>} */
  feeds = new Map();
  alive = true;
  heard = now();
  owesAWord = false; // something was sent, and nothing has been heard since
  sentLargest = 0;
  /** Seconds from `hello` to its answer. @type {number | null} */
  greetedIn = null;
  end = { code: ABNORMAL, problem: "the connection was closed", after: 0 };

  /** @type {WebSocket} */
  #socket;
  /** @type {Owner | null} */
  #owner = null;
  /** @type {Reply[]} */
  #held = [];
  /**
   * @type {{ number: number, resolve(reply: Reply): void, reject(e: TlruError): void } | null}
   */
  #hello = null;
  #greetedAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Pulse | null} */
  #pulse = null;
  #nextNumber;
  #timing;
  #problem = "";

  /**
   * @param {string} url
   * @param {Settings} settings
   * @param {() => number} nextNumber for requests of the connection's own
   */
  constructor(url, settings, nextNumber) {
    this.url = url;
    this.#timing = settings.timing;
    this.#nextNumber = nextNumber;
    try {
      this.#socket = new settings.WebSocket(url, [PROTOCOL]);
    } catch (error) {
      throw new Unavailable(`it is no address that can be asked for: ${wordsOf(error)}`);
    }
    this.#socket.addEventListener("message", ({ data }) => this.#receive(data));
    this.#socket.addEventListener("error", (event) => {
      this.#problem = /** @type {any} */ (event).message || this.#problem;
    });
    this.#socket.addEventListener("close", ({ code, reason }) => this.#closed(code, reason));
  }

  // -- what its owner does with it

  /**
   * Say hello, and whatever else is to leave with it, as soon as it is open; what the node answers.
   * @param {{ token: string | null, client: string }} who
   * @param {() => Request[]} others
   * @param {number} patience
   * @returns {Promise<Reply>}
   */
  greet(who, others, patience) {
    return new Promise((resolve, reject) => {
      const number = this.#nextNumber();
      this.#hello = { number, resolve, reject };
      this.#arm(patience, () => {
        this.#lose(ABNORMAL, `it did not answer within ${patience} s`);
        this.#drop();
      });
      this.#socket.addEventListener("open", () => {
        this.#greetedAt = now();
        this.send([write({ id: number, op: "hello", ...who }), ...this.#written(others())]);
      });
    });
  }

  /** @param {Request[]} requests */
  #written(requests) {
    for (const request of requests) this.noteSent(request);
    return requests.map((request) => request.text);
  }

  /** This request is on its way. @param {Request} request */
  noteSent(request) {
    request.connection = this;
    this.unanswered.set(request.number, request);
  }

  /**
   * From now on this is told what comes; and at once what has come already.
   * @param {Owner} owner
   */
  adopt(owner) {
    this.#owner = owner;
    if (this.alive) {
      this.#pulse = new Pulse(this.#timing.pingAfter, this.#timing.pongWithin);
      this.#look();
    }
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.#take(message);
    if (held.length) owner.answered(this);
  }

  /** Send these as one message. @param {string[]} texts */
  send(texts) {
    const message = texts.join("\n");
    this.sentLargest = Math.max(this.sentLargest, bytesIn(message));
    this.owesAWord = true;
    if (this.#socket.readyState === 1) this.#socket.send(message);
  }

  /** Bytes that have not left yet, since the node reads more slowly than they are written. */
  get backlog() {
    return this.#socket.bufferedAmount ?? 0;
  }

  /** Somebody has waited in vain: be heard within so many seconds, or be given up.
   * @param {number} within */
  suspect(within) {
    if (this.#pulse && this.alive) this.#obey(this.#pulse.ask(within, this.heard, now()));
  }

  /** Say goodbye; the node has a moment to close in turn. */
  close() {
    this.#pulse = null;
    clearTimeout(this.#timer);
    if (this.#socket.readyState >= 2) return;
    this.#socket.close(NORMAL);
    this.#arm(this.#timing.close, () => this.abort());
  }

  /** End it without waiting for anybody. */
  abort() {
    this.#lose(ABNORMAL, "the connection was given up");
    this.#drop();
  }

  // -- what comes

  /** @param {unknown} data */
  #receive(data) {
    if (!this.alive) return;
    this.heard = now();
    this.owesAWord = false;
    try {
      if (typeof data !== "string") throw new TypeError("it sent bytes where text was agreed on");
      for (const line of data.split("\n")) if (line) this.#take(JSON.parse(line));
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
      this.#lose(ABNORMAL, `what it sent makes no sense: ${wordsOf(error)}`);
      this.#drop();
      return;
    }
    this.#owner?.answered(this);
  }

  /** @param {Reply} message */
  #take(message) {
    if (this.#hello && message.id === this.#hello.number) {
      this.#onHello(message);
    } else if (!this.#owner) {
      this.#held.push(message);
      if (this.#held.length > HELD_MAX) throw new TypeError("it said too much before its hello");
    } else {
      this.#deliver(this.#owner, message);
    }
  }

  /** @param {Owner} owner @param {Reply} message */
  #deliver(owner, message) {
    const request = this.unanswered.get(message.id);
    if (request === undefined) {
      owner.pushed(this, message);
      return;
    }
    this.unanswered.delete(message.id);
    request.connection = null;
    this.#note(message);
    if (message.ok === true) {
      owner.settle(this, request, message);
      request.succeed(message);
    } else {
      owner.refused(this, request, fromWire(message.error));
    }
  }

  /** How far the node has come. @param {Reply} message */
  #note({ pos, time }) {
    if (typeof pos === "number" && pos > this.pos) this.pos = pos;
    if (typeof time === "number" && time > this.time) this.time = time;
  }

  /** @param {Reply} message */
  #onHello(message) {
    const hello = this.#hello;
    this.#hello = null;
    clearTimeout(this.#timer);
    if (message.ok !== true) {
      hello?.reject(fromWire(message.error));
      this.close();
      return;
    }
    if (typeof message.epoch !== "string") throw new TypeError("its hello names no epoch");
    this.epoch = message.epoch;
    this.greetedIn = now() - this.#greetedAt;
    this.node = String(message.node ?? "");
    this.limits = limitsOf(message.limits);
    this.may = rightsOf(message.may);
    this.takesTraces = Array.isArray(message.features) && message.features.includes(FEATURE);
    this.#note(message);
    hello?.resolve(message);
  }

  // -- ends

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    clearTimeout(this.#timer);
    const words = reason ? `: ${reason}` : "";
    const closed = `it closed (${code}${words})`;
    const told = code === ABNORMAL ? "it broke off, or cannot be reached" : closed;
    this.#lose(code, this.#problem || told, afterInReason(reason));
  }

  /** @param {number} code @param {string} problem @param {number} [after] */
  #lose(code, problem, after = 0) {
    if (!this.alive) return;
    this.alive = false;
    this.end = { code, problem, after };
    clearTimeout(this.#timer);
    const hello = this.#hello;
    this.#hello = null;
    hello?.reject(refusalOf(code, problem, after));
    this.#owner?.lost(this);
  }

  #drop() {
    // A socket of Node.js can be cut off; a browser's is left to close by itself.
    const socket = /** @type {any} */ (this.#socket);
    if (typeof socket.terminate === "function") socket.terminate();
    else if (this.#socket.readyState < 2) this.#socket.close();
  }

  // -- silence

  #look() {
    if (this.#pulse) this.#obey(this.#pulse.look(this.heard, now()));
  }

  /** @param {import("./pulse.js").Verdict} verdict */
  #obey({ what, again }) {
    if (what === "give up") {
      this.#lose(ABNORMAL, `it has been silent for ${(now() - this.heard).toFixed(1)} s`);
      this.#drop();
      return;
    }
    if (what === "ask") this.send([write({ id: this.#nextNumber(), op: "ping" })]);
    this.#arm(again, () => this.#look());
  }

  /** @param {number} seconds @param {() => void} act */
  #arm(seconds, act) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, seconds * 1000);
  }
}

/** @param {any} told @returns {Limits} */
function limitsOf(told) {
  const found = /** @type {Record<string, number>} */ ({ ...USUAL_LIMITS });
  for (const name of Object.keys(found)) {
    const limit = told?.[name];
    if (Number.isSafeInteger(limit) && limit > 0) found[name] = limit;
  }
  return /** @type {any} */ (found);
}

/** @param {any} told @returns {Rights | null} */
function rightsOf(told) {
  if (typeof told !== "object" || told === null) return null;
  const prefixes = (/** @type {any} */ given) =>
    Array.isArray(given) ? given.filter((each) => typeof each === "string") : [];
  const { read, write, subscribe, publish } = told;
  return {
    read: prefixes(read),
    write: prefixes(write),
    subscribe: prefixes(subscribe),
    publish: prefixes(publish),
    admin: told.admin === true,
  };
}

/** @param {number} code @param {string} problem @param {number} after */
function refusalOf(code, problem, after) {
  if (code === NOT_AUTHENTICATED) return new Unauthenticated(problem);
  if (code === NOT_ALLOWED) return new Forbidden(problem);
  if (code === TOO_FAST) return new RateLimited(problem, { after });
  return new Unavailable(problem, { after });
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}
