// @ts-check
/**
 * A value between JavaScript and the JSON of the protocol, with its tags. Pure.
 *
 * What JSON has is written as it is. The rest has tags: bytes (`Uint8Array`) are `$b64`, a `BigInt`
 * is `$int` where a plain number would lose digits, `NaN` and the infinities are `$num`, a `Date`
 * is `$time`, a `Map` is `$map`; `Ext` and `Raw` stand for what only msgpack can say. An object of
 * the user's own that looks like a tag (one member, whose name begins with `$`) gets one `$` more.
 *
 * Whatever is written, another client reads as the same thing, as far as its language has it.
 */

import { BadValue } from "./errors.js";

/** Lists and maps of a value, one within the other. */
export const DEPTH_MAX = 32;

const PLAIN_INT_MAX = 2 ** 53;
const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 64n - 1n;
const CHUNK = 8192; // bytes that become text at once: arguments of a call are limited
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/;
const FIRST_MS = Date.parse("0001-01-01T00:00:00Z");
const LAST_MS = Date.parse("9999-12-31T23:59:59.999Z");

/** An extension of msgpack that has no form of its own here. */
export class Ext {
  /** @param {number} type from -128 to 127 @param {Uint8Array} bytes */
  constructor(type, bytes) {
    this.type = type;
    this.bytes = bytes;
  }
}

/** Bytes that are a whole value, or no value at all: they are kept as they are. */
export class Raw {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
  }
}

/**
 * The JSON text of a value, its tags written. Throws `BadValue` for what no other client could
 * read, and says where in the value it stands.
 * @param {unknown} value
 * @returns {string}
 */
export function encode(value) {
  if (value instanceof Raw) return `{"$raw":"${toBase64(value.bytes)}"}`;
  return write(value, DEPTH_MAX, []);
}

/**
 * The value that a parsed JSON text shows. What it is given is used up: it becomes the value.
 * @param {any} shown
 * @returns {any}
 */
export function decode(shown) {
  if (typeof shown !== "object" || shown === null) return shown;
  if (Object.hasOwn(shown, "$raw") && Object.keys(shown).length === 1) {
    return new Raw(fromBase64("$raw", shown.$raw));
  }
  return read(shown);
}

// -- writing

/**
 * @param {any} value
 * @param {number} room how deep lists and maps may still nest
 * @param {(string | number)[]} path the way to it
 * @returns {string}
 */
function write(value, room, path) {
  switch (typeof value) {
    case "string":
      return text(value, path);
    case "number":
      return number(value);
    case "boolean":
      return value ? "true" : "false";
    case "bigint":
      return integer(value, path);
    case "object":
      return value === null ? "null" : object(value, room, path);
    default:
      throw misfit(`${typeof value} is nothing that a cache can hold`, path);
  }
}

/** @param {string} value @param {(string | number)[]} path */
function text(value, path) {
  if (LONE_SURROGATE.test(value)) throw misfit("a string has half a surrogate pair", path);
  return JSON.stringify(value);
}

/** @param {number} value */
function number(value) {
  if (Number.isNaN(value)) return '{"$num":"NaN"}';
  if (!Number.isFinite(value)) return `{"$num":"${value > 0 ? "" : "-"}Infinity"}`;
  if (Object.is(value, -0)) return "-0.0";
  // Without an exponent these would be read as integers of exactly those digits: they are not.
  if (Math.abs(value) > PLAIN_INT_MAX) return value.toExponential();
  return String(value);
}

/** @param {bigint} value @param {(string | number)[]} path */
function integer(value, path) {
  if (value < INT_MIN || value > INT_MAX) {
    throw misfit("an integer does not fit 64 bits: keep a number or a string", path);
  }
  const plain = value >= -PLAIN_INT_MAX && value <= PLAIN_INT_MAX;
  return plain ? String(value) : `{"$int":"${value}"}`;
}

/**
 * @param {any} value
 * @param {number} room
 * @param {(string | number)[]} path
 * @returns {string}
 */
function object(value, room, path) {
  if (Array.isArray(value)) return list(value, enter(room, path), path);
  if (value instanceof Date) return time(value, path);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return `{"$b64":"${toBase64(bytesOf(value))}"}`;
  }
  if (value instanceof Map) return map(value, enter(room, path), path);
  if (value instanceof Ext) return extension(value, path);
  if (value instanceof Raw) {
    throw misfit("Raw is the bytes of a whole value, so it cannot stand within one", path);
  }
  if (value instanceof Set) throw misfit("other clients have no Set: keep an array", path);
  if (typeof value.toJSON === "function") return write(value.toJSON(), enter(room, path), path);
  return members(value, enter(room, path), path);
}

