// Operations, against a real node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { BadRequest, BadValue, connect, LockLost, NotInteger, Timeout, TooLarge, Unavailable }
  from "../../tlru/js/tlru.js";
import { client, recordingSocket, told, until } from "./helpers.js";

test("what is kept is read back, with what the cache knows of it", async (t) => {
  const cache = client(t, told.url);
  const value = { n: 1.5, at: new Date(5), raw: new Uint8Array([1]), big: 2n ** 60n, $a: [null] };
  const done = await cache.set("a", value, { ttl: 60, rev: 3 });
  assert.equal(done.applied, true);
  assert.deepEqual(await cache.get("a"), value);
  const item = await cache.item("a");
  assert.deepEqual(item.value, value);
  assert.equal(item.version, done.version);
  assert.equal(item.rev, 3);
  assert.ok(item.ttl > 55 && item.ttl <= 60);
  assert.ok(Math.abs(item.at.getTime() - Date.now()) < 60_000);
  assert.equal(await cache.get("none"), undefined);
  assert.equal(await cache.item("none"), null);
  await cache.set("null", null);
  assert.equal(await cache.get("null"), null);
});

test("conditions, counters, lives and many keys", async (t) => {
  const cache = client(t, told.url, { prefix: "b:" });
  assert.equal((await cache.add("x", 1)).applied, true);
  const again = await cache.add("x", 2);
  assert.equal(again.applied, false);
  assert.equal(again.current.value, 1);
  assert.equal((await cache.replace("y", 1)).applied, false);
  const { version } = again.current;
  assert.equal((await cache.set("x", 3, { if: version, old: true })).old, 1);
  assert.equal((await cache.set("x", 4, { if: version })).applied, false);
  assert.equal(await cache.incr("n", 2), 2);
  await cache.set("big", 2n ** 60n);
  assert.equal(await cache.incr("big", 5n), 2n ** 60n + 5n);
  await assert.rejects(cache.set("t", "text").then(() => cache.incr("t")), NotInteger);
  await cache.setMany(new Map([["m1", 1], ["m2", 2]]), { ttl: 9 });
  await cache.setMany({ m3: 3 });
  assert.deepEqual(await cache.getMany(["m1", "m3", "gone"]), new Map([["m1", 1], ["m3", 3]]));
  assert.equal(await cache.touch("m1", null), true);
  assert.equal((await cache.item("m1")).ttl, null);
  assert.equal(await cache.touch("gone", 5), false);
  assert.equal(await cache.delete(["m1", "m2", "gone"]), 2);
  assert.equal(await cache.delete("m3", { if: "present" }), 1);
  await assert.rejects(cache.delete(["x", "n"], { if: 5 }), BadRequest);
  assert.equal(await cache.clear(), 4);
  assert.deepEqual(await cache.setMany({}), { applied: true, version: null, current: null, old: null });
  assert.deepEqual(await cache.getMany([]), new Map());
});

test("keys are walked a page at a time, in their order, and seen without the part's prefix", async (t) => {
  const cache = client(t, told.url);
  const part = cache.at("walk:", { ttl: 60 });
  await part.setMany(Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`k${n + 10}`, n])));
  const keys = [];
  for await (const key of part.keys("k", { page: 10 })) keys.push(key);
  assert.deepEqual(keys, Array.from({ length: 25 }, (_, n) => `k${n + 10}`));
  const found = [];
  for await (const [key, item] of part.items("", { page: 7 })) found.push([key, item.value, item.ttl > 0]);
  assert.deepEqual(found[24], ["k34", 24, true]);
  const page = await part.scan("k3", { limit: 2, values: true, after: "k30" });
  assert.deepEqual([page.keys, page.more], [["k31", "k32"], true]);
});

test("what is asked in one turn leaves as one message, hello by itself", async (t) => {
  const Socket = recordingSocket();
  const cache = client(t, told.url, { WebSocket: Socket });
  await cache.ping();
  Socket.sent.length = 0;
  await Promise.all([cache.set("o", 1), ...Array.from({ length: 50 }, () => cache.get("o"))]);
  assert.equal(Socket.sent.length, 1);
  assert.equal(Socket.sent[0].length, 51);
});

