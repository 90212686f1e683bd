// @ts-check
/** What a subscriber asks to see: one key, the keys with a prefix, or channels likewise. Pure. */

import { BadRequest } from "./errors.js";

/**
 * The shorthand `price:EUR`, `price:*`, `*` (all keys), `#news`, `#news:*`, `#*` (all channels), or
 * one of these by name, for names that end in a star or begin with a #.
 * @typedef {string | { key: string } | { prefix: string } | { channel: string }
 *   | { channelPrefix: string }} Pattern
 */

/** @type {Record<string, string>} as the protocol calls them */
const NAMES = { key: "key", prefix: "prefix", channel: "channel", channelPrefix: "channel_prefix" };

/**
 * The fields of `subscribe` that ask for it, within a part of the cache.
 * @param {Pattern} pattern
 * @param {string} own the prefix of the part
 * @returns {Record<string, string>}
 */
export function selector(pattern, own) {
  const named = typeof pattern === "string" ? parse(pattern) : pattern;
  const given = Object.entries(named ?? {});
  if (given.length !== 1 || !Object.hasOwn(NAMES, given[0][0]) || typeof given[0][1] !== "string") {
    throw new BadRequest("watch a pattern, or one of key, prefix, channel, channelPrefix");
  }
  const [[name, text]] = given;
  return { [NAMES[name]]: own + text };
}

/** @param {string} short @returns {Record<string, string>} */
function parse(short) {
  const channels = short.startsWith("#");
  const text = channels ? short.slice(1) : short;
  if (text.endsWith("*")) return { [channels ? "channelPrefix" : "prefix"]: text.slice(0, -1) };
  return { [channels ? "channel" : "key"]: text };
}
