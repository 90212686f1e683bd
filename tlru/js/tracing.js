// @ts-check
/**
 * Which trace a write belongs to, as the program's own tracing says where the write is asked for.
 *
 * It decides whether there is anything to tell a node: a trace that nobody records is not told of,
 * and what is no traceparent at all must not have the write refused.
 */

/** @typedef {() => string | null | undefined} TraceNow gives a text as W3C's `traceparent` */

/** As a node's `hello` names it; others would refuse the field. */
export const FEATURE = "trace";

const FORM = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The `trace` of a write, or null where there is none to tell.
 * @param {string | null | undefined} traceparent */
export function traceOf(traceparent) {
  if (typeof traceparent !== "string" || !FORM.test(traceparent)) return null;
  return parseInt(traceparent.slice(-2), 16) & 1 ? traceparent : null;
}
