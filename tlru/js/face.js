// @ts-check
/**
 * A cache, or the part of it whose keys begin with a prefix, as a program sees it.
 *
 * Which writes bear a name by default: all whose repetition could do harm that nobody notices. A
 * plain `set` has none: it says what the value is, and names are remembered by the whole cluster
 * for a while, in a table that is bounded.
 */

import { BadRequest, Internal, TooLarge } from "./errors.js";
import { Fill } from "./filling.js";
import { Lock } from "./lock.js";
import { Mirror } from "./mirror.js";
import { Text, write } from "./requests.js";
import * as results from "./results.js";
import { subscribe } from "./subscribing.js";
import { decode, encode } from "./values.js";

/** @typedef {import("./patterns.js").Pattern} Pattern */
/** @typedef {import("./requests.js").Reply} Reply */
/** @typedef {import("./results.js").Change} Change */
/** @typedef {import("./results.js").Item} Item */
/** @typedef {import("./results.js").Written} Written */

/** @typedef {"local" | "linear" | "any"} Read */
/** @typedef {"none" | "leader" | "quorum" | "all"} Ack */
/** @typedef {"absent" | "present" | number | { unchanged: number }} Condition */
/**
 * @typedef {object} Reading
 * @property {Read} [read]
 * @property {number} [timeout] seconds
 */
/**
 * @typedef {object} Writing
 * @property {Ack} [ack]
 * @property {number} [timeout] seconds
 * @property {boolean} [exactlyOnce]
 */
/**
 * @typedef {object} Setting
 * @property {number | null} [ttl] seconds; null is no end; not given, it is this part's own
 * @property {Condition} [if] only if this holds
 * @property {number | string} [rev] the source's own revision: applied only over a lower one
 * @property {boolean} [keepTtl] leave the life that is there
 * @property {boolean} [old] give back what was there before
 * @property {string} [mime]
 */

// The node is given this much of a write's time, so that it can still say what became of it.
const NODES_SHARE = 0.9;
const NODES_TIME_MAX_S = 3600;

/** The part of a cache whose keys begin with a prefix. */
export class Face {
  #lines;
  #exchange;
  #prefix;
  #ttl;
  #timeout;

  /**
   * @param {import("./lines.js").Lines} lines
   * @param {{ prefix: string, ttl?: number | null, timeout: number }} part
   */
  constructor(lines, { prefix, ttl = null, timeout }) {
    this.#lines = lines;
    this.#exchange = lines.main;
    this.#prefix = prefix;
    this.#ttl = ttl;
    this.#timeout = timeout;
  }

