// The examples of docs/javascript.md, one after another in one program.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import * as tlru from "../../tlru/js/tlru.js";
import { told, until } from "./helpers.js";

const AsyncFunction = (async () => {}).constructor;

test("the examples run, and what they show is shown", async () => {
  const shown = [];
  const note = (name) => (...given) => shown.push([name, ...given]);
  const named = {
    // The page's addresses are somebody's own; here there is one node.
    connect: (_, options) => tlru.connect(told.url, { ...options, token: null, WebSocket }),
    token: null,
    localStorage: {},
    console: { log: note("log") },
    draw: note("draw"),
    dim: note("dim"),
    show: note("show"),
  };
  const writing = tlru.connect(told.url, { WebSocket });
  const [connecting, subscribing, mirroring, linking] = told.examples;
  const program = [
    connecting,
    subscribing.replace(/^stop\(\).*$/m, ""),
    "await cache.ping(); await writing.set('price:EUR', 1.5);",
    mirroring,
    linking,
    "await writing.set('price:USD', 2); return { cache, stop, prices };",
  ].join("\n");
  const run = new AsyncFunction("writing", ...Object.keys(named), program);
  const { cache, stop, prices } = await run(writing, ...Object.values(named));
  await until(() => shown.some(([name, key]) => name === "draw" && key === "price:USD"));
  await until(() => shown.some(([name, , key]) => name === "log" && key === "price:EUR"));
  assert.equal(prices.get("price:USD"), 2);
  await until(() => named.localStorage.position === stop.position);
  stop();
  cache.close();
  writing.close();
  await until(() => shown.some(([name, coherent]) => name === "dim" && coherent === true));
  await until(() => shown.some(([name, state]) => name === "show" && state === "closed"));
});

test("every name that the page tells of is there", () => {
  const names = ["get", "item", "getMany", "set", "add", "replace", "setMany", "delete", "touch",
    "incr", "clear", "keys", "items", "scan", "publish", "status", "nodes", "node", "ping", "at",
    "lock", "subscribe", "mirror", "close", "addEventListener", "removeEventListener"];
  for (const name of names) assert.equal(typeof tlru.Cache.prototype[name], "function", name);
});
