// Subscriptions and mirrors, against a real node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AlreadySubscribed, BadRequest, Raw } from "../../tlru/js/tlru.js";
import { client, recordingSocket, told, until } from "./helpers.js";

let part = 0;

/** A part of the cache that no other test looks at, and two clients of it. */
function parts(t, options = {}) {
  const prefix = `t${(part += 1)}:`;
  const writer = client(t, told.url, { prefix, timeout: 10 });
  return { prefix, writer, cache: client(t, told.url, { prefix, timeout: 10, ...options }) };
}

/** A listener that remembers. */
function remember() {
  const heard = [];
  const listener = (change) => heard.push(change);
  return { heard, listener, types: () => heard.map((each) => [each.type, each.key, each.value]) };
}

test("a listener is told everything in order, first what there is", async (t) => {
  const { cache, writer } = parts(t);
  await writer.set("a", 1, { ttl: 100, rev: 7 });
  const { heard, listener, types } = remember();
  const stop = cache.subscribe("*", listener, { snapshot: true });
  assert.equal(stop.position, null);
  await until(() => heard.length === 2);
  assert.deepEqual(types(), [["set", "a", 1], ["snapshot", "", undefined]]);
  assert.equal(heard[0].snapshot, true);
  assert.equal(heard[0].rev, 7);
  assert.ok(heard[0].expires.getTime() - Date.now() > 50_000);
  assert.equal(stop.live, true);
  heard.length = 0;
  await writer.setMany({ b: 2, c: 3 });
  await writer.touch("a", 50);
  await writer.incr("n");
  await writer.delete("b");
  await writer.clear("c");
  await writer.set("short", { x: new Date(1) }, { ttl: 0.05 });
  await until(() => heard.length === 8);
  assert.deepEqual(types(), [
    ["set", "b", 2], ["set", "c", 3], ["touch", "a", undefined], ["set", "n", 1],
    ["delete", "b", undefined], ["clear", "c", undefined],
    ["set", "short", { x: new Date(1) }], ["expire", "short", undefined],
  ]);
  assert.equal(heard[2].ttl, 50);
  assert.notEqual(heard[0].position, heard[1].position, "between the two of one version lies no position");
  assert.equal(heard[7].position, stop.position);
  stop();
  await writer.set("a", 2);
  await cache.get("a");
  assert.equal(heard.length, 8);
});

test("a position that was stored goes on with what was missed, each event once", async (t) => {
  const { prefix, cache, writer } = parts(t);
  const first = remember();
  const stop = cache.subscribe("*", first.listener);
  await cache.ping();
  await writer.setMany({ a: 1, b: 2 });
  await until(() => first.heard.length === 2);
  stop();
  await writer.set("c", 3);
  const between = remember();
  const other = client(t, told.url, { prefix });
  other.subscribe("*", between.listener, { since: first.heard[0].position });
  await writer.set("d", 4);
  await until(() => between.heard.length >= 4);
  // After the first of two of one version, both come again: half of a version is no position.
  assert.deepEqual(between.types().map(([, key]) => key), ["a", "b", "c", "d"]);
  const after = remember();
  cache.subscribe("*", after.listener, { since: first.heard[1].position });
  await until(() => after.heard.length >= 2);
  assert.deepEqual(after.types().map(([, key]) => key), ["c", "d"]);
  const reset = remember();
  cache.subscribe("*", reset.listener, { since: "1-ffffffff-5", snapshot: true });
  await until(() => reset.heard.length >= 6);
  assert.equal(reset.heard[0].type, "reset");
  assert.ok(reset.heard[0].reason);
  assert.deepEqual(reset.types().slice(1).map(([type, key]) => [type, key]), [
    ["set", "a"], ["set", "b"], ["set", "c"], ["set", "d"], ["snapshot", ""],
  ]);
});

test("channels carry messages in order, and what a listener throws harms nobody", async (t) => {
  const { cache, writer } = parts(t);
  const thrown = [];
  const onThrown = (error) => thrown.push(error.message);
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", onThrown);
  t.after(() => {
    process.removeListener("uncaughtException", onThrown);
    for (const each of before) process.on("uncaughtException", each);
  });
  cache.subscribe("#news:*", () => {
    throw new Error("of the listener");
  });
  const { heard, listener, types } = remember();
  cache.subscribe("#news:*", listener);
  await cache.ping();
  const version = await writer.publish("news:a", { n: 1 });
  await writer.publish("other", 2);
  await writer.publish("news:b", 3);
  await until(() => heard.length === 2);
  assert.deepEqual(types(), [["message", "news:a", { n: 1 }], ["message", "news:b", 3]]);
  assert.equal(heard[0].version, version);
  await until(() => thrown.length === 2);
  assert.deepEqual(thrown, ["of the listener", "of the listener"]);
});

