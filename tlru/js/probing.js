// @ts-check
/**
 * How far away servers are: measured now and then, in the background.
 *
 * It decides when to measure and how. Whom, and what follows, `servers.js` says.
 *
 * What is measured is how long a `ping` takes: to the server in use on its connection, to others on
 * one that is opened for it and closed again. A node that wants a token refuses such a ping, or
 * closes, and that is an answer too. Rounds come at random distances and look at few servers;
 * whoever is near his server looks at no other after the first rounds.
 */

import { write } from "./requests.js";
import { ROUNDS } from "./servers.js";
import { now } from "./settings.js";

const WITHIN_S = 2; // for one server; who is farther than that is not near

/** Measures the way to servers until it is stopped. */
export class Prober {
  #settings;
  #keeper;
  #rounds = 0;
  #stopped = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {import("./keeper.js").Keeper} keeper
   */
  constructor(settings, keeper) {
    this.#settings = settings;
    this.#keeper = keeper;
  }

  /** Measure from now on, the first few times soon, so that one has something to go by. */
  start() {
    if (this.#stopped) return;
    const { measureFirst, measureEvery } = this.#settings.timing;
    const distance = this.#rounds < ROUNDS ? measureFirst : measureEvery;
    // Half of it is by chance, so that those who began together do not go on together.
    const wait = distance * (0.5 + Math.random());
    this.#timer = setTimeout(() => this.#round().then(() => this.start()), wait * 1000);
  }

  /** And no more. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #round() {
    const { servers, current } = this.#keeper;
    const urls = servers.toMeasure(now());
    for (const url of urls) {
      const used = current?.alive && url === current.url;
      const taken = await (used ? this.#ping() : roundTrip(url, this.#settings.WebSocket));
      if (this.#stopped) return;
      servers.measured(url, taken, now());
    }
    if (!urls.length) return;
    this.#rounds += 1;
    const better = servers.better(now());
    if (better !== null) this.#keeper.moveTo(better);
  }

  async #ping() {
    try {
      return await this.#keeper.pingCurrent(WITHIN_S);
    } catch {
      return null; // whether it lives is not for this to judge
    }
  }
}

/**
 * Seconds that a message to this address and back takes; null where nobody is there.
 * @param {string} url
 * @param {import("./settings.js").SocketClass} Socket
 * @returns {Promise<number | null>}
 */
export function roundTrip(url, Socket) {
  return new Promise((resolve) => {
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new Socket(url, ["tlru.v1.json"]);
    } catch {
      resolve(null);
      return;
    }
    let since = NaN;
    const end = (/** @type {number | null} */ taken) => {
      clearTimeout(timer);
      resolve(taken);
      if (socket.readyState < 2) socket.close();
    };
    const timer = setTimeout(() => end(null), WITHIN_S * 1000);
    socket.addEventListener("error", () => {}); // what follows is `close`
    socket.addEventListener("open", () => {
      since = now();
      socket.send(write({ id: 1, op: "ping" }));
    });
    const answered = () => end(Number.isNaN(since) ? null : now() - since);
    socket.addEventListener("message", answered);
    socket.addEventListener("close", answered);
  });
}
