// @ts-check
/**
 * What is sent: requests as text, and what may be done with one that was not answered.
 *
 * A request is written when it is asked for, so that what cannot be written fails in the caller's
 * own call; what is known only when it leaves (`min`, `once`, `trace`) is added to the text then.
 */

/** @typedef {Record<string, any>} Reply */
/** @typedef {import("./errors.js").TlruError} TlruError */

/**
 * What a request is, and so what may be done when its connection dies before the answer:
 * `read` is sent again, with `min` to a node that may be behind; `ask` is sent again; `named` is a
 * write with a name, and sent again under it; `plain` is a write without one, whose outcome is then
 * not known; `feed` belongs to its connection alone.
 * @typedef {"read" | "ask" | "named" | "plain" | "feed"} Kind
 */

/** JSON that is written already. */
export class Text {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * The text of a request. Fields that are null or undefined are left out: they are absent.
 * @param {Record<string, any>} fields
 */
export function write(fields) {
  const parts = [];
  for (const [name, field] of Object.entries(fields)) {
    if (field === undefined || field === null) continue;
    parts.push(`"${name}":${field instanceof Text ? field.text : JSON.stringify(field)}`);
  }
  return `{${parts.join(",")}}`;
}

/** The text with one more field. @param {string} text @param {string} name @param {any} field */
export function withField(text, name, field) {
  return `${text.slice(0, -1)},"${name}":${JSON.stringify(field)}}`;
}

/** The bytes that a text makes. @param {string} text */
export function bytesIn(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // Half a surrogate pair counts two: the whole makes four bytes.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}

/** One request, from the call until its answer. */
export class Request {
  settled = false;
  /**
   * @type {import("./connection.js").Connection | null} the one it was sent on and is unanswered
   */
  connection = null;
  /** @type {Record<string, any> | null} the name that it bears since it was first sent */
  once = null;
  /** @type {string | null} the trace that it belongs to, where that is recorded */
  trace = null;
  tries = 0; // how often it was refused
  lost = 0; // how many connections died under it
  /** @type {TlruError | null} why it was refused the last time */
  refusal = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer = undefined;
  /** @type {(reply: Reply) => void} */
  #resolve = () => {};
  /** @type {(error: TlruError) => void} */
  #reject = () => {};

  /**
   * @param {number} number
   * @param {Record<string, any>} fields
   * @param {Kind} kind
   * @param {number} deadline
   * @param {{ epoch?: string | null, bound?: boolean }} [life] `bound`: it speaks of versions or
   *   positions of that epoch
   */
  constructor(number, fields, kind, deadline, { epoch = null, bound = false } = {}) {
    this.number = number;
    this.kind = kind;
    this.deadline = deadline;
    /** @type {string | null} the epoch it was first sent in, or, if bound, was asked in */
    this.epoch = epoch;
    this.bound = bound;
    this.what = describe(fields);
    this.text = write({ id: number, ...fields });
    /** @type {Promise<Reply>} */
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get isWrite() {
    return this.kind === "named" || this.kind === "plain";
  }

  /** Whether a node may have done it, though nobody has said so. */
  get mayBeDone() {
    return this.isWrite && (this.lost > 0 || this.refusal?.retry === "unknown");
  }

  /** Its caller has its answer. @param {Reply} reply */
  succeed(reply) {
    if (this.#settle()) this.#resolve(reply);
  }

  /** End it with this error, if its caller still waits. @param {TlruError} error */
  tell(error) {
    if (this.#settle()) this.#reject(error);
  }

  #settle() {
    if (this.settled) return false;
    this.settled = true;
    clearTimeout(this.timer);
    return true;
  }
}

/**
 * What was asked for, in the words of a message to its caller.
 * @param {Record<string, any>} fields
 */
function describe(fields) {
  for (const name of ["key", "channel", "name", "prefix", "pattern"]) {
    if (typeof fields[name] === "string") {
      return `${fields.op} ${JSON.stringify(fields[name].slice(0, 100))}`;
    }
  }
  return String(fields.op);
}
