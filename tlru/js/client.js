// @ts-check
/** `connect`, and what it gives: a cache with the events of its link. */

import { TlruEvent } from "./events.js";
import { Face } from "./face.js";
import { Lines } from "./lines.js";
import { positionText } from "./results.js";
import { settingsOf } from "./settings.js";

/**
 * How the link to the cluster stands.
 * @typedef {object} Link
 * @property {"idle" | "connecting" | "open" | "down" | "closed"} state `idle` until something is
 *   asked; `connecting` at first; `down` from when a connection is lost until the next one is open
 * @property {string | null} url of the server in use
 * @property {string | null} node the node behind it
 * @property {string | null} leader
 * @property {string | null} epoch
 * @property {number | null} roundTrip seconds, as last measured
 * @property {string | null} problem what is wrong with each server, where none can be used
 * @property {import("./connection.js").Rights | null} may what the token allows, as the node in use
 *   said when it took it
 */

/** A cache, reached through whichever server is nearest and serves. */
export class Cache extends Face {
  #lines;
  #exchange;
  #events = new EventTarget();
  #told = "";
  #telling = false;

  /** @param {import("./settings.js").Settings} settings */
  constructor(settings) {
    const lines = new Lines(settings, () => this.#tellOfLink());
    super(lines, settings);
    this.#lines = lines;
    this.#exchange = lines.main;
  }

  /** How the link stands now. @returns {Link} */
  get link() {
    const { connection, keeper, session, ended, started } = this.#exchange;
    const state = ended !== null ? "closed" : !started ? "idle" : connection ? "open" : "down";
    const failing = !connection && keeper.servers.problems.size > 0;
    return {
      state: state === "down" && session.epoch === null ? "connecting" : state,
      url: connection?.url ?? null,
      node: connection?.node ?? null,
      leader: keeper.leader || null,
      epoch: session.epoch,
      roundTrip: connection ? this.#exchange.roundTrip : null,
      problem: ended ?? (failing ? keeper.servers.told() : null),
      may: connection?.may ?? null,
    };
  }

  /** The servers that are known, those that the cluster tells of and those that were named. */
  get servers() {
    return this.#exchange.keeper.servers.all();
  }

  /** How far this client has seen; a text that can be stored. */
  get position() {
    const { epoch, pos } = this.#exchange.session;
    return epoch === null ? null : positionText({ epoch, pos });
  }

  /** Cluster time as far as it can be told, in milliseconds since 1970; 0 where it cannot. */
  get time() {
    return this.#exchange.clusterMs();
  }

  /** Seconds that the server in use takes to answer. @param {{ timeout?: number }} [how] */
  ping({ timeout = this.#exchange.settings.timeout } = {}) {
    return this.#exchange.ping(timeout);
  }

  /**
   * There is another token: the function that was given as `token` is asked for it now, and what it
   * allows counts from then on. Subscriptions go on where they were, if it covers them.
   */
  renew() {
    this.#lines.renew();
  }

  /**
   * Be told of `link` (how the link stands, in `event.detail`, whenever that has changed).
   * @param {"link"} type
   * @param {(event: TlruEvent<Link>) => void} listener
   * @param {AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    this.#events.addEventListener(type, /** @type {any} */ (listener), options);
  }

  /** @param {"link"} type @param {(event: TlruEvent<Link>) => void} listener */
  removeEventListener(type, listener) {
    this.#events.removeEventListener(type, /** @type {any} */ (listener));
  }

  /** End it: whoever still waits is told, and nothing is asked any more. */
  close() {
    this.#lines.close();
  }

  /** Listeners hear of it after the turn in which it changed, and only of what has. */
  #tellOfLink() {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      const { link } = this;
      const told = JSON.stringify(link);
      if (told === this.#told) return;
      this.#told = told;
      this.#events.dispatchEvent(new TlruEvent("link", link));
    });
  }
}

/**
 * A cache at these servers. Nothing is sent until something is asked, so it may stand at the top of
 * a module.
 * @param {string | Iterable<string | import("./server.js").Named>} servers
 *   addresses such as `ws://host:8400`; in a page also relative ones
 * @param {import("./settings.js").Options} [options]
 * @returns {Cache}
 */
export function connect(servers, options = {}) {
  return new Cache(settingsOf(servers, options));
}
