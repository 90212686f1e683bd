// @ts-check
/**
 * What replies and events mean to a caller: items, outcomes of writes, changes. Pure.
 *
 * A position is told as a text (`epoch-pos`) that can be stored anywhere and given back later.
 */

import { BadRequest, BadValue, Internal } from "./errors.js";
import { decode } from "./values.js";

/** @typedef {import("./requests.js").Reply} Reply */
/** @typedef {import("./feeds.js").Position} Position */

/**
 * A value and what the cache knows of it.
 * @typedef {object} Item
 * @property {any} value
 * @property {number} version the place in the log of the write that last changed it
 * @property {Date | null} at when it was last set, by the cluster's clock
 * @property {number | null} ttl seconds that were left to it then; null where it has no end
 * @property {number | string | null} rev the source's own revision, if it was set with one
 * @property {string | null} mime
 */

/**
 * What became of a write.
 * @typedef {object} Written
 * @property {boolean} applied
 * @property {number | null} version the write's own, or that of what is there instead
 * @property {Item | null} current what is there, where the write was not applied because of it
 * @property {any} old what was there before, where `old: true` asked for it
 */

/**
 * Something that happened, as a subscriber is told it.
 *
 * `set` (also by `incr` and `setMany`), `touch` (a new life), `delete`, `expire`, `evict`, `clear`
 * (`key` is the prefix), `message` (`key` is the channel). And of the feed itself: `snapshot` (all
 * that there is has been told; keys that were not are gone), `reset` (events were missed; see
 * `reason`) and `end` (nothing more will come; see `error`).
 * @typedef {object} Change
 * @property {string} type
 * @property {string} key
 * @property {any} value
 * @property {number} version
 * @property {Date | null} at
 * @property {number | null} ttl seconds of life from `at` on; null where it has no end
 * @property {Date | null} expires
 * @property {number | string | null} rev
 * @property {string | null} mime
 * @property {number} folded how many events this one stands for
 * @property {boolean} snapshot whether it tells what there is, rather than what happened
 * @property {string | null} position from where to go on, if this has been seen to
 * @property {string} reason
 * @property {import("./errors.js").TlruError | null} error why there is no value, or no feed
 */

/** The text of a position. @param {Position | null} position */
export function positionText(position) {
  return position && `${position.epoch}-${position.pos}`;
}

/**
 * The position that a text, or whatever it was stored as, stands for.
 * @param {string | Position | null | undefined} stored
 * @returns {Position | null}
 */
export function positionOf(stored) {
  if (stored === null || stored === undefined) return null;
  if (typeof stored === "object") return { epoch: stored.epoch, pos: stored.pos };
  const found = /^(.{1,64})-(\d{1,16})$/.exec(stored);
  if (!found) throw new BadRequest(`${JSON.stringify(stored.slice(0, 80))} is no position`);
  return { epoch: found[1], pos: Number(found[2]) };
}

/** The instant that a number of milliseconds of cluster time stands for. @param {any} ms */
export function moment(ms) {
  return typeof ms === "number" ? new Date(ms) : null;
}

/** A value of a reply; what cannot be read says under which key it stands.
 * @param {string} key @param {any} shown */
export function value(key, shown) {
  try {
    return decode(shown);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    const what = `what is kept under ${JSON.stringify(key)} cannot be read`;
    throw new BadValue(`${what}: ${error.message}`);
  }
}

/** The item that a reply shows. @param {string} key @param {Reply} found @returns {Item} */
export function item(key, found) {
  return {
    value: value(key, part(found, "value")),
    version: part(found, "version"),
    at: moment(found.at),
    ttl: found.ttl ?? null,
    rev: found.rev ?? null,
    mime: found.mime ?? null,
  };
}

/**
 * What became of a write that may have had conditions. A reply to `ack: "none"` or `"leader"` says
 * nothing: such a write has no condition to fail.
 * @param {string} key @param {Reply} reply
 * @returns {Written}
 */
export function written(key, reply) {
  const applied = reply.applied ?? true;
  return {
    applied,
    version: reply.version ?? null,
    current: !applied && "value" in reply ? item(key, reply) : null,
    old: applied && reply.old !== undefined ? value(key, reply.old) : null,
  };
}

/** What a reply has to have. @param {Reply} reply @param {string} name */
export function part(reply, name) {
  if (reply[name] === undefined) throw new Internal(`the node's reply lacks ${name}`);
  return reply[name];
}

/** What a node tells of itself, without what belongs to the reply. @param {Reply} reply */
export function facts(reply) {
  const { id: _, ok: __, ...rest } = reply;
  return rest;
}

/**
 * What a subscriber is told of an event, or of an item of a snapshot.
 * @param {Reply} event
 * @param {{ key: string, since: number, snapshot?: boolean, position?: Position | null }} more
 *   `since`: from which cluster time on its life counts
 * @returns {Change}
 */
export function change(event, { key, since, snapshot = false, position = null }) {
  const { ttl = null } = event;
  const told = {
    ...blank(event.type ?? "set"),
    key,
    version: event.version,
    at: moment(event.at),
    ttl,
    expires: ttl === null ? null : moment(since + ttl * 1000),
    rev: event.rev ?? null,
    mime: event.mime ?? null,
    folded: event.folded ?? 1,
    snapshot,
    position: positionText(position),
  };
  if (event.value === undefined) return told;
  try {
    told.value = value(key, event.value);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    told.error = error; // one value that cannot be read must not end a feed
  }
  return told;
}

/** A change with nothing in it yet. @param {string} type @returns {Change} */
export function blank(type) {
  return {
    type,
    key: "",
    value: undefined,
    version: 0,
    at: null,
    ttl: null,
    expires: null,
    rev: null,
    mime: null,
    folded: 1,
    snapshot: false,
    position: null,
    reason: "",
    error: null,
  };
}
