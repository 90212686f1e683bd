// Limits by client class, on a real node that goes by them: what it refuses is asked again when it said, and not before.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { RateLimited } from "../../tlru/js/tlru.js";
import { client, told, until } from "./helpers.js";
import { signed } from "./tokens.js";

const secret = Buffer.from(told.secret, "base64");
const ALL = { read: [""], write: [""], subscribe: [""] };
const of = (name) => signed(secret, 600, { ...ALL, class: name });

/** A WebSocket class that remembers when it sent which operation, and what was refused until when. */
function watching() {
  return class extends WebSocket {
    static sent = [];
    static refused = [];
    static opened = [];
    constructor(...how) {
      super(...how);
      this.constructor.opened.push(performance.now());
      this.on("message", (data) => {
        for (const line of String(data).split("\n")) {
          const { error } = JSON.parse(line);
          if (error) this.constructor.refused.push({ at: performance.now(), error });
        }
      });
      this.on("close", (code, reason) => this.constructor.refused.push({ at: performance.now(), code, reason: String(reason) }));
    }
    send(data) {
      for (const line of data.split("\n")) this.constructor.sent.push({ at: performance.now(), op: JSON.parse(line).op });
      super.send(data);
    }
  };
}

test("what is refused is asked again when the node said, and every caller has its answer", async (t) => {
  const Socket = watching();
  const cache = client(t, told.url, { WebSocket: Socket, token: of("bulk"), timeout: 10 });
  await cache.ping();
  // Whoever asks one by one is slowed down to what the class may, and told of nothing.
  const limited = () => Socket.refused.filter(({ error }) => error?.code === "rate_limited");
  let n = 0;
  while (limited().length < 5 && n < 1000) await cache.set("slow", (n += 1));
  assert.equal(await cache.get("slow"), n);
  const refusals = limited();
  assert.ok(refusals.length >= 5, `${n} were let in at once`);
  for (const { at, error } of refusals) {
    assert.equal(error.limit, "operations");
    const next = Socket.sent.find((each) => each.op === "set" && each.at > at);
    if (next) assert.ok(next.at - at >= error.after * 1000 - 2, `after ${next.at - at} ms, and it said ${error.after} s`);
  }
});

test("where its caller would not be waiting any more, the caller is told the limit and when to come", async (t) => {
  const cache = client(t, told.url, { token: of("scarce"), timeout: 0.5 });
  await cache.set("once", 1);
  // On a slow machine the next one may find that its turn has come already.
  const error = await until(() => cache.get("once").then(() => null, (refusal) => refusal), "a refusal");
  assert.ok(error instanceof RateLimited, String(error));
  assert.equal(error.facts.limit, "operations");
  const { after } = error.facts;
  assert.ok(after > 0 && after <= 1, String(after));
  // Others are not kept from anything; and it is let in when it was told to come.
  const other = client(t, told.url, { token: of("default"), timeout: 5 });
  assert.equal(await other.get("once"), 1);
  await new Promise((resolve) => setTimeout(resolve, after * 1000));
  assert.equal(await cache.get("once"), 1);
});

test("who is turned away with a connection too many comes back when the node said, and misses nothing", async (t) => {
  const Sockets = [watching(), watching(), watching()];
  const refused = () => Sockets.flatMap((each) => each.refused);
  const writer = client(t, told.url, { token: of("default"), timeout: 10 });
  const crowd = Sockets.map((Socket) => {
    const cache = client(t, told.url, { WebSocket: Socket, token: of("few"), timeout: 10 });
    const heard = [];
    cache.subscribe("wide", (change) => heard.push(change.value), { snapshot: true });
    return { cache, heard };
  });
  await until(() => refused().length > 0, "there is no place for all of them");
  await writer.set("wide", "meanwhile");
  await until(() => crowd.every(({ heard }) => heard.includes("meanwhile")), "all are let in");
  for (const Socket of Sockets) {
    for (const { at, code, reason } of Socket.refused) {
      assert.equal(code, 4429, reason);
      const after = Number(/^after=([\d.]+)/.exec(reason)[1]);
      assert.ok(after > 0, reason);
      const next = Socket.opened.find((each) => each > at);
      assert.ok(next - at >= after * 1000 - 5, `back after ${next - at} ms, and it said ${after} s`);
    }
  }
});
