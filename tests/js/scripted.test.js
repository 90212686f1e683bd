// What the client says to a server that does what a real one seldom does: a server that the test plays.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { BadValue, Forbidden, Timeout, Unauthenticated, Unavailable, UnknownOutcome }
  from "../../tlru/js/tlru.js";
import { client, until } from "./helpers.js";

const QUICK = { backoffFirst: 0.01, backoffMost: 0.05, steady: 0.01 };

/** A server that the test plays: it says hello by itself, and leaves the rest to `answer`. */
class Played {
  heard = []; // all requests, in order
  frames = [];
  sockets = [];
  hello = {};

  static async start(t, answer) {
    const played = new Played(t, answer);
    await once(played.server, "listening");
    return played;
  }

  constructor(t, answer) {
    this.answer = answer;
    this.server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    this.server.on("connection", (socket) => this.#onConnection(socket));
    t.after(() => this.stop());
  }

  get url() {
    return `ws://127.0.0.1:${this.server.address().port}/ws`;
  }

  stop() {
    for (const socket of this.sockets) socket.terminate();
    this.server.close();
  }

  #onConnection(socket) {
    this.sockets.push(socket);
    socket.tell = (message) => socket.send(JSON.stringify(message));
    socket.ok = (request, more = {}) => socket.tell({ id: request.id, ok: true, ...more });
    socket.refuse = (request, error) => socket.tell({ id: request.id, ok: false, error });
    socket.on("message", (data) => {
      const requests = String(data).split("\n").map((line) => JSON.parse(line));
      this.frames.push(requests);
      for (const request of requests) {
        this.heard.push(request);
        if (request.op === "hello" && !this.hello.refuse) {
          socket.ok(request, { node: "n1", epoch: "1-aa", pos: 5, time: 1000, status: "active",
            limits: {}, servers: [], ...this.hello });
        } else this.answer?.(socket, request, this);
      }
    });
  }

  of(op) {
    return this.heard.filter((request) => request.op === op);
  }
}

const GET = { found: true, value: 1, version: 3, pos: 5, time: 1000 };

test("a read whose connection dies is asked again, a named write under its name", async (t) => {
  const names = [];
  const played = await Played.start(t, (socket, request, { sockets }) => {
    if (request.once) names.push(request.once);
    if (sockets.length === 1) {
      if (request.op === "incr") socket.terminate();
    } else if (request.op === "get") socket.ok(request, GET);
    else socket.ok(request, { value: 7, version: 6, pos: 6, deleted: 1 });
  });
  const cache = client(t, played.url, { timing: QUICK });
  const found = await Promise.all([cache.get("a"), cache.incr("n")]);
  assert.deepEqual(found, [1, 7]);
  assert.equal(names.length, 2);
  assert.deepEqual(names[0], names[1], "the same name, so it is done once");
  await cache.delete("a");
  assert.equal(names[2].n, 2);
  assert.equal(names[2].done, 1);
});

test("a write without a name, whose answer never came, is said to be of unknown outcome", async (t) => {
  const played = await Played.start(t, (socket, request) => {
    if (request.op === "set") socket.terminate();
  });
  const cache = client(t, played.url, { timing: QUICK });
  await assert.rejects(cache.set("a", 1), (error) => {
    assert.ok(error instanceof UnknownOutcome);
    assert.match(error.message, /set "a" was sent, and never answered: ws:/);
    return true;
  });
  assert.equal(played.of("set").length, 1);
});

test("a request that connections die of is given up", async (t) => {
  const played = await Played.start(t, (socket) => socket.terminate());
  const cache = client(t, played.url, { timing: QUICK, timeout: 10 });
  await assert.rejects(cache.get("poison"), Unavailable);
  assert.equal(played.of("get").length, 4);
});

test("who is told to come back later does, and not before", async (t) => {
  const at = [];
  const played = await Played.start(t, (socket, request) => {
    at.push(Date.now());
    if (at.length === 1) {
      socket.refuse(request, { code: "rate_limited", message: "slow", retry: "same", after: 0.3 });
    } else socket.ok(request, GET);
  });
  const cache = client(t, played.url, { timing: QUICK });
  assert.equal(await cache.get("a"), 1);
  assert.ok(at[1] - at[0] >= 295, `${at[1] - at[0]} ms`);
});

