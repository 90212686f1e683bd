// The pages of examples/ in a real browser, from a server of their own, with a node killed under them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { connect } from "../../tlru/js/tlru.js";
import { browser, pageOf, until } from "./browser.js";

const { nodes, examples, port, pictures } = JSON.parse(process.env.TLRU_TOLD);
const servers = JSON.stringify(nodes.map((node) => `127.0.0.1:${node.port}`));
const types = { html: "text/html", css: "text/css", js: "text/javascript" };
const dead = new Set();
const expected = (text) => [...dead].some((node) => text.includes(`:${node.port}/`));

let chromium;
let cache;
let site;

// As any static server would, but that the pages name the nodes of this test.
async function serve(request, response) {
  const path = new URL(request.url, "http://page").pathname.replace(/\/$/, "/index.html");
  if (!/^\/(prices|chat)\/[a-z]+\.(html|css|js)$/.test(path)) return response.writeHead(404).end();
  const text = await readFile(join(examples, path), "utf8");
  response.writeHead(200, { "Content-Type": types[path.split(".").at(-1)] });
  return response.end(text.replace(/const SERVERS = \[.*?\];/, `const SERVERS = ${servers};`));
}

before(async () => {
  site = createServer(serve);
  await new Promise((done) => site.listen(port, "127.0.0.1", done));
  chromium = await browser();
  cache = connect(nodes.map((node) => node.url), { WebSocket, timeout: 10 });
});

after(async () => {
  cache?.close();
  await chromium?.close();
  site?.close();
});

const at = (name) => `http://127.0.0.1:${port}/${name}/`;
const text = (page, where) => page.locator(where).textContent();

async function pictured(page, name) {
  for (const [size, width, height] of [["desk", 1280, 800], ["phone", 390, 844]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${name}, ${size}: ${overflow} pixels too wide`);
      await page.screenshot({ path: join(pictures, `${name}-${size}-${colorScheme}.png`) });
    }
  }
}

test("two people chat, and who comes later reads what was said", async () => {
  const ann = await pageOf(chromium, at("chat"), { expected });
  const say = async (page, name, words) => {
    // Before its script has begun a page takes no message, as any form would not.
    await until(async () => (await text(page, "#state")).startsWith("through"), "the chat is open");
    await page.locator("#name").fill(name);
    await page.locator("#text").fill(words);
    await page.keyboard.press("Enter");
  };
  await say(ann.page, "ann", "hello <b>all</b>");
  await ann.page.locator("#messages li", { hasText: "hello <b>all</b>" }).waitFor();
  const bob = await pageOf(chromium, at("chat"), { expected });
  await bob.page.locator("#messages li", { hasText: "hello <b>all</b>" }).waitFor();
  await say(bob.page, "bob", "good day");
  await ann.page.locator("#messages li", { hasText: "good day" }).waitFor();
  await pictured(ann.page, "chat");
  for (const { page, troubles } of [ann, bob]) {
    assert.deepEqual(troubles, []);
    await page.close();
  }
});

// A write that the dying node may have taken has no known outcome; this one may be done twice.
const insist = async (key, value) => {
  for (;;) {
    try {
      return await cache.set(key, value);
    } catch (error) {
      if (error.code !== "unknown_outcome") throw error;
    }
  }
};

test("prices are live, also when the node dies that they came from", async () => {
  for (const [key, price] of [["EUR", 1.08], ["GBP", 1.27]]) await cache.set(`price:${key}`, price);
  const { page, troubles } = await pageOf(chromium, at("prices"), { expected });
  const euro = page.locator("article", { hasText: "EUR" }).locator("output");
  await until(async () => (await euro.count()) === 1 && (await euro.textContent()) === "1.0800", "the price");
  for (let turn = 0; turn < 30; turn += 1) await cache.set("price:EUR", 1.1 + Math.sin(turn) / 50);
  await cache.set("price:EUR", 1.25);
  await until(async () => (await euro.textContent()) === "1.2500", "the change");
  await pictured(page, "prices");
  const by = /from (\S+)/.exec(await text(page, "#state"))[1];
  const node = nodes.find((each) => each.id === by);
  dead.add(node);
  process.kill(node.pid, "SIGKILL");
  await until(async () => /live, from/.test(await text(page, "#state")) && !(await text(page, "#state")).includes(by), "another node");
  await insist("price:EUR", 1.5);
  await until(async () => (await euro.textContent()) === "1.5000", "a change after the death");
  assert.deepEqual(troubles, []);
  await page.close();
});
