// @ts-check
/** How figures, values and the state of a cluster are said. Pure: no element, no clock of its own. */

const UNITS = /** @type {const} */ ([["d", 86400], ["h", 3600], ["min", 60]]);
const SHOWN_MAX = 300;
const CLOCK_ERROR_MS = 250;
const LAG_MAX = 2000;

/** @param {number | null | undefined} seconds */
export function life(seconds) {
  if (seconds === null || seconds === undefined) return "no end";
  if (seconds <= 0) return "over";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  for (const [name, size] of UNITS) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** @param {number | null | undefined} count */
export function number(count) {
  if (count === null || count === undefined) return "–";
  if (count !== 0 && Math.abs(count) < 10 && !Number.isInteger(count)) return count.toFixed(2);
  return Math.round(count).toLocaleString("en");
}

/** @param {number | null | undefined} size */
export function bytes(size) {
  if (size === null || size === undefined) return "–";
  if (size < 1024) return `${size} B`;
  const step = Math.min(4, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** step).toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

/** @param {number | null | undefined} ms */
export function milliseconds(ms) {
  return ms === null || ms === undefined ? "–" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/**
 * What JSON cannot say is said in words, and cannot be edited here. Text that looks like a date is text:
 * only what is a `Date` counts as one, and `JSON.stringify` has made it text before the function sees it.
 * @param {unknown} value
 */
export function asJson(value) {
  let plain = true;
  const text = JSON.stringify(
    value,
    function (name, part) {
      const held = /** @type {any} */ (this)[name];
      if (!isPlain(held)) plain = false;
      if (typeof part === "bigint") return `${part}n`;
      if (part instanceof Uint8Array) return `${part.length} bytes`;
      if (part instanceof Map) return [...part];
      if (typeof part === "number" && !Number.isFinite(part)) return String(part);
      return part;
    },
    2,
  );
  return { text: text ?? "", plain };
}

/** Whether JSON has a word for it, what it holds left aside. @param {any} held */
function isPlain(held) {
  if (typeof held === "number") return Number.isFinite(held);
  if (typeof held !== "object") return typeof held !== "bigint" && held !== undefined;
  return held === null || Array.isArray(held) || [Object.prototype, null].includes(Object.getPrototypeOf(held));
}

/** @param {unknown} value */
export function short(value) {
  const { text } = asJson(value);
  const line = text.replace(/\s*\n\s*/g, " ");
  return line.length > SHOWN_MAX ? `${line.slice(0, SHOWN_MAX)}…` : line;
}

/** @param {any} member @returns {"active" | "waiting" | "silent"} */
export function standing(member) {
  if (member.status === "active") return "active";
  return member.status === "silent" || member.status === "unknown" ? "silent" : "waiting";
}

/** Whether nodes that stand at the same position have the same digest. @param {any[]} members */
export function digestsAgree(members) {
  const seen = new Map();
  for (const { digest } of members) {
    if (!digest?.pos) continue;
    if (seen.has(digest.pos) && seen.get(digest.pos) !== digest.value) return false;
    seen.set(digest.pos, digest.value);
  }
  return true;
}

/**
 * One sentence, how serious it is, and what else is to be looked at.
 *
 * @param {any} cluster what `nodes` says
 * @returns {{ level: "good" | "warn" | "bad", verdict: string, troubles: string[] }}
 */
export function health(cluster) {
  const members = cluster.nodes;
  const active = members.filter((/** @type {any} */ each) => standing(each) === "active");
  const voters = members.filter((/** @type {any} */ each) => each.role !== "observer");
  const up = active.filter((/** @type {any} */ each) => each.role !== "observer").length;
  const troubles = [];
  for (const each of members) {
    if (standing(each) === "silent") troubles.push(`${each.id} is ${each.status}${each.why ? `: ${each.why}` : ""}`);
    else if (standing(each) === "waiting") troubles.push(`${each.id} is ${each.status} and refuses requests`);
    if ((each.clock_error_ms ?? 0) > CLOCK_ERROR_MS) troubles.push(`${each.id}'s clock is uncertain by ${milliseconds(each.clock_error_ms)}`);
    if ((each.lag ?? 0) > LAG_MAX) troubles.push(`${each.id} is ${number(each.lag)} entries behind`);
    for (const alarm of each.alarms ?? []) troubles.push(`${each.id}: ${alarm}`);
  }
  if (!digestsAgree(members)) troubles.unshift("nodes at the same position differ: see their digests below");
  const of = `${active.length} of ${members.length} node${members.length === 1 ? "" : "s"} active`;
  if (!cluster.leader) return { level: "bad", verdict: `Nobody leads: ${of}. Writes are refused.`, troubles };
  if (up <= voters.length / 2) return { level: "bad", verdict: `No majority: ${of}.`, troubles };
  if (troubles.length) return { level: "warn", verdict: `It serves, with trouble: ${of}, ${cluster.leader} leads.`, troubles };
  return { level: "good", verdict: `All is well: ${of}, ${cluster.leader} leads.`, troubles };
}