test("a goodbye may say when to come back, and nobody comes before", async (t) => {
  for (const inHello of [true, false]) {
    const at = [];
    const played = await Played.start(t, (socket, request) => {
      if (at.length === 1) {
        played.hello = {};
        socket.close(4429, "after=0.5 too fast");
      } else if (request.op === "hello") {
        socket.ok(request, { node: "n1", epoch: "1-aa", pos: 5, time: 1000, servers: [] });
      } else socket.ok(request, GET);
    });
    played.server.on("connection", () => at.push(Date.now()));
    if (inHello) played.hello = { refuse: true };
    const cache = client(t, played.url, { timing: QUICK });
    assert.equal(await cache.get("a"), 1);
    assert.equal(at.length, 2);
    assert.ok(at[1] - at[0] >= 495, `${at[1] - at[0]} ms`);
  }
});

test("while one server is left in peace another is asked", async (t) => {
  const busy = await Played.start(t, (socket) => socket.close(4429, "after=30 too fast"));
  busy.hello = { refuse: true };
  const other = await Played.start(t, (socket, request) => socket.ok(request, GET));
  const cache = client(t, [busy.url, other.url], { timing: QUICK });
  assert.equal(await cache.get("a"), 1);
  assert.equal(cache.link.url, other.url);
  assert.equal(busy.sockets.length, 1);
});

test("what is refused for good is not asked again; retries end with the budget", async (t) => {
  const played = await Played.start(t, (socket, request) => {
    const again = request.key === "busy";
    const code = again ? "overloaded" : "forbidden";
    socket.refuse(request, { code, message: "no", retry: again ? "other" : "no" });
  });
  const cache = client(t, played.url, { timing: QUICK, timeout: 5 });
  await assert.rejects(cache.get("a"), Forbidden);
  assert.equal(played.of("get").length, 1);
  const all = await Promise.allSettled(Array.from({ length: 200 }, () => cache.get("busy")));
  assert.ok(all.every(({ reason }) => reason.code === "overloaded"));
  const repeats = played.of("get").length - 201;
  assert.ok(repeats >= 20 && repeats <= 40, `${repeats} repeats of 200: a tenth, and ten`);
});

test("a write that was not answered in time may have been done; one that never left was not", async (t) => {
  const played = await Played.start(t, () => {});
  const cache = client(t, played.url, { timing: QUICK, timeout: 0.2 });
  await assert.rejects(cache.set("a", 1), (e) => e instanceof Timeout && !e.outcomeKnown);
  await assert.rejects(cache.get("a"), (e) => e instanceof Timeout && e.outcomeKnown);
  const nobody = client(t, "ws://127.0.0.1:9", { timing: QUICK, timeout: 0.2 });
  await assert.rejects(nobody.set("a", 1), (e) => e instanceof Unavailable && /not done/.test(e.message));
});

test("a silent server is pinged and then given up for another", async (t) => {
  const silent = await Played.start(t, () => {});
  const other = await Played.start(t, (socket, request) => socket.ok(request, GET));
  const timing = { ...QUICK, pingAfter: 0.1, pongWithin: 0.1 };
  const cache = client(t, [silent.url, other.url], { timing, timeout: 5 });
  assert.equal(await cache.get("a"), 1);
  assert.equal(silent.of("ping").length, 1);
  assert.equal(other.of("get").length, 1);
});

