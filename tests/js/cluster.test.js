// Three nodes, of which one is killed while clients are subscribed to it and write through it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TlruError, UnknownOutcome } from "../../tlru/js/tlru.js";
import { client, told, until } from "./helpers.js";

const urls = told.nodes.map(({ url }) => url);
const timing = { steady: 0.1, measureFirst: 0.3, measureEvery: 1 };

function killNodeOf(cache) {
  const { pid, id } = told.nodes.find((node) => node.id === cache.link.node);
  process.kill(pid, "SIGKILL");
  return id;
}

test("a node that is killed costs a subscriber nothing, and a writer only what is said", async (t) => {
  const storage = new Map();
  const kept = {
    getItem: (name) => storage.get(name) ?? null,
    setItem: (name, text) => storage.set(name, text),
  };
  // Only the first is named: the others are the cluster's to tell.
  const watching = client(t, urls[0], { timing, storage: kept, timeout: 10 });
  const writing = client(t, urls[0], { timing, timeout: 10 });
  const heard = [];
  const positions = [];
  const stop = watching.subscribe("w:*", (change) => {
    heard.push(change);
    positions.push(change.position);
  });
  const mirror = await watching.mirror("w:*");
  const states = [];
  mirror.addEventListener("state", ({ detail }) => states.push(detail.coherent));
  await writing.incr("w:count");
  assert.equal(watching.servers.length, 3);
  assert.equal(watching.link.node, writing.link.node);

  let done = 0;
  let unknown = 0;
  let ended = false;
  const sums = [];
  const writers = Array.from({ length: 8 }, async (_, n) => {
    for (let turn = 0; !ended; turn++) {
      // A named write is done exactly once, so what is counted is what was answered.
      sums.push(await writing.incr("w:count"));
      try {
        await writing.set(`w:${n}`, turn);
        done += 1;
      } catch (error) {
        assert.ok(error instanceof UnknownOutcome, String(error));
        unknown += 1;
      }
      await watching.get(`w:${n}`);
    }
  });
  await until(() => done > 200);
  const killed = killNodeOf(watching);
  const before = done;
  await until(() => watching.link.state === "open" && watching.link.node !== killed);
  await until(() => done > before + 200 && mirror.coherent);
  ended = true;
  await Promise.all(writers);

  const last = await writing.set("w:last", 1);
  await until(() => heard.at(-1)?.version === last.version && mirror.get("w:last") === 1);
  const count = await watching.get("w:count");
  assert.equal(count, sums.length + 1, "each increment was done once");
  assert.equal(new Set(sums).size, sums.length);
  const counted = heard.filter(({ key }) => key === "w:count").map(({ value }) => value);
  assert.deepEqual(counted, Array.from({ length: count }, (_, n) => n + 1), "each once, in order");
  assert.ok(heard.every(({ type }) => type === "set"), "nothing was reset");
  const versions = heard.map(({ version }) => version);
  assert.deepEqual(versions, [...versions].sort((one, other) => one - other));
  assert.ok(unknown <= 16, `${unknown} of ${done}: those that were under way`);
  assert.ok(states.includes(false) && states.at(-1) === true, "the mirror said that it was behind");

  const there = new Map();
  for await (const [key, item] of watching.items("w:")) there.set(key, item.value);
  assert.deepEqual(new Map([...mirror].sort()), new Map([...there].sort()));
  assert.equal(stop.position.startsWith(`${watching.link.epoch}-`), true);

  // Somebody who names a server that is gone finds the cluster by what was kept.
  assert.equal(JSON.parse(storage.get("tlru.servers.default")).length, 3);
  const gone = told.nodes.find(({ id }) => id === killed).url;
  const later = client(t, gone, { storage: kept, timeout: 10, timing });
  const resumed = [];
  later.subscribe("w:*", (change) => resumed.push(change.version), { since: positions[0] });
  await until(() => resumed.length === heard.length - 1);
  assert.deepEqual(resumed, versions.slice(1), "another client goes on from a stored position");
});

test("without a majority, writes are refused by name and a mirror keeps what it had", async (t) => {
  const cache = client(t, urls, { timing, timeout: 2 });
  const mirror = await cache.mirror("w:*");
  // Of another pattern, so that it is fed over the same connection.
  const strict = await cache.mirror("w:l*", { whenDown: "throw" });
  const size = mirror.size;
  assert.ok(size > 0);
  killNodeOf(cache);
  const refusal = await until(async () => {
    try {
      await cache.set("w:x", 1);
      return null;
    } catch (error) {
      return error;
    }
  });
  assert.ok(refusal instanceof TlruError, String(refusal));
  await until(() => !mirror.coherent && !strict.coherent);
  assert.equal(mirror.size, size);
  assert.throws(() => strict.get("w:last"), TlruError);
});
