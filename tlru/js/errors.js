// @ts-check
/**
 * Everything that can go wrong between a client and a node, by the names that Python's client uses.
 *
 *     TlruError
 *     ├── BadRequest                  bad_request: the request itself is wrong
 *     │   ├── UnknownOp               unknown_op
 *     │   └── BadValue                a value that cannot be written, or read back
 *     ├── Unauthenticated             unauthenticated
 *     ├── Forbidden                   forbidden
 *     ├── AlreadySubscribed           already_subscribed
 *     ├── WrongEpoch                  wrong_epoch: a position from another life of the cache
 *     ├── TooLarge                    too_large
 *     ├── NotInteger                  not_integer
 *     ├── OutOfRange                  out_of_range
 *     ├── RateLimited                 rate_limited: not done; come back after `after` seconds
 *     ├── Unavailable                 not done; another node may do it
 *     │   ├── Overloaded              overloaded
 *     │   └── NoQuorum                no_quorum
 *     │                               (and each status that refuses: starting, syncing, ...)
 *     ├── Timeout                     timeout: `outcomeKnown` where it was certainly not done
 *     ├── LockLost                    lock_lost: a lock was no longer held
 *     └── UnknownOutcome              the outcome of a write is not known
 *         ├── NotEnoughReplicas       not_enough_replicas
 *         ├── TooOld                  too_old: a named operation past its time
 *         └── Internal                internal
 *
 * `code` and `retry` cross the wire; programs branch on them (or on the class), never on the text.
 */

/** @typedef {"no" | "same" | "other" | "unknown"} Retry what a client may do after an error */
/** @typedef {Record<string, any>} Facts what an error tells in fields of its own */

/** The root of all that tlru throws on purpose. */
export class TlruError extends Error {
  static code = "internal";
  /** @type {Retry} */
  static retry = "no";

  /**
   * @param {string} message
   * @param {Facts} [facts] `after`, `limit`, `servers`, `committed`, where the error tells them
   * @param {{ code?: string, retry?: Retry }} [named] where it is not as its class says
   */
  constructor(message, facts = {}, { code, retry } = {}) {
    super(message);
    const kind = new.target;
    this.name = kind.name;
    /** @type {string} */
    this.code = code ?? kind.code;
    /** @type {Retry} */
    this.retry = retry ?? kind.retry;
    this.facts = facts;
  }
}

/** The request itself is wrong; sent again, it would be refused again. */
export class BadRequest extends TlruError {
  static code = "bad_request";
}

/** The node knows no operation of that name. */
export class UnknownOp extends BadRequest {
  static code = "unknown_op";
}

/** A value that cannot be written, or read back. */
export class BadValue extends BadRequest {}

/** The node wants a token, or does not accept the one it was given. */
export class Unauthenticated extends TlruError {
  static code = "unauthenticated";
}

/** The token does not allow this. */
export class Forbidden extends TlruError {
  static code = "forbidden";
}

/** This connection has the same subscription already. */
export class AlreadySubscribed extends TlruError {
  static code = "already_subscribed";
}

/** A position or version of another life of the cache: forget it and ask anew. */
export class WrongEpoch extends TlruError {
  static code = "wrong_epoch";
}

/** A key, value, message or answer is over its limit. */
export class TooLarge extends TlruError {
  static code = "too_large";
}

/** `incr` met a value that is no integer. */
export class NotInteger extends TlruError {
  static code = "not_integer";
}

/** The result of `incr` would not fit 64 bits. */
export class OutOfRange extends TlruError {
  static code = "out_of_range";
}

/** Too fast for this client class; not done. Come back after `after` seconds. */
export class RateLimited extends TlruError {
  static code = "rate_limited";
  /** @type {Retry} */
  static retry = "same";

  /** Seconds to wait before asking again. */
  get after() {
    return Number(this.facts.after ?? 0);
  }
}

/** Not done and never will be here; another node may do it. `code` is the reason. */
export class Unavailable extends TlruError {
  static code = "unavailable";
  /** @type {Retry} */
  static retry = "other";
}

