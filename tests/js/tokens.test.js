// Tokens that run out under a client, against a real node that asks for them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Forbidden, Unauthenticated } from "../../tlru/js/tlru.js";
import { client, told, until } from "./helpers.js";
import { signed } from "./tokens.js";

const ALL = { read: [""], write: [""], subscribe: [""], publish: [""] };
const secret = Buffer.from(told.secret, "base64");

/** What a program gives as `token`, and what it has given out so far. */
function tokens(ttl, rights) {
  const given = [];
  const fetch = () => {
    given.push(signed(secret, ttl, rights));
    return given.at(-1);
  };
  return { given, fetch };
}

test("a feed outlives one token after another where nothing else is asked", async (t) => {
  const writer = client(t, told.url, { token: signed(secret, 600, ALL) });
  const { given, fetch } = tokens(0.4, { subscribe: ["a:"] });
  const watching = client(t, told.url, { token: fetch });
  const heard = [];
  const stop = watching.subscribe("a:*", (change) => heard.push(change));
  await until(() => stop.live, "the feed");
  // Each is over before the next is asked for, and each time there is something to be missed.
  for (let life = 1; life <= 3; life += 1) {
    await writer.set("a:n", life);
    await until(() => heard.length >= life, `what happened in life ${life}: ${heard.at(-1)?.error}`);
    const before = given.length;
    await until(() => given.length > before || heard.at(-1).type === "end", "the next token");
    assert.notEqual(heard.at(-1).type, "end", String(heard.at(-1).error));
  }
  await writer.set("a:n", "last");
  await until(() => heard.at(-1).value === "last" || heard.at(-1).type === "end");
  assert.deepEqual(heard.map(({ type, value }) => [type, value]), [["set", 1], ["set", 2], ["set", 3], ["set", "last"]]);
});

test("a feed goes on when whoever gives out tokens was away, or gave out old ones, for a while", async (t) => {
  const writer = client(t, told.url, { token: signed(secret, 600, ALL) });
  const bad = [() => Promise.reject(new Error("away")), () => signed(secret, -5, ALL)];
  const answers = [() => signed(secret, 0.4, ALL), ...bad, () => signed(secret, 600, ALL)];
  let asked = 0;
  const token = () => answers[Math.min(asked++, answers.length - 1)]();
  const timing = { backoffFirst: 0.02, backoffMost: 0.1 };
  const watching = client(t, told.url, { token, timing });
  const heard = [];
  const stop = watching.subscribe("b:*", (change) => heard.push(change));
  await until(() => stop.live, "the feed");
  await until(() => asked >= answers.length && stop.live, "the feed again");
  await writer.set("b:n", 1);
  await until(() => heard.length, "the event");
  assert.deepEqual(heard.map(({ type, value }) => [type, value]), [["set", 1]]);
});

test("a token that is given as it is cannot be renewed: its end is the feed's", async (t) => {
  const watching = client(t, told.url, { token: signed(secret, 0.4, ALL) });
  const heard = [];
  const stop = watching.subscribe("c:*", (change) => heard.push(change));
  await until(() => stop.live, "the feed");
  await until(() => heard.length, "the end");
  assert.equal(heard[0].type, "end");
  assert.ok(heard[0].error instanceof Unauthenticated);
  await assert.rejects(watching.get("c:n"), Unauthenticated);
  const narrow = client(t, told.url, { token: () => signed(secret, 600, { subscribe: ["d:"] }) });
  const refused = [];
  narrow.subscribe("c:*", (change) => refused.push(change));
  await until(() => refused.length, "the refusal");
  assert.ok(refused[0].error instanceof Forbidden, "no right is no matter of asking again");
});

test("a token that nobody takes is said so, though a server is away", async (t) => {
  const timing = { backoffFirst: 0.02, backoffMost: 0.1 };
  const cache = client(t, [told.nowhere, told.url], { token: "wrong", timeout: 10, timing });
  await assert.rejects(cache.get("a"), (error) => error instanceof Unauthenticated && /not known/.test(error.message));
  await assert.rejects(cache.get("a"), Unauthenticated);
});

test("another token counts at once, when the program says that there is one", async (t) => {
  const writer = client(t, told.url, { token: signed(secret, 600, ALL) });
  let token = "wrong";
  const cache = client(t, told.url, { token: () => token, timeout: 10 });
  const heard = [];
  const stop = cache.subscribe("e:*", (change) => heard.push(change));
  await assert.rejects(cache.get("e:n"), Unauthenticated);
  assert.equal(cache.link.may, null);
  const began = Date.now();
  token = signed(secret, 600, { read: ["e:"], subscribe: ["e:"] });
  cache.renew();
  assert.equal(await cache.get("e:n"), undefined);
  await until(() => stop.live, "the feed");
  assert.ok(Date.now() - began < 5000, "it does not sit out its rest first");
  assert.deepEqual(cache.link.may, { read: ["e:"], write: [], subscribe: ["e:"], publish: [], admin: false });
  await assert.rejects(cache.set("e:n", 0), Forbidden);

  // While it is well, too; what happens on the way from one to the other is not missed.
  token = signed(secret, 600, ALL);
  cache.renew();
  await writer.set("e:n", 1);
  await cache.set("e:n", 2);
  await until(() => heard.length === 2, "both");
  assert.deepEqual(heard.map(({ value }) => value), [1, 2]);

  // And what only the one before allowed is over.
  token = signed(secret, 600, { read: ["e:"] });
  cache.renew();
  await until(() => heard.length === 3, "the end");
  assert.ok(heard[2].error instanceof Forbidden);
  await assert.rejects(cache.set("e:n", 3), Forbidden);
  token = "wrong";
  cache.renew();
  await assert.rejects(cache.get("e:n"), Unauthenticated);
});