test("more than a message holds leaves as several, and nothing is lost", async (t) => {
  const cache = client(t, told.url, { timeout: 20 });
  const names = Array.from({ length: 6000 }, (_, n) => `bulk:${n}`);
  await Promise.all(names.map((name, n) => cache.set(name, n)));
  const found = await Promise.all(names.map((name) => cache.get(name)));
  assert.deepEqual(found, names.map((_, n) => n));
  const large = "x".repeat(900_000);
  await Promise.all([1, 2, 3, 4, 5, 6].map((n) => cache.set(`large:${n}`, large)));
  assert.equal((await cache.getMany([1, 2, 3, 4, 5, 6].map((n) => `large:${n}`))).size, 6);
  await assert.rejects(cache.set("huge", "x".repeat(5 << 20)), TooLarge);
  await cache.clear("large:");
});

test("mistakes are told, and others go on", async (t) => {
  const cache = client(t, told.url);
  await assert.rejects(cache.set("", 1), BadRequest);
  await assert.rejects(cache.set("a", () => {}), BadValue);
  await assert.rejects(cache.get("a", { read: "nonsense" }), BadRequest);
  await assert.rejects(cache.set("a", 1, { ttl: -5 }), BadRequest);
  assert.throws(() => connect([]), BadRequest);
  assert.throws(() => connect(told.url, { WebSocket, timeout: 0 }), BadRequest);
  if (!globalThis.WebSocket) assert.throws(() => connect(told.url), /connect\(urls, { WebSocket }\)/);
  assert.equal((await cache.set("a", 1)).applied, true);
});

test("a lock is held by one, kept alive, and told when it was lost", async (t) => {
  const cache = client(t, told.url);
  const lock = cache.lock("job", { ttl: 0.3, wait: 5 });
  const other = cache.lock("job", { ttl: 5, wait: 0 });
  await lock.acquire();
  await new Promise((resolve) => setTimeout(resolve, 600)); // twice its time: it is renewed
  lock.check();
  assert.equal(await other.acquire(), false);
  await assert.rejects(other.hold(() => {}), Timeout);
  const waiting = cache.lock("job", { ttl: 5 }).hold((mine) => mine.fence);
  const { fence } = lock;
  await lock.release();
  assert.ok((await waiting) > fence);
  await assert.rejects(lock.release(), LockLost);
  const failing = cache.lock("job", { ttl: 5 });
  await assert.rejects(failing.hold(() => Promise.reject(new Error("mine"))), /mine/);
  assert.equal(await other.acquire(), true);
  await other.release();
});

test("the link says how it stands, and whoever waits at the end is told", async () => {
  const cache = connect(told.url, { WebSocket });
  const states = [];
  cache.addEventListener("link", ({ detail }) => states.push(detail.state));
  assert.equal(cache.link.state, "idle");
  assert.ok((await cache.ping()) < 5);
  await until(() => cache.link.roundTrip !== null);
  assert.equal(cache.link.state, "open");
  assert.equal(cache.link.url, told.url);
  assert.equal((await cache.status()).node, cache.link.node);
  assert.equal((await cache.nodes()).nodes[0].id, cache.link.node);
  assert.equal((await cache.node(cache.link.node)).id, cache.link.node);
  assert.match(cache.position, /^\d+-[0-9a-f]+-\d+$/);
  assert.ok(Math.abs(cache.time - Date.now()) < 60_000);
  const waiting = cache.get("a");
  cache.close();
  await assert.rejects(waiting, Unavailable);
  await assert.rejects(cache.get("a"), /closed/);
  await until(() => states.at(-1) === "closed");
  assert.deepEqual([...new Set(states)], ["connecting", "open", "closed"]);
});

test("where nobody is, callers are told in time and then at once", async (t) => {
  const cache = client(t, "ws://127.0.0.1:9", { timeout: 0.3 });
  await assert.rejects(cache.get("a"), (error) => {
    assert.ok(error instanceof Unavailable);
    assert.match(error.message, /get "a" was not done: no server in time; ws:\/\/127.0.0.1:9\/ws: /);
    return true;
  });
  await until(async () => {
    const since = Date.now();
    await assert.rejects(cache.get("a"), Unavailable);
    return Date.now() - since < 100;
  });
});

test("writes belong to the trace that the program says", async (t) => {
  const cache = client(t, told.url, { traceparent: () => told.traceparent });
  assert.equal((await cache.set("traced", 1)).applied, true);
  assert.equal(await cache.incr("traced"), 2);
  assert.equal(await cache.get("traced"), 2);
});
