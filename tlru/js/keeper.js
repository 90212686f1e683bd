// @ts-check
/**
 * Which connection is in service: opening one, leaving it for a better one, and not giving up.
 *
 * It decides where to connect, when to go elsewhere and how long to wait between attempts; requests
 * are not its business.
 *
 * One connection is in service at a time. One that is left by choice stays in service until its
 * successor is open, so a node that goes away politely costs no request; and one that is left only
 * for a nearer server stays if that cannot be had.
 */

import { afterOf } from "./coming_back.js";
import { Connection } from "./connection.js";
import {
  NoQuorum,
  Overloaded,
  REFUSING_STATUSES,
  retold,
  TlruError,
  Unauthenticated,
  Unavailable,
} from "./errors.js";
import { Prober } from "./probing.js";
import { Backoff } from "./resilience.js";
import { ServersStore } from "./servers_store.js";
import { Servers } from "./servers.js";
import { now } from "./settings.js";

/** @typedef {import("./requests.js").Reply} Reply */
/** @typedef {import("./requests.js").Request} Request */

const OTHER_EPOCH = 4410;
// What such a node may still answer: `read: "any"`, where its operator allows that.
const HALF_OF_USE = ["isolated", "syncing"];
const GOAWAY_WITHIN_MAX_S = 3600;

/**
 * What the connection is kept for.
 * @typedef {object} Service
 * @property {() => number} nextNumber a number for a request of the keeper's own
 * @property {(connection: Connection) => Request[]} openingRequests what leaves with `hello`
 * @property {(epoch: string) => boolean} hasLeft whether this epoch is known to be over
 * @property {(connection: Connection) => void} takeUp this connection is in service now
 * @property {(error: TlruError) => void} giveUp those who wait are to be told this
 * @property {() => boolean} isWanted whether somebody wants a connection without asking for it
 * @property {() => void} changed what is known of the link has changed
 * @property {(timeout: number) => Promise<number>} ping seconds that the server in service takes
 */

/** Keeps one connection in service until it is closed. */
export class Keeper {
  servers;
  /** @type {Connection | null} */
  current = null;
  /** @type {number | null} */
  downSince = null;
  /** @type {TlruError | null} */
  refusal = null;
  leader = "";
  #settings;
  #service;
  #backoff;
  #leaving;
  #leaveAgainAt = 0;
  #unwanted = false; // the current one is being left, or has been lost
  /** @type {string | null} where to go instead, if one can */
  #better = null;
  #closed = false;
  /** @type {Connection | null} */
  #opening = null;
  #prober;
  #store;
  /** @type {Set<() => void>} */
  #sleepers = new Set();
  #news = () => {};
  #askedFor = () => {};
  #renewed = () => {};
  #outdated = false; // the token that was fetched last is not the one to go by

