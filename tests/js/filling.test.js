// Filling the cache from elsewhere, against a real node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BadRequest, Unavailable } from "../../tlru/js/tlru.js";
import { lockName } from "../../tlru/js/filling.js";
import { client, told, until } from "./helpers.js";

const AWAY = "ws://127.0.0.1:1"; // nobody listens there

/** A source whose answers count up; while it is held, a load does not come to an end. */
function source() {
  const it = { loads: 0, held: false, go: () => {} };
  it.load = async () => {
    it.loads += 1;
    const value = it.loads;
    if (it.held) await new Promise((resolve) => (it.go = resolve));
    return value;
  };
  return it;
}

test("what the cache lacks is loaded once, also for those who ask at other clients", async (t) => {
  const [one, other] = [client(t, told.url), client(t, told.url, { prefix: "fill" })];
  const from = source();
  from.held = true;
  const mine = [1, 2, 3].map(() => one.getOrSet("fill:a", from.load, { ttl: 60 }));
  await until(() => from.loads);
  const theirs = other.getOrSet(":a", () => assert.fail("somebody loads it already"), { wait: 60 });
  await other.ping();
  from.go();
  assert.deepEqual(await Promise.all([...mine, theirs]), [1, 1, 1, 1]);
  const item = await one.item("fill:a");
  assert.ok(item.ttl > 50 && item.ttl <= 60);
  assert.equal(await one.getOrSet("fill:a", from.load), 1);
  assert.equal(from.loads, 1);
});

test("a value that was invalidated while it was loaded is given, and not kept", async (t) => {
  const cache = client(t, told.url);
  const from = source();
  from.held = true;
  const asked = cache.getOrSet("fill:b", from.load);
  await until(() => from.loads);
  await cache.delete("fill:b");
  from.go();
  assert.equal(await asked, 1);
  assert.equal(await cache.get("fill:b"), undefined);
});

test("a stale value is served while one caller replaces it, and outlives a source that fails", async (t) => {
  const cache = client(t, told.url);
  t.mock.method(console, "warn", () => {});
  const from = source();
  const ask = (load) => cache.getOrSet("fill:c", load, { ttl: 0.05, stale: 60 });
  assert.equal(await ask(from.load), 1);
  assert.ok((await cache.item("fill:c")).ttl > 50, "it lives on for as long as it may be stale");
  let failures = 0;
  const failing = () => {
    failures += 1;
    throw new Error("the database is away");
  };
  await until(async () => (await ask(failing)) === 1 && failures > 1);
  from.held = true;
  await until(async () => (await ask(from.load)) === 1 && from.loads === 2);
  const many = await Promise.all(Array.from({ length: 10 }, () => ask(from.load)));
  assert.deepEqual(many, Array(10).fill(1), "nobody waits");
  assert.equal(from.loads, 2);
  from.held = false;
  from.go();
  await until(async () => (await ask(from.load)) >= 2);
});

test("a cache that is away does not take its users along", async (t) => {
  const cache = client(t, AWAY, { timeout: 0.2 });
  const from = source();
  from.held = true;
  const asked = [1, 2, 3].map(() => cache.getOrSet("a", from.load));
  await cache.getOrSet("b", () => "asked last, so whoever asked before it has given the cache up");
  from.go();
  assert.deepEqual(await Promise.all(asked), [1, 1, 1], "and the load is shared all the same");
  await assert.rejects(cache.getOrSet("a", from.load, { onError: "raise" }), Unavailable);
  assert.equal(await cache.getOrSet("a", from.load, { onError: "default", default: 7 }), 7);
  assert.equal(from.loads, 1);
});

test("what the loader throws and what is wrong with the call is thrown", async (t) => {
  const cache = client(t, told.url);
  const failing = () => Promise.reject(new RangeError("no such user"));
  for (let n = 0; n < 2; n += 1) await assert.rejects(cache.getOrSet("fill:d", failing), RangeError);
  assert.equal(await cache.getOrSet("fill:d", () => 5), 5, "and the lock is free again");
  await assert.rejects(cache.getOrSet("", () => 5, { onError: "default" }), BadRequest);
});

test("the lock of a load has the name that the Python client gives it", () => {
  assert.deepEqual(told.locks.map(([key]) => lockName(key)), told.locks.map(([, name]) => name));
});
