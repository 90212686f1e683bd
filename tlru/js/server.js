// @ts-check
/**
 * One server: where it is, and what is known of its place in the cluster. Pure.
 *
 * A mistyped address is told to the program when `connect` is called; of what a cluster or a
 * storage tells, whatever makes no sense is left out, and an entry without a usable address names
 * no server.
 */

import { BadRequest } from "./errors.js";

export const DEFAULT_URL = "ws://127.0.0.1:8400";
export const DEFAULT_CACHE = "default";
const DEFAULT_PATH = "/ws";
const URL_CHARS_MAX = 2048;
const WORD_CHARS_MAX = 256; // of an id, a region and the like
const PRIORITY = 100;
const WEIGHT = 1;
/** A page's own address may be given as it is. */
const SCHEMES = /** @type {Record<string, string>} */ ({
  "ws:": "ws:",
  "wss:": "wss:",
  "http:": "ws:",
  "https:": "wss:",
});

/**
 * @typedef {object} Server
 * @property {string} url
 * @property {string} region
 * @property {string} zone
 * @property {number} priority
 * @property {number} weight
 * @property {string} id the node behind the address, as its cluster calls it
 * @property {string} role
 * @property {string} status
 */

/** @typedef {Partial<Server> & { url: string }} Named a server as a program may name it */

/**
 * The address in full: the usual path where none is given, and which cache is meant.
 * @param {string} url
 * @param {string} cache
 * @returns {string}
 */
export function completeUrl(url, cache) {
  const quoted = JSON.stringify(String(url).slice(0, 100));
  const wrong = (/** @type {string} */ why) =>
    new BadRequest(`${quoted} is no address of a server: ${why}`);
  let parts;
  try {
    // Relative to the page, where there is one.
    parts = new URL(url, globalThis.location?.href);
  } catch {
    throw wrong(`write it like ${DEFAULT_URL}`);
  }
  const scheme = SCHEMES[parts.protocol];
  if (scheme === undefined || !parts.hostname) throw wrong(`write it like ${DEFAULT_URL}`);
  if (parts.username || parts.password) throw wrong("pass credentials as `token`");
  if (parts.hash) throw wrong("it has a fragment (#)");
  const path = parts.pathname === "/" ? DEFAULT_PATH : parts.pathname;
  const query = new URLSearchParams(parts.search);
  if (cache !== DEFAULT_CACHE && !query.has("cache")) query.append("cache", cache);
  const asked = query.toString();
  return `${scheme}//${parts.host}${path}${asked ? `?${asked}` : ""}`;
}

/**
 * What a program names, with the addresses in full, each once; `BadRequest` for a bad one.
 * @param {Iterable<string | Named>} servers
 * @param {string} cache
 * @returns {Server[]}
 */
export function named(servers, cache) {
  /** @type {Map<string, Server>} */
  const found = new Map();
  for (const each of servers) {
    const entry = typeof each === "string" ? { url: each } : each;
    const url = completeUrl(entry.url, cache);
    if (!found.has(url)) found.set(url, withUsual(entry, url));
  }
  return [...found.values()];
}

/**
 * The server that an entry of a list speaks of; null where it names none.
 * @param {any} entry
 * @param {string} cache
 * @returns {Server | null}
 */
export function parse(entry, cache) {
  if (typeof entry !== "object" || entry === null) return null;
  if (typeof entry.url !== "string" || entry.url.length > URL_CHARS_MAX) return null;
  try {
    return withUsual(entry, completeUrl(entry.url, cache));
  } catch {
    return null;
  }
}

/** @param {any} entry @param {string} url @returns {Server} */
function withUsual(entry, url) {
  return {
    url,
    region: word(entry.region),
    zone: word(entry.zone),
    priority: Math.floor(numberFrom(entry.priority, PRIORITY)),
    weight: numberFrom(entry.weight, WEIGHT),
    id: word(entry.id),
    role: word(entry.role),
    status: word(entry.status),
  };
}

/** @param {any} given */
function word(given) {
  return typeof given === "string" && given.length <= WORD_CHARS_MAX ? given : "";
}

/** @param {any} given @param {number} usual */
function numberFrom(given, usual) {
  return typeof given === "number" && given >= 0 && given < 2 ** 53 ? given : usual;
}