test("a node that asks to be left is left once another is open, and answers what it was asked", async (t) => {
  let late;
  const going = await Played.start(t, (socket, request) => {
    if (request.key === "late") late = () => socket.ok(request, { ...GET, value: "late" });
    else socket.ok(request, request.op === "subscribe" ? { feed: 1, upto: 5, resumed: false } : GET);
  });
  const staying = await Played.start(t, (socket, request) => {
    if (request.op !== "subscribe") socket.ok(request, GET);
    else {
      socket.ok(request, { feed: 9, upto: 6, resumed: true });
      // What both have told is told once.
      const events = [6, 7, 8].map((version) => ({ type: "set", key: "k", version, at: 1, value: version }));
      socket.tell({ push: "events", feed: 9, upto: 8, events });
    }
  });
  staying.hello = { node: "n2" };
  const cache = client(t, [going.url, staying.url], { timing: QUICK, timeout: 5 });
  const heard = [];
  cache.subscribe("*", ({ value, position }) => heard.push([value, position]));
  await cache.get("a");
  const waiting = cache.get("late");
  await until(() => late);
  const [socket] = going.sockets;
  socket.tell({ push: "events", feed: 1, upto: 6, events: [{ type: "set", key: "k", version: 6, at: 1, value: 6 }] });
  socket.tell({ push: "goaway", reason: "draining", within: 0.05, servers: [] });
  await until(() => cache.link.node === "n2");
  assert.deepEqual(staying.frames[0].map(({ op }) => op), ["hello", "subscribe"]);
  assert.deepEqual(staying.of("subscribe")[0].since, { epoch: "1-aa", pos: 6 });
  late();
  assert.equal(await waiting, "late");
  await until(() => heard.length === 3);
  assert.deepEqual(heard, [[6, "1-aa-6"], [7, "1-aa-7"], [8, "1-aa-8"]]);
});

test("another epoch: positions are forgotten, and what speaks of versions is not sent there", async (t) => {
  const played = await Played.start(t, (socket, request, self) => {
    if (request.op === "get") socket.ok(request, { ...GET, pos: 50 });
    else if (request.op === "set") {
      self.hello = { epoch: "2-bb", pos: 1 };
      socket.close(4410, "another epoch");
    }
  });
  const cache = client(t, played.url, { timing: QUICK, timeout: 5 });
  await cache.get("a");
  assert.equal(cache.position, "1-aa-50");
  await assert.rejects(cache.set("a", 1, { if: 3 }), (e) => e.code === "unknown_outcome");
  await until(() => cache.link.epoch === "2-bb");
  await cache.get("a");
  assert.equal(played.of("get")[1].min, undefined);
  assert.equal(cache.position, "2-bb-50");
});

test("reads never go backwards: a node that is behind is told how far one has seen", async (t) => {
  const ahead = await Played.start(t, (socket, request) => {
    if (request.key === "bye") socket.terminate();
    else socket.ok(request, { ...GET, pos: 90, time: 2000 });
  });
  const behind = await Played.start(t, (socket, request) => socket.ok(request, { ...GET, pos: 91 }));
  const cache = client(t, [ahead.url, behind.url], { timing: QUICK, timeout: 4 });
  await cache.get("a");
  await cache.get("bye");
  const [asked] = behind.of("get");
  assert.deepEqual(asked.min, { epoch: "1-aa", pos: 90, time: 2000 });
  assert.ok(asked.timeout > 0 && asked.timeout <= 2, "half of the time is for asking elsewhere");
  await cache.get("a");
  const again = behind.of("get")[1].min;
  assert.deepEqual(again, { ...asked.min, pos: 91 }, "its clock has not been shown to be as far");
});

test("a token is fetched anew when it has run out; where no other can be had, all are told", async (t) => {
  let given = 0;
  const played = await Played.start(t, (socket, request) => {
    const { token } = request;
    const error = { code: "unauthenticated", message: "no", retry: "no" };
    if (request.op === "hello") {
      if (token !== "t2") return socket.refuse(request, error);
      return socket.ok(request, { epoch: "1-aa", pos: 5, status: "active" });
    }
    return socket.ok(request, GET);
  });
  played.hello = { refuse: true };
  const cache = client(t, played.url, { timing: { ...QUICK, backoffMost: 0.01 }, token: async () => `t${++given}` });
  await assert.rejects(cache.get("a"), Unauthenticated);
  await until(() => cache.get("a").then(() => true, () => false));
  assert.deepEqual(played.of("hello").map(({ token }) => token), ["t1", "t2"]);
  const stuck = client(t, played.url, { timing: QUICK, token: "wrong" });
  const heard = [];
  stuck.addEventListener("link", ({ detail }) => heard.push(detail.problem));
  await assert.rejects(stuck.get("a"), Unauthenticated);
});

