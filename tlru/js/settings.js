// @ts-check
/**
 * What a client was asked to be: its servers, its patience and its bounds. Every time is in
 * seconds, as everywhere in the protocol.
 */

import { BadRequest } from "./errors.js";
import { DEFAULT_CACHE, named } from "./server.js";

/** @typedef {import("./server.js").Server} Server */
/** @typedef {import("./tracing.js").TraceNow} TraceNow */
/**
 * What is known of a WebSocket class: the browser's own, or one that is given.
 * @typedef {new (url: string, protocols?: string | string[]) => WebSocket} SocketClass
 */
/** @typedef {string | (() => string | null | Promise<string | null>) | null} Token */

/**
 * @typedef {object} Storage what keeps a text under a name: `localStorage`, or whatever is like it
 * @property {(name: string) => string | null} getItem
 * @property {(name: string, text: string) => void} setItem
 */

/**
 * What `connect` may be told.
 * @typedef {object} Options
 * @property {Token} [token] a token, or what fetches one anew
 * @property {number} [timeout] seconds that a call may take (2)
 * @property {string} [cache] the named cache ("default")
 * @property {SocketClass} [WebSocket] the class to use where there is no global one (Node.js 20)
 * @property {Storage} [storage] where the last list of servers is kept, such as `localStorage`
 * @property {string} [region] the client's own: servers there are preferred among equally near ones
 * @property {string} [zone]
 * @property {string} [prefix] goes before every key and channel
 * @property {boolean} [exactlyOnce] whether every write bears a name, or none does
 * @property {TraceNow | null} [traceparent] gives the trace that a write belongs to, where it is
 *   asked for
 * @property {string} [name] how the client calls itself
 * @property {Partial<typeof TIMING>} [timing]
 */

/** Of this client: that of the release it belongs to. */
export const VERSION = "0.1.0";

/** How long things may take, in seconds. */
export const TIMING = Object.freeze({
  open: 5, // name lookup, TCP, TLS, upgrade and hello together
  openElsewhere: 1.5, // the same, while there are others that have not been tried yet
  pingAfter: 15, // heard nothing for so long: ask
  pongWithin: 10, // still nothing: go elsewhere
  doubt: 1, // a request was in vain: the least time for a sign of life after that
  close: 1, // for the node to close in turn
  drain: 5, // for answers that a connection out of service still owes
  backoffFirst: 0.1,
  backoffMost: 20,
  steady: 10, // in service for so long: the next trouble is a new one
  measureFirst: 5, // between the first few measurements of the ways to servers
  measureEvery: 60, // and between those after them
});

/**
 * @typedef {object} Settings
 * @property {Server[]} servers
 * @property {Token} token
 * @property {number} timeout
 * @property {string} cache
 * @property {SocketClass} WebSocket
 * @property {Storage | null} storage
 * @property {string} region
 * @property {string} zone
 * @property {string} prefix
 * @property {boolean | null} exactlyOnce
 * @property {TraceNow | null} traceparent
 * @property {string} name
 * @property {typeof TIMING} timing
 */

/**
 * The settings that options stand for; `BadRequest` says what of them makes no sense.
 * @param {string | Iterable<string | import("./server.js").Named>} servers
 * @param {Options} options
 * @returns {Settings}
 */
export function settingsOf(servers, options) {
  const { token = null, timeout = 2, cache = DEFAULT_CACHE, storage = null } = options;
  const { region = "", zone = "", prefix = "", exactlyOnce = null } = options;
  const { traceparent = null } = options;
  const Socket = options.WebSocket ?? globalThis.WebSocket;
  if (typeof Socket !== "function") {
    throw new BadRequest(
      "there is no WebSocket class here: give one, as in connect(urls, { WebSocket })",
    );
  }
  if (!(timeout > 0 && Number.isFinite(timeout))) {
    throw new BadRequest(`a timeout is a number of seconds above 0, not ${timeout}`);
  }
  if (traceparent !== null && typeof traceparent !== "function") {
    throw new BadRequest("traceparent is a function that gives the trace of each write");
  }
  const found = named(typeof servers === "string" ? [servers] : servers, cache);
  if (!found.length && !storage) throw new BadRequest("name at least one server");
  return {
    servers: found,
    token,
    timeout,
    cache,
    WebSocket: Socket,
    storage,
    region,
    zone,
    prefix,
    exactlyOnce,
    traceparent,
    name: options.name ?? `tlru-js/${VERSION}`,
    timing: { ...TIMING, ...options.timing },
  };
}

/** Seconds by a clock that only goes forward. */
export function now() {
  return performance.now() / 1000;
}