/** @param {any[]} values @param {number} room @param {(string | number)[]} path */
function list(values, room, path) {
  const parts = [];
  for (let index = 0; index < values.length; index++) {
    path.push(index);
    parts.push(write(values[index], room, path));
    path.pop();
  }
  return `[${parts.join(",")}]`;
}

/** @param {Map<any, any>} value @param {number} room @param {(string | number)[]} path */
function map(value, room, path) {
  const parts = [];
  for (const [key, child] of value) {
    path.push(parts.length);
    parts.push(`[${write(key, room, path)},${write(child, room, path)}]`);
    path.pop();
  }
  return `{"$map":[${parts.join(",")}]}`;
}

/** @param {Record<string, any>} value @param {number} room @param {(string | number)[]} path */
function members(value, room, path) {
  // As JSON.stringify does: a member that is undefined is none.
  const names = Object.keys(value).filter((name) => value[name] !== undefined);
  const escape = names.length === 1 && names[0].startsWith("$") ? "$" : "";
  const parts = names.map((name) => {
    path.push(name);
    const part = `${text(escape + name, path)}:${write(value[name], room, path)}`;
    path.pop();
    return part;
  });
  return `{${parts.join(",")}}`;
}

/** @param {Date} value @param {(string | number)[]} path */
function time(value, path) {
  const ms = value.getTime();
  if (!(ms >= FIRST_MS && ms <= LAST_MS)) {
    throw misfit("a Date is invalid, or not of the years 1 to 9999", path);
  }
  return `{"$time":"${value.toISOString()}"}`;
}

/** @param {Ext} value @param {(string | number)[]} path */
function extension(value, path) {
  if (!Number.isInteger(value.type) || value.type < -128 || value.type > 127) {
    throw misfit("the type of an Ext is an integer from -128 to 127", path);
  }
  return `{"$ext":[${value.type},"${toBase64(value.bytes)}"]}`;
}

/** @param {number} room @param {(string | number)[]} path */
function enter(room, path) {
  if (room === 0) throw misfit(`lists and objects of a value nest at most ${DEPTH_MAX} deep`, path);
  return room - 1;
}

/** @param {string} reason @param {(string | number)[]} path */
function misfit(reason, path) {
  const where = path.length ? ` (at ${path.slice(-8).join("/").slice(0, 200)})` : "";
  return new BadValue(`a value cannot be written: ${reason}${where}`);
}

// -- reading

/** @param {any} shown @returns {any} */
function read(shown) {
  if (typeof shown !== "object" || shown === null) return shown;
  if (Array.isArray(shown)) {
    for (let index = 0; index < shown.length; index++) shown[index] = read(shown[index]);
    return shown;
  }
  const names = Object.keys(shown);
  if (names.length === 1 && names[0].startsWith("$")) return untag(names[0], shown[names[0]]);
  for (const name of names) {
    const child = shown[name];
    // The member is there already, so this defines nothing, whatever its name is (`__proto__`).
    if (typeof child === "object" && child !== null) shown[name] = read(child);
  }
  return shown;
}

/** @param {string} tag @param {any} content @returns {any} */
function untag(tag, content) {
  if (tag.startsWith("$$")) return { [tag.slice(1)]: read(content) };
  switch (tag) {
    case "$b64":
      return fromBase64(tag, content);
    case "$int":
      return readInteger(content);
    case "$num":
      if (["NaN", "Infinity", "-Infinity"].includes(content)) return Number(content);
      break;
    case "$time":
      return readTime(content);
    case "$map":
      return readMap(content);
    case "$ext":
      if (Array.isArray(content)) return new Ext(content[0], fromBase64(tag, content[1]));
      break;
  }
  throw new BadValue(`a value has ${tag} in it, which this client cannot read`);
}

/** @param {any} content */
function readInteger(content) {
  if (typeof content !== "string" || !/^-?\d{1,20}$/.test(content)) {
    throw new BadValue("a value has $int in it without digits");
  }
  return BigInt(content);
}

/** @param {any} content */
function readTime(content) {
  const found = typeof content === "string" ? TIME.exec(content) : null;
  const fraction = (found?.[2] ?? "").padEnd(3, "0").slice(0, 3);
  const ms = found ? Date.parse(`${found[1]}.${fraction}Z`) : NaN;
  if (Number.isNaN(ms)) throw new BadValue("a value has $time in it that is no time");
  return new Date(ms);
}

/** @param {any} content */
function readMap(content) {
  if (!Array.isArray(content)) throw new BadValue("a value has $map in it without pairs");
  return new Map(content.map(([key, value]) => [read(key), read(value)]));
}

// -- bytes

/** @param {ArrayBuffer | ArrayBufferView} value */
function bytesOf(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let characters = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    characters += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return btoa(characters);
}

/** @param {string} tag @param {any} content */
function fromBase64(tag, content) {
  try {
    return Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  } catch {
    throw new BadValue(`a value has ${tag} in it without base64`);
  }
}