test("a close of 1008 is told as forbidden, one of 1009 has messages split", async (t) => {
  const closing = await Played.start(t, (socket) => socket.close(1008, "not you"));
  closing.hello = { refuse: true };
  await assert.rejects(client(t, closing.url, { timing: QUICK }).get("a"), Forbidden);
  const small = await Played.start(t, (socket, request, { frames }) => {
    const bytes = JSON.stringify(frames.at(-1)).length;
    if (bytes > 20_000) socket.close(1009, "too large");
    else socket.ok(request, GET);
  });
  const cache = client(t, small.url, { timing: QUICK, timeout: 10 });
  const names = Array.from({ length: 300 }, (_, n) => `${"k".repeat(100)}${n}`);
  const found = await Promise.all(names.map((name) => cache.get(name)));
  assert.ok(found.every((value) => value === 1));
});

test("nonsense from a server ends its connection, not the client", async (t) => {
  for (const nonsense of ["{", "null", '{"push":"events","feed":1}\n7', Buffer.from([1, 2])]) {
    const played = await Played.start(t, (socket, request, { sockets }) => {
      if (request.op === "subscribe") socket.ok(request, { feed: 1, upto: 5, resumed: false });
      else if (sockets.length === 1) socket.send(nonsense);
      else socket.ok(request, GET);
    });
    const cache = client(t, played.url, { timing: QUICK, timeout: 5 });
    cache.subscribe("*", () => {});
    assert.equal(await cache.get("a"), 1, String(nonsense));
  }
});

test("a server that refuses is left for one that serves", async (t) => {
  const syncing = await Played.start(t, () => {});
  syncing.hello = { status: "syncing" };
  const other = await Played.start(t, (socket, request) => socket.ok(request, GET));
  const cache = client(t, [syncing.url, other.url], { timing: QUICK });
  assert.equal(await cache.get("a"), 1);
  assert.equal(cache.link.url, other.url);
});

test("a feed that the node ends is told, or asked for again where that may help", async (t) => {
  const ends = [
    { code: "overloaded", message: "later", retry: "other" },
    { code: "forbidden", message: "no", retry: "no" },
  ];
  const played = await Played.start(t, (socket, request) => {
    socket.ok(request, { feed: 4, upto: 5, resumed: false });
    socket.tell({ push: "events", feed: 4, upto: 6, events: [
      { type: "set", key: "a", version: 6, at: 1, value: { $new: 1 } },
      { type: "unheard of", key: "b", version: 6, at: 1 },
    ] });
    socket.tell({ push: "unheard of", feed: 4 });
    socket.tell({ push: "end", feed: 4, error: ends.shift() });
  });
  const cache = client(t, played.url, { timing: QUICK });
  const heard = [];
  const stop = cache.subscribe("*", (change) => heard.push(change));
  await until(() => heard.at(-1)?.type === "end");
  assert.equal(heard.at(-1).error.code, "forbidden");
  assert.ok(heard[0].error instanceof BadValue, "a value that cannot be read does not end a feed");
  assert.deepEqual(heard.map(({ type }) => type).slice(0, 2), ["set", "unheard of"]);
  assert.deepEqual(played.of("subscribe")[1].since, { epoch: "1-aa", pos: 6 });
  assert.equal(stop.live, false);
});

test("one moves to a server that is clearly nearer", async (t) => {
  const answer = (socket, request) => socket.ok(request, GET);
  const far = await Played.start(t, (socket, request) => setTimeout(() => answer(socket, request), 60));
  const near = await Played.start(t, answer);
  near.hello = { node: "n2" };
  const timing = { ...QUICK, measureFirst: 0.02, measureEvery: 0.02 };
  const cache = client(t, [far.url, near.url], { timing, timeout: 5 });
  await cache.get("a");
  assert.equal(cache.link.url, far.url);
  await until(() => cache.link.url === near.url);
});

