// @ts-check
/**
 * How far this client has seen: the epoch, the highest position and time, and names for writes.
 * Pure but for the name of a session, which is drawn once; local time is handed in, in seconds.
 *
 * Reads never go backwards: the highest position and cluster time seen within the epoch go along as
 * `min` to a node that is not known to have got so far. Another epoch makes all of it meaningless,
 * and it is forgotten.
 */

const SESSION_BYTES = 16;

/** The furthest point that this client has seen, and cluster time as far as it can tell. */
export class Session {
  /** @type {string | null} */
  epoch = null;
  pos = 0;
  time = 0;
  #heardAt = 0;

  /** Take up an epoch; true where it is another than before, and all is forgotten.
   * @param {string} epoch */
  enter(epoch) {
    if (epoch === this.epoch) return false;
    const was = this.epoch;
    this.epoch = epoch;
    this.pos = this.time = 0;
    return was !== null;
  }

  /** Whether this epoch is known to be over: it was counted before the present one.
   * @param {string} epoch */
  hasLeft(epoch) {
    const known = counted(this.epoch ?? "");
    const asked = counted(epoch);
    return known !== null && asked !== null && asked < known;
  }

  /**
   * A node of `epoch`, heard at the local `now`, has answered as of `pos` and `time`.
   * @param {string} epoch @param {number} pos @param {number} time @param {number} now
   */
  saw(epoch, pos, time, now) {
    if (epoch !== this.epoch) return; // the last words of a connection from another life
    if (pos > this.pos) this.pos = pos;
    if (time > this.time) {
      this.time = time;
      this.#heardAt = now;
    }
  }

  /** Whether a node that is known to have got to `pos` and `time` may lack what was seen.
   * @param {number} pos @param {number} time */
  aheadOf(pos, time) {
    return this.pos > pos || this.time > time;
  }

  /** The `min` of a request. */
  minimum() {
    return { epoch: this.epoch, pos: this.pos, time: this.time };
  }

  /** Cluster time at the local `now`: never ahead, and behind by a message's way at most.
   * @param {number} now */
  clusterMs(now) {
    return this.time + Math.max(0, Math.floor((now - this.#heardAt) * 1000));
  }
}

/** Names under which writes are applied at most once, however often they are sent. */
export class OnceNames {
  #given = 0;
  #done = 0; // numbers up to it will not be sent again
  /** @type {Set<number>} those that were done with out of turn */
  #early = new Set();

  /** @param {string} [session] */
  constructor(session = randomName()) {
    this.session = session;
  }

  /**
   * The `once` of one more request. `done` tells the node which results it need not remember, so a
   * busy client leaves few records behind.
   * @param {number} clusterMs
   */
  give(clusterMs) {
    this.#given += 1;
    return { session: this.session, n: this.#given, at: clusterMs, done: this.#done };
  }

  /** The request of that number will not be sent again. @param {number} number */
  finish(number) {
    this.#early.add(number);
    while (this.#early.delete(this.#done + 1)) this.#done += 1;
  }
}

function randomName() {
  const bytes = new Uint8Array(SESSION_BYTES);
  // Old releases of Node.js have no `crypto` here; a name only has to differ from everybody else's.
  if (globalThis.crypto) globalThis.crypto.getRandomValues(bytes);
  else bytes.forEach((_, at) => (bytes[at] = Math.floor(Math.random() * 256)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The number of an epoch, `number-random`; null where it has none. @param {string} epoch */
function counted(epoch) {
  const found = /^(\d{1,15})-/.exec(epoch);
  return found ? Number(found[1]) : null;
}