/** The node protects itself, or a bounded table of it is full. */
export class Overloaded extends Unavailable {
  static code = "overloaded";
}

/** Too few voters are in touch to commit anything. */
export class NoQuorum extends Unavailable {
  static code = "no_quorum";
}

/** The time given was not enough. Unless `outcomeKnown`, a write may still have been done. */
export class Timeout extends TlruError {
  static code = "timeout";
  /** @type {Retry} */
  static retry = "unknown";

  /** True where it is certain that it was not done. */
  get outcomeKnown() {
    return this.retry !== "unknown";
  }
}

/** A lock was no longer held when it was let go, or checked: somebody else may have had it. */
export class LockLost extends TlruError {
  static code = "lock_lost";
}

/** A write was sent, and whether it was done is not known. */
export class UnknownOutcome extends TlruError {
  static code = "unknown_outcome";
  /** @type {Retry} */
  static retry = "unknown";
}

/** `ack: "all"` was asked for and some voter does not hold it yet; see `facts.committed`. */
export class NotEnoughReplicas extends UnknownOutcome {
  static code = "not_enough_replicas";
}

/** A named operation was repeated after its result had been forgotten. */
export class TooOld extends UnknownOutcome {
  static code = "too_old";
}

/** The node failed in a way nobody foresaw; its log says how. */
export class Internal extends UnknownOutcome {
  static code = "internal";
}

/** The statuses of a node that refuse data requests (`Unavailable` with that code). */
export const REFUSING_STATUSES = Object.freeze([
  "starting",
  "recovering",
  "syncing",
  "inconsistent",
  "isolated",
  "draining",
  "removed",
  "outdated",
]);

/** The class of each code that crosses the wire and has one of its own. */
export const BY_CODE = Object.freeze(
  /** @type {Record<string, typeof TlruError>} */ ({
    bad_request: BadRequest,
    unknown_op: UnknownOp,
    unauthenticated: Unauthenticated,
    forbidden: Forbidden,
    already_subscribed: AlreadySubscribed,
    wrong_epoch: WrongEpoch,
    too_large: TooLarge,
    not_integer: NotInteger,
    out_of_range: OutOfRange,
    rate_limited: RateLimited,
    overloaded: Overloaded,
    no_quorum: NoQuorum,
    timeout: Timeout,
    not_enough_replicas: NotEnoughReplicas,
    too_old: TooOld,
    internal: Internal,
  }),
);

const RETRIES = new Set(["no", "same", "other", "unknown"]);

/**
 * The error that a reply tells, even if it tells it badly; an unknown code keeps its `retry`.
 * @param {any} told
 * @returns {TlruError}
 */
export function fromWire(told) {
  if (typeof told !== "object" || told === null) {
    return new Internal(`the node refused, and how it says why makes no sense: ${brief(told)}`);
  }
  const { code: given, message: words, retry: said, status: _, ...facts } = told;
  const code = typeof given === "string" ? given : "internal";
  const message = typeof words === "string" ? words : code;
  /** @type {Retry} */
  const retry = RETRIES.has(said) ? said : "unknown";
  if (code === Timeout.code) {
    return new Timeout(message, facts, { retry: retry === "unknown" ? "unknown" : "no" });
  }
  if (Object.hasOwn(BY_CODE, code)) return new BY_CODE[code](message, facts);
  if (retry === "other") return new Unavailable(message, facts, { code });
  const kind = retry === "unknown" ? UnknownOutcome : TlruError;
  return new kind(message, facts, { code, retry });
}

/**
 * The same error in other words, for one more caller.
 * @param {TlruError} told
 * @param {string} message
 * @returns {TlruError}
 */
export function retold(told, message) {
  const kind = /** @type {typeof TlruError} */ (told.constructor);
  const error = new kind(message, told.facts, { code: told.code, retry: told.retry });
  error.cause = told.cause ?? told; // as whoever refused has said it
  return error;
}

/** @param {unknown} thing */
function brief(thing) {
  return String(thing).slice(0, 40);
}
