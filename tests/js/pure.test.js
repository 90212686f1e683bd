// What is decided without a connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BadRequest, BadValue, fromWire, Timeout, Unavailable, UnknownOutcome }
  from "../../tlru/js/errors.js";
import { alike, circles, clearlyNearer } from "../../tlru/js/nearness.js";
import { selector } from "../../tlru/js/patterns.js";
import { Pulse } from "../../tlru/js/pulse.js";
import { bytesIn, write } from "../../tlru/js/requests.js";
import { Backoff, Breaker, fullJitter, RetryBudget } from "../../tlru/js/resilience.js";
import { positionOf, positionText } from "../../tlru/js/results.js";
import { completeUrl, named, parse } from "../../tlru/js/server.js";
import { ServersStore } from "../../tlru/js/servers_store.js";
import { Servers } from "../../tlru/js/servers.js";
import { OnceNames, Session } from "../../tlru/js/session.js";
import { decode, encode, Ext, Raw } from "../../tlru/js/values.js";

const chance = () => 0.5;

test("values are written with the tags that other clients read", () => {
  const written = {
    '[1,"a",true,null]': [1, "a", true, null],
    '{"$b64":"AQI="}': new Uint8Array([1, 2]),
    '{"$int":"9007199254740993"}': 2n ** 53n + 1n,
    '{"$num":"-Infinity"}': -Infinity,
    '{"$time":"1970-01-01T00:00:00.001Z"}': new Date(1),
    '{"$map":[[1,"a"]]}': new Map([[1, "a"]]),
    '{"$ext":[5,"AQ=="]}': new Ext(5, new Uint8Array([1])),
    '{"$raw":"wQ=="}': new Raw(new Uint8Array([0xc1])),
    '{"$$b64":"no bytes"}': { $b64: "no bytes" },
    '{"$a":1,"b":2}': { $a: 1, b: 2 },
    '{"$$a":1}': { $a: 1, gone: undefined },
    "1e+300": 1e300,
    "1.152921504606847e+18": 2 ** 60,
    "9007199254740992": 2 ** 53,
    "-0.0": -0,
    7: 7n,
  };
  for (const [text, value] of Object.entries(written)) {
    assert.equal(encode(value), text);
    if (typeof value !== "bigint" || value > 2n ** 53n) {
      const back = decode(JSON.parse(text));
      if (!Object.hasOwn(Object(value), "gone")) assert.deepEqual(back, value);
    }
  }
});

test("a part of a larger buffer is written as that part", () => {
  const whole = new Uint8Array([1, 2, 3, 4]);
  assert.equal(encode(whole.subarray(1, 3)), encode(new Uint8Array([2, 3])));
  assert.equal(encode(whole.buffer), encode(whole));
});

test("what no other client could read is refused, and where it stands is said", () => {
  const loop = {};
  loop.loop = loop;
  const refused = [() => {}, undefined, Symbol("a"), 2n ** 64n, new Set(), "\ud800", loop,
    new Date(NaN), [undefined], { a: [new Raw(new Uint8Array())] }, new Ext(200, new Uint8Array())];
  for (const value of refused) assert.throws(() => encode(value), BadValue);
  assert.throws(() => encode({ a: [1, { b: 2n ** 64n }] }), /\(at a\/1\/b\)/);
});

test("a name that would change an object's nature is a name like others", () => {
  const found = decode(JSON.parse('{"__proto__":{"$int":"9007199254740993"},"a":1}'));
  assert.equal(Object.getPrototypeOf(found), Object.prototype);
  assert.equal(Object.getOwnPropertyDescriptor(found, "__proto__").value, 2n ** 53n + 1n);
});

test("times finer than a millisecond lose the rest, also before 1970", () => {
  assert.equal(decode({ $time: "2026-01-31T23:59:59.123456789Z" }).getTime() % 1000, 123);
  assert.equal(decode({ $time: "0001-01-01T00:00:00Z" }).getTime(), -62135596800000);
});

test("tags that are not known, or hold nonsense, are told", () => {
  for (const shown of [{ $new: 1 }, { $int: "x" }, { $time: "today" }, { $map: 1 }, { $b64: "%" }]) {
    assert.throws(() => decode(shown), BadValue);
  }
});

test("errors are told by their class, and an unknown code by its retry", () => {
  assert.ok(fromWire({ code: "bad_request", retry: "no" }) instanceof BadRequest);
  const syncing = fromWire({ code: "syncing", retry: "other", servers: [] });
  assert.ok(syncing instanceof Unavailable);
  assert.equal(syncing.code, "syncing");
  assert.deepEqual(syncing.facts, { servers: [] });
  assert.equal(fromWire({ code: "timeout", retry: "no" }).outcomeKnown, true);
  assert.ok(fromWire({ code: "timeout", retry: "unknown" }) instanceof Timeout);
  assert.ok(fromWire({ code: "newest", retry: "unknown" }) instanceof UnknownOutcome);
  assert.equal(fromWire({ code: "constructor", retry: "no" }).code, "constructor");
  for (const nonsense of [null, 7, "no", { code: 7, retry: [] }]) fromWire(nonsense);
});

