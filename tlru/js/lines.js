// @ts-check
/**
 * Which exchange a subscription goes to.
 *
 * A connection can have a subscription once, with one beginning; a second listener who wants to
 * begin elsewhere (with a snapshot, from a position) cannot share it. So the same subscription
 * again goes over a further line, an exchange with a connection of its own, which ends with its
 * last listener. Listeners who want no more than what comes from now on share one.
 */

import { AlreadySubscribed } from "./errors.js";
import { Exchange } from "./exchange.js";
import { Feed } from "./feeds.js";
import { Loads } from "./filling.js";

/** @typedef {import("./feeds.js").FeedOptions} FeedOptions */
/** @typedef {import("./feeds.js").Listener} Listener */

export const LINES_MAX = 8; // connections of one client: then the same subscription is refused

/** The main exchange of a client, and further ones where they are needed. */
export class Lines {
  main;
  loads = new Loads(); // of all parts of the client
  /** @type {Exchange[]} */
  #further = [];
  #settings;

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {() => void} changed of the main one
   */
  constructor(settings, changed) {
    this.#settings = settings;
    this.main = new Exchange(settings, changed);
  }

  /**
   * Have a subscription.
   * @param {Record<string, string>} selector
   * @param {FeedOptions} options
   * @param {Listener} listener
   * @returns {{ feed: Feed, exchange: Exchange }}
   */
  listen(selector, options, listener) {
    const feed = new Feed(selector, options, listener);
    for (const exchange of [this.main, ...this.#further]) {
      const same = exchange.feeds.find(feed.identity);
      if (same instanceof Feed && same.suits(options)) {
        same.join(listener);
        return { feed: same, exchange };
      }
      if (!same) return this.#begin(feed, exchange);
    }
    if (this.#further.length + 1 >= LINES_MAX) {
      throw new AlreadySubscribed(
        `there are ${LINES_MAX} such subscriptions already: share one, or a mirror`,
      );
    }
    const exchange = new Exchange(this.#settings, () => {});
    this.#further.push(exchange);
    return this.#begin(feed, exchange);
  }

  /** @param {Feed} feed @param {Exchange} exchange */
  #begin(feed, exchange) {
    exchange.feeds.add(feed);
    return { feed, exchange };
  }

  /** Somebody listens no more. @param {Feed} feed @param {Listener} listener */
  leave(feed, listener) {
    if (feed.leave(listener)) return;
    for (const exchange of [this.main, ...this.#further]) exchange.feeds.remove(feed);
    for (const exchange of this.#further) if (!exchange.feeds.size) exchange.close();
    this.#further = this.#further.filter((exchange) => exchange.ended === null);
  }

  /** There is another token. */
  renew() {
    for (const exchange of [this.main, ...this.#further]) exchange.renew();
  }

  /** End all of it. */
  close() {
    this.main.close();
    for (const exchange of this.#further) exchange.close();
    this.#further = [];
  }
}