test("a mirror that begins anew forgets what is gone, and is coherent once it has caught up", async (t) => {
  const set = (key, version) => ({ type: "set", key, version, at: 1, value: version });
  const played = new Map();
  const server = await Played.start(t, (socket, request, { sockets }) => {
    played.set(sockets.length, socket);
    const resumed = sockets.length > 1;
    socket.ok(request, { feed: 1, upto: resumed ? 9 : 5, resumed });
    const items = ["a", "b"].map((key) => ({ key, version: 3, at: 1, value: 3 }));
    if (!resumed) socket.tell({ push: "snapshot", feed: 1, upto: 5, time: 1, items, last: true });
  });
  const cache = client(t, server.url, { timing: QUICK });
  const told = [];
  const mirror = await cache.mirror("*", { onChange: ({ type, key }) => told.push([type, key]) });
  assert.deepEqual([...mirror], [["a", 3], ["b", 3]]);
  const first = played.get(1);
  first.tell({ push: "events", feed: 1, upto: 6, events: [set("c", 6)] });
  first.tell({ push: "reset", feed: 1, reason: "too far behind", epoch: "1-aa", upto: 8 });
  await until(() => told.at(-1)[0] === "reset");
  assert.equal(mirror.coherent, false);
  assert.equal(mirror.size, 3, "what was there is kept until all is told");
  const parts = [["b", 7], ["d", 8]].map(([key, version]) => ({ key, version, at: 1, value: version }));
  first.tell({ push: "snapshot", feed: 1, upto: 8, time: 1, items: parts.slice(0, 1) });
  first.tell({ push: "snapshot", feed: 1, upto: 8, time: 1, items: parts.slice(1), last: true });
  await until(() => mirror.coherent);
  assert.deepEqual([...mirror], [["b", 7], ["d", 8]]);
  assert.deepEqual(told.slice(-4), [["set", "b"], ["set", "d"], ["delete", "a"], ["delete", "c"]]);
  first.tell({ push: "events", feed: 1, upto: 9, events: [] });
  server.hello = { pos: 20 };
  first.close(1012);
  const second = await until(() => played.get(2));
  await until(() => cache.link.state === "open" && server.of("subscribe").length === 2);
  second.tell({ push: "events", feed: 1, upto: 12, events: [set("e", 12)] });
  await until(() => mirror.get("e"));
  assert.equal(mirror.coherent, false, "the node was at 20 when it took the mirror up");
  second.tell({ push: "events", feed: 1, upto: 20, events: [] });
  await until(() => mirror.coherent);
  assert.deepEqual(server.of("subscribe").map(({ since }) => since?.pos), [undefined, 9]);
});

test("a write tells the trace that is current where it is asked for, if that is recorded", async (t) => {
  const answer = (socket, request) =>
    socket.ok(request, { ...GET, held: true, released: true, fence: 7, deleted: 1 });
  const played = await Played.start(t, answer);
  played.hello = { features: ["trace"] };
  let current;
  const cache = client(t, played.url, { timing: QUICK, traceparent: () => current });
  const id = (first) => `00-${first.repeat(32)}-${"b".repeat(16)}`;
  const asked = [];
  for (const said of [`${id("a")}-01`, `${id("c")}-03`, `${id("a")}-00`, `${id("0")}-01`, "no", null]) {
    current = said;
    asked.push(cache.set("k", 1), cache.get("k"));
  }
  current = `${id("d")}-01`;
  asked.push(cache.delete("k"));
  await cache.lock("job", { ttl: 0.03 }).hold(() => until(() => played.of("renew").length));
  await Promise.all(asked);
  assert.deepEqual(played.of("set").map(({ trace }) => trace),
    [`${id("a")}-01`, `${id("c")}-03`, undefined, undefined, undefined, undefined]);
  assert.deepEqual(played.of("get").filter(({ trace }) => trace), []);
  const told = ["delete", "lock", "unlock", "renew"].map((op) => played.of(op)[0].trace);
  assert.deepEqual(told, [current, current, current, undefined]);
});

test("a node that does not know traces is told of none", async (t) => {
  const played = await Played.start(t, (socket, request) => socket.ok(request, GET));
  const traceparent = () => `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  await client(t, played.url, { traceparent }).set("k", 1);
  assert.equal(played.of("set")[0].trace, undefined);
  assert.throws(() => client(t, played.url, { traceparent: "00-aa" }), /is a function/);
});