test("waits have full jitter under a ceiling that doubles", () => {
  assert.equal(fullJitter(0, 1, 0.1, 20), 0.1);
  assert.equal(fullJitter(3, 0.5, 0.1, 20), 0.4);
  assert.equal(fullJitter(1000, 1, 0.1, 20), 20);
  const backoff = new Backoff(() => 1);
  assert.deepEqual([backoff.wait(), backoff.wait(), backoff.wait()], [0.1, 0.2, 0.4]);
  backoff.reset();
  assert.equal(backoff.wait(), 0.1);
});

test("retries are a tenth of the traffic and a few for the quiet", () => {
  const budget = new RetryBudget();
  let spent = 0;
  while (budget.spend(0, 0)) spent += 1;
  assert.equal(spent, 10);
  for (let asked = 0; asked < 1000; asked++) if (budget.spend(asked + 1, 0)) spent += 1;
  assert.ok(spent === 109 || spent === 110, `a tenth of 1000, and the 10: ${spent}`);
  assert.equal(budget.spend(1000, 1), true);
  assert.equal(budget.spend(1000, 1), false);
});

test("a breaker opens after failures in a row, and lets one trial through", () => {
  const breaker = new Breaker(2, 20);
  breaker.failed(0);
  assert.equal(breaker.allows(0), true);
  breaker.failed(0);
  assert.equal(breaker.allows(19), false);
  assert.equal(breaker.wait(5), 15);
  assert.equal(breaker.allows(20), true);
  assert.equal(breaker.allows(20), false);
  breaker.succeeded();
  assert.equal(breaker.allows(20), true);
});

test("a silence is asked about, and whoever does not answer is given up", () => {
  const pulse = new Pulse(15, 10);
  assert.deepEqual(pulse.look(0, 5), { what: "wait", again: 10 });
  assert.deepEqual(pulse.look(0, 15), { what: "ask", again: 10 });
  assert.deepEqual(pulse.look(0, 24), { what: "wait", again: 1 });
  assert.deepEqual(pulse.look(0, 25), { what: "give up", again: 0 });
  assert.deepEqual(pulse.look(24, 25), { what: "wait", again: 14 });
});

test("round trips that differ by noise are alike", () => {
  assert.ok(alike(0.001, 0.0025));
  assert.ok(!clearlyNearer(0.0005, 0.002));
  assert.ok(clearlyNearer(0.01, 0.05));
  assert.ok(!clearlyNearer(null, 0.05));
  const at = (roundTrip, atHome = false) => ({ roundTrip, atHome });
  const [near, far, unknown, home] = [at(0.01), at(0.1), at(null), at(null, true)];
  assert.deepEqual(circles([unknown, far, home, near]), [[near, home], [far], [unknown]]);
});

test("addresses are completed, and mistakes in them told", () => {
  assert.equal(completeUrl("ws://a:8400", "default"), "ws://a:8400/ws");
  assert.equal(completeUrl("https://a/", "other"), "wss://a/ws?cache=other");
  assert.equal(completeUrl("wss://a/x?b=1", "c"), "wss://a/x?b=1&cache=c");
  for (const bad of ["a:8400", "ftp://a", "", "ws://u:p@a", "ws://a/#b", "/ws"]) {
    assert.throws(() => completeUrl(bad, "default"), BadRequest, bad);
  }
  assert.equal(named(["ws://a", { url: "ws://a/ws" }, "ws://b"], "default").length, 2);
  assert.equal(parse({ url: 7 }, "default"), null);
  assert.equal(parse({ url: "ws://a", weight: -1, region: {} }, "default").weight, 1);
});

function servers(...urls) {
  return new Servers(named(urls, "default"), { cache: "default", chance });
}

test("each server is tried once before any is tried again, as the program named them", () => {
  const all = servers("ws://a", "ws://b", "ws://c");
  const tried = [];
  for (let turn = 0; turn < 3; turn++) {
    tried.push(all.next(0));
    all.failed(tried[turn], "away", 0);
  }
  assert.deepEqual(tried, ["ws://a/ws", "ws://b/ws", "ws://c/ws"]);
  assert.ok(all.allFailed());
  assert.equal(all.next(0), "ws://a/ws");
  assert.match(all.told(), /ws:\/\/b\/ws: away/);
});