  /**
   * The part of this one whose keys begin with a prefix, with a life for its items of its own.
   * @param {string} prefix
   * @param {{ ttl?: number | null, timeout?: number }} [part]
   */
  at(prefix, { ttl = this.#ttl, timeout = this.#timeout } = {}) {
    return new Face(this.#lines, { prefix: this.#prefix + prefix, ttl, timeout });
  }

  // -- reading

  /**
   * The value under a key; undefined where there is none. `touch` gives it a new life.
   * @param {string} key
   * @param {Reading & { touch?: number }} [how]
   * @returns {Promise<any>}
   */
  async get(key, { read, touch, timeout } = {}) {
    const full = this.#prefix + key;
    const found = await this.#ask({ op: "get", key: full, read, touch }, timeout);
    return found.found ? results.value(full, results.part(found, "value")) : undefined;
  }

  /**
   * The value under a key with all that the cache knows of it, or null.
   * @param {string} key
   * @param {Reading} [how]
   * @returns {Promise<Item | null>}
   */
  async item(key, { read, timeout } = {}) {
    const full = this.#prefix + key;
    const found = await this.#ask({ op: "get", key: full, read }, timeout);
    return found.found ? results.item(full, found) : null;
  }

  /**
   * What there was under these keys; a key with nothing under it is not in the answer.
   * @param {Iterable<string>} keys
   * @param {Reading} [how]
   * @returns {Promise<Map<string, any>>}
   */
  async getMany(keys, { read, timeout } = {}) {
    const parts = await this.#inParts([...new Set(keys)], async (some) => {
      const full = some.map((key) => this.#prefix + key);
      const reply = await this.#ask({ op: "get_many", keys: full, read }, timeout);
      const values = results.part(reply, "values");
      if (values.length !== some.length) {
        throw new Internal(`the node answered ${values.length} of ${some.length} keys`);
      }
      return some.map((key, at) => ({ key, full: full[at], found: values[at] }));
    });
    const there = parts.flat().filter(({ found }) => found.found);
    return new Map(there.map(({ key, full, found }) => [key, results.value(full, found.value)]));
  }

  /**
   * One page of the keys that begin with a prefix, in order, with what is under them where `values`
   * asks for it. No snapshot: a key that comes or goes meanwhile may be met or not.
   * @param {string} [prefix]
   * @param {Reading & { after?: string, limit?: number, values?: boolean }} [how] `after`: a key
   * @returns {Promise<{ keys: string[], items: [string, Item][], more: boolean }>}
   */
  async scan(prefix = "", { after, limit = 100, values = false, read, timeout } = {}) {
    const fields = {
      op: "scan",
      prefix: this.#prefix + prefix,
      after: after === undefined ? null : this.#prefix + after,
      limit: Math.min(limit, this.#exchange.limits.scan),
      values,
      read,
    };
    const reply = await this.#ask(fields, timeout);
    /** @type {[string, Item][]} */
    const items = (reply.items ?? []).map((/** @type {Reply} */ found) => [
      this.#own(found.key),
      results.item(found.key, found),
    ]);
    const keys = reply.keys?.map((/** @type {string} */ key) => this.#own(key));
    return { keys: keys ?? items.map(([key]) => key), items, more: reply.more === true };
  }

  /**
   * The keys that begin with a prefix, in order, fetched a page at a time.
   * @param {string} [prefix]
   * @param {Reading & { page?: number }} [how]
   * @returns {AsyncGenerator<string, void, void>}
   */
  async *keys(prefix = "", { page = 1000, ...how } = {}) {
    for await (const { keys } of this.#pages(prefix, { ...how, limit: page })) yield* keys;
  }

  /**
   * The keys that begin with a prefix and what is under them, in order of the keys.
   * @param {string} [prefix]
   * @param {Reading & { page?: number }} [how]
   * @returns {AsyncGenerator<[string, Item], void, void>}
   */
  async *items(prefix = "", { page = 1000, ...how } = {}) {
    const pages = this.#pages(prefix, { ...how, limit: page, values: true });
    for await (const { items } of pages) yield* items;
  }

  /** @param {string} prefix @param {Reading & { limit: number, values?: boolean }} how */
  async *#pages(prefix, how) {
    /** @type {string | undefined} */
    let after;
    while (true) {
      const page = await this.scan(prefix, { ...how, after });
      yield page;
      if (!page.more || !page.keys.length) return;
      after = page.keys[page.keys.length - 1];
    }
  }

  // -- writing

  /**
   * Keep a value under a key.
   * @param {string} key
   * @param {any} value
   * @param {Setting & Writing} [how]
   * @returns {Promise<Written>}
   */
  async set(key, value, how = {}) {
    const { if: condition, rev, keepTtl, old, mime } = how;
    const full = this.#prefix + key;
    const fields = {
      op: "set",
      key: full,
      value: new Text(encode(value)),
      ttl: keepTtl ? null : this.#life(how.ttl),
      keep_ttl: keepTtl || null,
      if: condition,
      rev,
      mime,
      old: old || null,
    };
    const reply = await this.#write(fields, how, {
      named: condition !== undefined || rev !== undefined || Boolean(old),
      bound: isBound(condition),
    });
    return results.written(full, reply);
  }

  /**
   * Keep a value under a key that has none. Where it has one, `current` is what it is.
   * @param {string} key @param {any} value @param {Omit<Setting, "if"> & Writing} [how]
   */
  add(key, value, how = {}) {
    return this.set(key, value, { ...how, if: "absent" });
  }

  /**
   * Keep a value under a key that has one already.
   * @param {string} key @param {any} value @param {Omit<Setting, "if"> & Writing} [how]
   */
  replace(key, value, how = {}) {
    return this.set(key, value, { ...how, if: "present" });
  }

  /**
   * Keep many values, all of them or none, with one version. Because of that it is never split:
   * more than the node takes at once is `TooLarge`.
   * @param {Record<string, any> | Iterable<[string, any]>} values an object, a Map, or pairs
   * @param {{ ttl?: number | null } & Writing} [how]
   * @returns {Promise<Written>}
   */
  async setMany(values, how = {}) {
    const pairs = Symbol.iterator in values ? [...values] : Object.entries(values);
    if (!pairs.length) return { applied: true, version: null, current: null, old: null };
    const most = this.#exchange.limits.keys;
    if (pairs.length > most) {
      const what = `setMany of ${pairs.length} keys; the node takes ${most}. It was not sent`;
      throw new TooLarge(what);
    }
    const ttl = this.#life(how.ttl);
    const rows = pairs.map(([key, value]) =>
      write({ key: this.#prefix + key, value: new Text(encode(value)), ttl }),
    );
    const fields = { op: "set_many", items: new Text(`[${rows.join(",")}]`) };
    return results.written(this.#prefix, await this.#write(fields, how, { named: false }));
  }

  /**
   * Remove what is under a key, or many; gives how many there were. `if` and `rev` go with a single
   * key. Very many keys are removed in several parts.
   * @param {string | Iterable<string>} keys
   * @param {{ if?: Condition, rev?: number | string } & Writing} [how]
   * @returns {Promise<number>}
   */
  async delete(keys, how = {}) {
    const { if: condition, rev } = how;
    const all = typeof keys === "string" ? [keys] : [...new Set(keys)];
    if (all.length !== 1 && (condition !== undefined || rev !== undefined)) {
      throw new BadRequest("`if` and `rev` go with a single key");
    }
    const counts = await this.#inParts(all, async (some) => {
      const full = some.map((key) => this.#prefix + key);
      const which = full.length === 1 ? { key: full[0] } : { keys: full };
      const fields = { op: "delete", ...which, if: condition, rev };
      const reply = await this.#write(fields, how, { named: true, bound: isBound(condition) });
      return Number(reply.deleted ?? 0);
    });
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /**
   * Add to the integer under a key, and give the sum; beyond what a number holds exactly, a BigInt.
   * A key with nothing under it has 0. The `ttl` is for a new key.
   * @param {string} key
   * @param {number | bigint} [by]
   * @param {{ ttl?: number | null } & Writing} [how]
   * @returns {Promise<number | bigint>}
   */
  async incr(key, by = 1, how = {}) {
    const amount = new Text(typeof by === "bigint" ? String(by) : JSON.stringify(by));
    const fields = { op: "incr", key: this.#prefix + key, by: amount, ttl: this.#life(how.ttl) };
    const reply = await this.#write(fields, how, { named: true });
    return decode(results.part(reply, "value"));
  }

  /**
   * Give what is under a key a new life, from now on (null: one without end); whether there was
   * anything.
   * @param {string} key
   * @param {number | null} [ttl]
   * @param {Writing} [how]
   */
  async touch(key, ttl, how = {}) {
    const fields = { op: "touch", key: this.#prefix + key, ttl: this.#life(ttl) };
    const reply = await this.#write(fields, how, { named: false });
    return reply.found !== false;
  }

  /**
   * Remove all keys that begin with a prefix, or all of this part; gives how many.
   * @param {string} [prefix]
   * @param {Writing} [how]
   */
  async clear(prefix = "", how = {}) {
    const fields = { op: "clear", prefix: this.#prefix + prefix || null };
    return Number((await this.#write(fields, how, { named: true })).deleted ?? 0);
  }

  /**
   * The value under a key; if there is none, what `load()` gives, which is then kept. One caller in
   * the cluster loads while the others wait for it. With `stale`, a value is served that much
   * longer than its `ttl` while one caller replaces it in the background. Where the cache cannot be
   * used it is loaded all the same, unless `onError` says otherwise.
   * @param {string} key
   * @param {() => any} load
   * @param {import("./filling.js").Filling} [how]
   * @returns {Promise<any>}
   */
  getOrSet(key, load, how = {}) {
    const ttl = this.#life(how.ttl);
    const all = { ...how, ttl, timeout: how.timeout ?? this.#timeout };
    return new Fill(this.#exchange, this.#lines.loads, this.#prefix + key, load, all).get();
  }

  // -- channels, subscriptions, mirrors

  /**
   * Send a message to a channel, in order with all writes; gives its version. It is stored nowhere:
   * who is not subscribed does not get it.
   * @param {string} channel
   * @param {any} message
   * @param {Writing} [how]
   * @returns {Promise<number | null>}
   */
  async publish(channel, message, how = {}) {
    const value = new Text(encode(message));
    const fields = { op: "publish", channel: this.#prefix + channel, value };
    return (await this.#write(fields, how, { named: true })).version ?? null;
  }

  /**
   * Be told of all that happens to keys or on channels, each event once and in order, also across
   * connections. Gives the subscription: call it to stop. `since` goes on from a stored position;
   * `snapshot` tells what there is before what happens; `fold` is for those who need only the
   * latest.
   * @param {Pattern} pattern
   * @param {(change: Change) => unknown} listener
   * @param {import("./subscribing.js").Subscribing} [how]
   */
  subscribe(pattern, listener, how = {}) {
    return subscribe(this.#lines, this.#prefix, pattern, listener, how);
  }

  /**
   * A live copy of the keys of a pattern, filled when it is given.
   * @param {Pattern} pattern
   * @param {import("./mirror.js").Mirroring} [how]
   * @returns {Promise<Mirror>}
   */
  mirror(pattern, how = {}) {
    return Mirror.open(this.#lines, this.#prefix, pattern, how);
  }

  /**
   * A lock that the whole cluster respects; it is not taken yet.
   * @param {string} name
   * @param {import("./lock.js").Locking} how
   */
  lock(name, how) {
    const timeout = how.timeout ?? this.#timeout;
    return new Lock(this.#exchange, this.#prefix + name, { ...how, timeout });
  }

  // -- the cluster

  /** What the node in service says of itself. @param {Reading} [how] @returns {Promise<Reply>} */
  async status({ timeout } = {}) {
    return results.facts(await this.#ask({ op: "status" }, timeout, "ask"));
  }

  /**
   * What each member of the cluster says of itself.
   * @param {Reading} [how]
   * @returns {Promise<Reply>}
   */
  async nodes({ timeout } = {}) {
    return results.facts(await this.#ask({ op: "nodes" }, timeout, "ask"));
  }

  /** What one of them says. @param {string} id @param {Reading} [how] @returns {Promise<Reply>} */
  async node(id, { timeout } = {}) {
    return results.part(await this.#ask({ op: "node", node: id }, timeout, "ask"), "node");
  }

  // -- what all calls have in common

  /** @param {string} full */
  #own(full) {
    return full.slice(this.#prefix.length);
  }

  /** @param {number | null} [ttl] */
  #life(ttl = this.#ttl) {
    return ttl;
  }

  /**
   * @param {Record<string, any>} fields
   * @param {number} [timeout]
   * @param {import("./requests.js").Kind} [kind]
   */
  #ask(fields, timeout = this.#timeout, kind = "read") {
    return this.#exchange.ask(fields, timeout, kind);
  }

  /**
   * Ask for a write. `named`: a repeat of it could do harm, so by default it has a name.
   * @param {Record<string, any>} fields
   * @param {Writing} how
   * @param {{ named: boolean, bound?: boolean }} kind
   */
  #write(fields, { ack, timeout = this.#timeout, exactlyOnce }, { named, bound = false }) {
    const nodes = Math.min(timeout * NODES_SHARE, NODES_TIME_MAX_S);
    const once = exactlyOnce ?? this.#exchange.settings.exactlyOnce ?? named;
    const all = { ...fields, ack, timeout: nodes };
    return this.#exchange.ask(all, timeout, once ? "named" : "plain", { bound });
  }

  /**
   * What a call about many keys gives, in as few requests as the node's limits allow.
   * @template R
   * @param {string[]} keys
   * @param {(some: string[]) => Promise<R>} ask
   * @returns {Promise<R[]>}
   */
  async #inParts(keys, ask) {
    if (!keys.length) return [];
    const most = this.#exchange.limits.keys;
    if (keys.length > most) {
      const parts = [];
      for (let at = 0; at < keys.length; at += most) parts.push(keys.slice(at, at + most));
      return (await Promise.all(parts.map((part) => this.#inParts(part, ask)))).flat();
    }
    try {
      return [await ask(keys)];
    } catch (error) {
      if (!(error instanceof TooLarge) || keys.length === 1) throw error;
    }
    // Too many bytes, or a node with lower limits than are usual; it was not done.
    const half = keys.length >> 1;
    const halves = [this.#inParts(keys.slice(0, half), ask), this.#inParts(keys.slice(half), ask)];
    return (await Promise.all(halves)).flat();
  }
}

/**
 * Whether a condition speaks of a version or position of one epoch.
 * @param {Condition} [condition]
 */
function isBound(condition) {
  return condition !== undefined && condition !== "absent" && condition !== "present";
}