test("listeners to the same share a subscription; what begins otherwise has a line of its own", async (t) => {
  const Socket = recordingSocket();
  const { cache, writer } = parts(t, { WebSocket: Socket });
  const [one, two, three] = [remember(), remember(), remember()];
  const stops = [one, two].map(({ listener }) => cache.subscribe("*", listener));
  cache.subscribe("*", three.listener, { snapshot: true });
  const mirror = await cache.mirror("*");
  await cache.ping();
  await writer.set("a", 1);
  await until(() => [one, two].every(({ heard }) => heard.length === 1));
  await until(() => three.heard.length === 2 && mirror.get("a") === 1);
  const asked = Socket.sent.flat().filter(({ op }) => op === "subscribe");
  assert.equal(asked.length, 3);
  stops[0]();
  await writer.set("a", 2);
  await until(() => two.heard.length === 2);
  assert.equal(one.heard.length, 1);
  stops[1]();
  // The subscription is being ended while another like it is asked for.
  const again = remember();
  cache.subscribe("*", again.listener);
  await cache.ping();
  await writer.set("a", 3);
  await until(() => again.heard.length === 1);
  assert.equal(two.heard.length, 2);
  const more = Array.from({ length: 5 }, () => cache.subscribe("*", () => {}, { snapshot: true }));
  assert.throws(() => cache.subscribe("*", () => {}, { snapshot: true }), AlreadySubscribed);
  for (const stop of more) stop();
});

test("hello and what is subscribed to leave in one message", async (t) => {
  const Socket = recordingSocket();
  const { cache } = parts(t, { WebSocket: Socket });
  cache.subscribe("*", () => {});
  cache.subscribe("#*", () => {}, { since: "1-00000000-3" });
  await cache.ping();
  assert.deepEqual(Socket.sent[0].map(({ op }) => op), ["hello", "subscribe", "subscribe"]);
  assert.deepEqual(Socket.sent[0][2].since, { epoch: "1-00000000", pos: 3 });
});

test("a mirror is read like a Map, and told when it changes", async (t) => {
  const { cache, writer } = parts(t);
  await writer.setMany({ "p:a": 1, "p:b": 2, q: 3 });
  await writer.set("p:s", "short", { ttl: 0.4 });
  const mirror = await cache.mirror("p:*");
  assert.equal(mirror.coherent, true);
  assert.deepEqual([...mirror], [["p:a", 1], ["p:b", 2], ["p:s", "short"]]);
  assert.deepEqual([mirror.size, mirror.has("q"), mirror.get("q")], [3, false, undefined]);
  const left = mirror.item("p:s").ttl;
  assert.ok(left > 0 && left <= 0.4, String(left));
  assert.equal(mirror.item("p:a").ttl, null);
  const heard = [];
  mirror.addEventListener("change", ({ detail }) => heard.push([detail.type, detail.key]));
  await until(() => !mirror.has("p:s"));
  assert.equal(mirror.size, 2);
  await writer.touch("p:a", 60);
  await until(() => mirror.item("p:a").ttl > 50);
  const { version } = await writer.item("p:a");
  assert.equal(mirror.item("p:a").version, version, "a new life is no new value");
  await writer.set("p:c", [1]);
  await until(() => mirror.get("p:c"));
  assert.deepEqual([...mirror.keys()].sort(), ["p:a", "p:b", "p:c"]);
  assert.deepEqual([...mirror.items()].find(([key]) => key === "p:c")[1].value, [1]);
  await writer.clear("p:");
  await until(() => mirror.size === 0);
  assert.deepEqual(heard.filter(([, key]) => key !== "p:s"),
    [["touch", "p:a"], ["set", "p:c"], ["clear", "p:"]]);
  mirror.close();
  assert.equal(mirror.coherent, false);
  await assert.rejects(cache.mirror("#news"), BadRequest);
  await assert.rejects(cache.mirror("p:*", { whenDown: "nonsense" }), BadRequest);
});

test("a large mirror is filled whole while others write", async (t) => {
  const { cache, writer } = parts(t);
  const count = 5000;
  const pairs = Array.from({ length: count }, (_, n) => [`k${n}`, { n, text: "x".repeat(100) }]);
  await writer.setMany(pairs);
  const writing = (async () => {
    for (let n = 0; n < 400; n++) {
      await Promise.all([writer.set(`k${n * 7}`, -n), writer.delete(`k${n * 11 + 1}`)]);
    }
  })();
  const mirror = await cache.mirror("*");
  await writing;
  await writer.set("end", 1);
  await until(() => mirror.get("end"));
  const there = new Map();
  for await (const [key, item] of writer.items()) there.set(key, item.value);
  assert.deepEqual(new Map([...mirror].sort()), new Map([...there].sort()));
});

test("bytes that are no value are told as they are", async (t) => {
  const { cache, writer } = parts(t);
  const { heard, listener } = remember();
  cache.subscribe("*", listener);
  await cache.ping();
  await writer.set("bad", new Raw(new Uint8Array([0xc1])));
  await writer.set("good", 1);
  await until(() => heard.length === 2);
  assert.ok(heard[0].value instanceof Raw);
  assert.equal(heard[0].error, null);
  assert.equal(heard[1].value, 1);
});

test("a client that ends tells its listeners", async (t) => {
  const { cache } = parts(t);
  const { heard, listener } = remember();
  cache.subscribe("*", listener);
  const mirror = await cache.mirror("*", { whenDown: "throw" });
  cache.close();
  assert.equal(heard.at(-1).type, "end");
  assert.equal(mirror.coherent, false);
  assert.throws(() => mirror.get("a"), /closed/);
});