test("the list of the cluster adds servers and takes those away that nobody named", () => {
  const all = servers("ws://a");
  all.learn([{ url: "ws://a", id: "n1" }, { url: "ws://b", id: "n2" }, { nonsense: 1 }]);
  assert.equal(all.size, 2);
  all.learn([{ url: "ws://c", id: "n3" }], { whole: false });
  assert.equal(all.size, 3);
  all.learn([{ url: "ws://b", id: "n2" }]);
  assert.deepEqual(all.all().map((each) => each.url).sort(), ["ws://a/ws", "ws://b/ws"]);
  assert.equal(all.learn("nonsense"), false);
});

test("a server that refuses, or has failed often and lately, comes after the others", () => {
  const all = servers("ws://a", "ws://b", "ws://c");
  all.learn([{ url: "ws://a", status: "draining" }, { url: "ws://b" }, { url: "ws://c" }]);
  for (let turn = 0; turn < 3; turn++) all.failed("ws://b/ws", "away", 0);
  all.worked("ws://c/ws");
  assert.deepEqual(
    [1, 2, 3].map(() => {
      const url = all.next(1);
      all.failed(url, "away", 1);
      return url;
    }),
    ["ws://c/ws", "ws://b/ws", "ws://a/ws"],
  );
});

test("one moves to a server that was clearly nearer in three rounds", () => {
  const all = servers("ws://a", "ws://b");
  all.worked("ws://a/ws", "n1");
  for (const round of [1, 2, 3]) {
    assert.deepEqual(all.toMeasure(round), ["ws://a/ws", "ws://b/ws"]);
    all.measured("ws://a/ws", 0.1, round);
    all.measured("ws://b/ws", 0.01, round);
    assert.equal(all.better(round), round < 3 ? null : "ws://b/ws");
  }
});

test("the list is kept in a storage; one that fails or holds nonsense does no harm", () => {
  const kept = new Map();
  const storage = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v) };
  const store = new ServersStore(storage, "default");
  assert.deepEqual(store.read(), []);
  store.keep(named(["ws://a"], "default"));
  assert.equal(store.read()[0].url, "ws://a/ws");
  for (const nonsense of ["{", "7", "null", '{"a":1}']) {
    kept.set("tlru.servers.default", nonsense);
    assert.deepEqual(store.read(), []);
  }
  const fail = () => {
    throw new Error("forbidden");
  };
  const failing = new ServersStore({ getItem: fail, setItem: fail }, "default");
  failing.keep([]);
  assert.deepEqual(failing.read(), []);
});

test("positions compare within an epoch, and an epoch that is over is known", () => {
  const session = new Session();
  assert.equal(session.enter("1-a"), false);
  session.saw("1-a", 7, 1000, 10);
  assert.equal(session.aheadOf(6, 1000), true);
  assert.equal(session.aheadOf(7, 1000), false);
  assert.equal(session.clusterMs(10.5), 1500);
  assert.equal(session.enter("2-b"), true);
  session.saw("1-a", 99, 9999, 11);
  assert.deepEqual(session.minimum(), { epoch: "2-b", pos: 0, time: 0 });
  assert.equal(session.hasLeft("1-a"), true);
  assert.equal(session.hasLeft("3-c"), false);
});

test("names for writes tell the node which results it need not remember", () => {
  const names = new OnceNames("s");
  assert.deepEqual([1, 2, 3].map(() => names.give(5).done), [0, 0, 0]);
  names.finish(2);
  assert.equal(names.give(5).done, 0);
  names.finish(1);
  assert.deepEqual(names.give(5), { session: "s", n: 5, at: 5, done: 2 });
  assert.match(new OnceNames().session, /^[0-9a-f]{32}$/);
});

test("patterns are said by name, within a part of the cache", () => {
  const said = {
    "price:EUR": { key: "p:price:EUR" },
    "price:*": { prefix: "p:price:" },
    "*": { prefix: "p:" },
    "#news": { channel: "p:news" },
    "#news:*": { channel_prefix: "p:news:" },
    "#*": { channel_prefix: "p:" },
  };
  for (const [short, wanted] of Object.entries(said)) assert.deepEqual(selector(short, "p:"), wanted);
  assert.deepEqual(selector({ channelPrefix: "#" }, ""), { channel_prefix: "#" });
  for (const bad of [{}, { key: 1 }, { a: "b" }, null, { key: "a", prefix: "b" }, 7]) {
    assert.throws(() => selector(bad, ""), BadRequest);
  }
});

test("positions are stored as texts", () => {
  assert.equal(positionText({ epoch: "1-a", pos: 7 }), "1-a-7");
  assert.deepEqual(positionOf("1-a-7"), { epoch: "1-a", pos: 7 });
  assert.equal(positionOf(undefined), null);
  assert.throws(() => positionOf("nonsense"), BadRequest);
});

test("bytes are counted as they leave", () => {
  for (const text of ["", "a", "é", "€", "😀", "a€😀é"]) {
    assert.equal(bytesIn(text), new TextEncoder().encode(text).length);
  }
  assert.equal(write({ a: null, b: undefined, c: 0 }), '{"c":0}');
});