  /** @param {import("./settings.js").Settings} settings @param {Service} service */
  constructor(settings, service) {
    const { backoffFirst, backoffMost } = settings.timing;
    this.#settings = settings;
    this.#service = service;
    this.#backoff = new Backoff(Math.random, backoffFirst, backoffMost);
    this.#leaving = new Backoff(Math.random, backoffFirst, backoffMost);
    this.servers = new Servers(settings.servers, { ...settings, chance: Math.random });
    this.#store = new ServersStore(settings.storage, settings.cache);
    this.servers.learn(this.#store.read(), { whole: false });
    this.#prober = new Prober(settings, this);
  }

  /** Keep a connection in service until closed. */
  async run() {
    if (!this.servers.size) {
      await this.#stopUntilAsked(new Unavailable("no server is known: name one in `connect`"));
    }
    this.#prober.start();
    /** @type {Connection | null} */
    let opened = null;
    while (!this.#closed) {
      opened ??= await this.#open();
      if (opened) opened = await this.#serve(opened);
    }
  }

  /** End it. */
  close() {
    this.#closed = true;
    this.#prober.stop();
    this.#opening?.abort();
    for (const wake of [...this.#sleepers]) wake();
    this.#news();
    this.#askedFor();
    this.#renewed();
  }

  /** There is another token: it is fetched now, and whoever was refused knocks again. */
  renew() {
    this.#outdated = true;
    this.#unwanted = true;
    this.refusal = null;
    this.#renewed();
    this.#news();
  }

  /**
   * Have a connection in service until it ends or is left; for a nearer one, which is given, or for
   * whichever can be had.
   * @param {Connection} connection
   */
  async #serve(connection) {
    // Only now: until its successor is open, the one before is still being left.
    this.#unwanted = this.#outdated;
    this.#better = null;
    this.current = connection;
    this.downSince = null;
    const since = now();
    this.#service.takeUp(connection);
    const nearer = await this.#untilLeft(connection);
    if (now() - since >= this.#settings.timing.steady) {
      this.#backoff.reset();
      this.#leaving.reset();
      this.servers.lasted(connection.url);
    }
    // Where it ended with its epoch, the node is well: it began another life.
    if (!connection.alive && connection.end.code !== OTHER_EPOCH && !this.#closed) {
      const wait = nearer ? 0 : this.#backoff.wait();
      this.#failed(connection.url, connection.end.problem, connection.end.after, wait);
      this.#service.changed();
      if (wait) await this.#sleep(wait);
    }
    return nearer;
  }

  /** @param {Connection} connection @returns {Promise<Connection | null>} */
  async #untilLeft(connection) {
    while (connection.alive && !this.#unwanted && !this.#closed) {
      await new Promise((resolve) => (this.#news = () => resolve(null)));
      if (this.#better === null || this.#unwanted || !connection.alive) continue;
      const url = this.#better;
      this.#better = null;
      try {
        return await this.#try(url);
      } catch (error) {
        this.servers.failed(url, ours(error).message, now());
      }
    }
    return null;
  }

  // -- what others tell it

  /**
   * Refuse a caller for whom waiting has no sense: once an outage has lasted for as long as a
   * caller would wait, waiting again would only make the outage slow.
   * @param {number} patience
   */
  check(patience) {
    this.#askedFor();
    if (this.refusal) throw retold(this.refusal, this.refusal.message);
    if (this.downSince === null || !this.servers.problems.size) return;
    const lasted = now() - this.downSince;
    if (lasted >= patience) {
      throw new Unavailable(`no server for ${lasted.toFixed(1)} s now: ${this.servers.told()}`);
    }
  }

  /** A connection has ended. @param {Connection} connection */
  lost(connection) {
    if (connection !== this.current) return;
    this.downSince = now();
    this.#unwanted = true;
    this.#news();
  }

  /** A node tells of all the servers there are. @param {any} entries @param {any} [leader] */
  learn(entries, leader) {
    if (typeof leader === "string") this.leader = leader;
    if (this.servers.learn(entries)) this.#store.keep(this.servers.listed);
    this.#service.changed();
  }

  /**
   * A node would not do what it was asked; true where it is to be asked nothing more.
   * @param {Connection} connection
   * @param {TlruError} error
   */
  refused(connection, error) {
    if (connection !== this.current) return false;
    if (error instanceof Unauthenticated) {
      return typeof this.#settings.token === "function" && this.#leave();
    }
    if (error.retry !== "other") return false;
    this.servers.learn(error.facts.servers, { whole: false });
    if (!this.servers.elsewhere(connection.url) || !this.#leave()) return false;
    this.#failed(connection.url, error.message, afterOf(error), 0);
    return !(error instanceof Overloaded || error instanceof NoQuorum);
  }

  /** A node asks to be left within some seconds; everybody at a moment of their own.
   * @param {Connection} connection @param {Reply} push */
  goAway(connection, push) {
    this.servers.learn(push.servers, { whole: false });
    const within = typeof push.within === "number" && push.within > 0 ? push.within : 0;
    const moment = Math.random() * Math.min(within, GOAWAY_WITHIN_MAX_S);
    this.#sleep(moment).then(() => this.#leavePolitely(connection));
  }

  /** Seconds that the server in service takes to answer. @param {number} timeout */
  pingCurrent(timeout) {
    return this.#service.ping(timeout);
  }

  /** Another server is clearly better: go there, if it can be had. @param {string} url */
  moveTo(url) {
    this.#better = url;
    this.#news();
  }

  /** @param {Connection} connection */
  async #leavePolitely(connection) {
    while (connection === this.current && connection.alive && !this.#closed) {
      if (this.#leave()) {
        this.servers.failed(connection.url, "it asked to be left", now());
        return;
      }
      await this.#sleep(Math.max(0.01, this.#leaveAgainAt - now()));
    }
  }

  #leave() {
    if (this.#unwanted || now() < this.#leaveAgainAt) return this.#unwanted;
    this.#leaveAgainAt = now() + this.#leaving.wait();
    this.#unwanted = true;
    this.#news();
    return true;
  }

  // -- opening

  /** @returns {Promise<Connection | null>} null where it was closed meanwhile */
  async #open() {
    const tries = new Tries();
    while (!this.#closed) {
      const url = this.servers.next(now());
      const rest = this.servers.rest(url, now());
      if (rest) await this.#sleep(rest);
      try {
        return await this.#try(url);
      } catch (thrown) {
        const error = ours(thrown);
        tries.failed(error, this.servers.size);
        await this.#afterFailure(url, error, tries.verdict(this.servers.size));
      }
    }
    return null;
  }

  /** A connection to this server, if it serves. @param {string} url */
  async #try(url) {
    const { timing, name } = this.#settings;
    const token = await this.#token();
    if (this.#closed) throw new Unavailable("this client has been closed");
    // Callers wait: who does not answer at once can be come back to, after the others.
    const patient = this.servers.size === 1 || this.servers.allFailed();
    const patience = patient ? timing.open : Math.min(timing.open, timing.openElsewhere);
    const connection = new Connection(url, this.#settings, this.#service.nextNumber);
    this.#opening = connection;
    const who = { token, client: name };
    const others = () => this.#service.openingRequests(connection);
    const greeting = await connection.greet(who, others, patience);
    this.#opening = null;
    try {
      this.#check(connection, greeting);
    } catch (error) {
      connection.close();
      throw error;
    }
    this.refusal = null;
    this.servers.worked(url, connection.node);
    this.learn(greeting.servers, greeting.leader);
    return connection;
  }

  /** @param {Connection} connection @param {Reply} greeting */
  #check(connection, greeting) {
    if (this.#closed) throw new Unavailable("this client has been closed");
    if (this.#outdated) throw new Unavailable("there is another token by now");
    const { status, servers } = greeting;
    const lastResort = this.servers.allFailed();
    if (REFUSING_STATUSES.includes(status) && !(HALF_OF_USE.includes(status) && lastResort)) {
      // It may be new, or cut off, and not know everybody.
      this.servers.learn(servers, { whole: false });
      throw new Unavailable(`it is ${status}`, {}, { code: status });
    }
    // Reads that follow it there would go backwards; unless nobody knows better, any more.
    if (this.#service.hasLeft(connection.epoch) && !lastResort) {
      throw new Unavailable(`it is still in epoch ${connection.epoch}, which is over`);
    }
  }

  async #token() {
    const { token } = this.#settings;
    this.#outdated = false;
    if (typeof token !== "function") return token;
    try {
      return await token();
    } catch (error) {
      throw new Unavailable(`the token could not be fetched: ${error}`);
    }
  }

  /** @param {string} url @param {TlruError} error @param {TlruError | null} refusal */
  async #afterFailure(url, error, refusal) {
    if (this.#closed) return;
    const wait = this.#backoff.wait();
    this.#failed(url, error.message, afterOf(error), wait);
    if (this.downSince === null && !this.current?.alive) this.downSince = now();
    this.#service.changed();
    if (refusal) await this.#stopUntilAsked(refusal);
    else await this.#sleep(wait);
  }

  /**
   * What it has said of coming back is obeyed, and not by all at the same moment.
   * @param {string} url @param {string} problem @param {number} after @param {number} wait
   */
  #failed(url, problem, after, wait) {
    this.servers.failed(url, problem, now(), after ? after + wait : 0);
  }

  /** We are refused: to knock on and on helps nobody. Callers are told at once.
   * @param {TlruError} error */
  async #stopUntilAsked(error) {
    if (this.#outdated) return; // it was the token before that was refused
    this.refusal = error;
    this.#service.giveUp(error);
    this.#service.changed();
    /** @type {Promise<void>} */
    const renewed = new Promise((resolve) => (this.#renewed = resolve));
    await Promise.race([renewed, this.#sleep(this.#settings.timing.backoffMost)]);
    if (!this.#closed && !this.#outdated && !this.#service.isWanted()) {
      await Promise.race([
        renewed,
        new Promise((resolve) => (this.#askedFor = () => resolve(null))),
      ]);
    }
    this.refusal = null;
  }

  /** @param {number} seconds @returns {Promise<void>} that ends early where it is closed */
  #sleep(seconds) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, seconds * 1000);
      this.#sleepers.add(wake);
    });
  }
}

/**
 * Attempts in vain since a connection was last in service. Once each server had its turn, a refusal
 * for good among their answers is the answer: those that are away would hardly say otherwise.
 */
class Tries {
  #failures = 0;
  /** @type {TlruError | null} */
  #refusal = null;
  #since = 0; // attempts after it that were no refusals

  /** @param {TlruError} error @param {number} servers */
  failed(error, servers) {
    this.#failures += 1;
    if (error.retry === "no") {
      this.#refusal = error;
      this.#since = 0;
    } else if (++this.#since >= servers) this.#refusal = null;
  }

  /** @param {number} servers */
  verdict(servers) {
    return this.#failures >= servers ? this.#refusal : null;
  }
}

/** @param {unknown} error @returns {TlruError} */
function ours(error) {
  return error instanceof TlruError ? error : new Unavailable(`it could not be opened: ${error}`);
}
