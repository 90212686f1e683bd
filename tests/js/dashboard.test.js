// The dashboard in a real browser, on a cluster of three processes, one of which is killed.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { Ext, connect } from "../../tlru/js/tlru.js";
import { browser, pageOf, until } from "./browser.js";

const { nodes, pictures } = JSON.parse(process.env.TLRU_TOLD);
const [first] = nodes;
const address = (node) => `http://127.0.0.1:${node.port}/dashboard/`;
const gone = (text) => text.includes(`:${first.port}/`) && /failed|refused|reset|closed/i.test(text);

let chromium;
let cache;

before(async () => {
  chromium = await browser();
  cache = connect(nodes.map((node) => node.url), { WebSocket, timeout: 10 });
});

after(async () => {
  cache?.close();
  await chromium?.close();
});

const row = (page, key) => page.locator(`#keys-rows tr[data-key="${key}"]`);
const text = (page, id) => page.locator(id).textContent();

test("the cluster, its keys and what happens are seen, and changed", async () => {
  const { page, troubles } = await pageOf(chromium, address(first));
  await until(async () => (await text(page, "#verdict")).startsWith("All is well: 3 of 3"), "the verdict");
  assert.equal(await page.locator("#picture g[data-status=active]").count(), 3);
  assert.equal(await page.locator("#token-dialog").isVisible(), false, "nobody is asked where all are let in");

  await cache.set("price:EUR", 1.5, { ttl: 60 });
  await cache.set("other", { deep: ["<img src=x onerror=alert(1)>"] });
  await row(page, "price:EUR").waitFor();
  await page.locator("#stream-rows tr", { hasText: "price:EUR" }).first().waitFor();
  const left = async () => parseFloat(await row(page, "price:EUR").locator(".life").textContent());
  const seen = await left();
  assert.ok(seen <= 60 && seen > 40, `life left: ${seen}`);
  await until(async () => (await left()) < seen, "life counts down");
  assert.equal(await page.locator("main img").count(), 0, "what a cache holds is never markup");

  await page.keyboard.press("/");
  await page.keyboard.type("price:");
  await until(async () => (await row(page, "other").count()) === 0, "the search");
  await row(page, "price:EUR").focus();
  await page.keyboard.press("Enter");
  await until(async () => (await page.locator("#editor-value").inputValue()) === "1.5", "the editor");
  await page.locator("#editor-value").fill('{"rate": 2.25}');
  await page.locator("#editor-save").click();
  await until(async () => (await row(page, "price:EUR").textContent()).includes("2.25"), "the change");
  assert.deepEqual(await cache.get("price:EUR"), { rate: 2.25 });

  await row(page, "price:EUR").click();
  await until(async () => (await page.locator("#editor-value").inputValue()).includes("2.25"), "the editor");
  await cache.set("price:EUR", "quicker");
  await page.locator("#editor-value").fill('"slower"');
  await page.locator("#editor-save").click();
  await until(async () => (await text(page, "#editor-note")).includes("quicker"), "what was said");
  assert.equal(await cache.get("price:EUR"), "quicker");
  await page.locator("#editor-delete").click();
  await until(async () => (await row(page, "price:EUR").count()) === 0, "it is gone");
  assert.equal(await cache.get("price:EUR"), undefined);

  await page.locator("#pattern").fill("#news");
  await until(async () => (await text(page, "#stream-note")).startsWith("#news"), "the filter");
  await cache.publish("news", "good");
  await page.locator("#stream-rows tr", { hasText: "good" }).waitFor();
  assert.deepEqual(troubles, []);
  await page.close();
});

test("nothing is lost by looking: what JSON has no word for is not edited, what it has is", async () => {
  const { page, troubles } = await pageOf(chromium, address(first));
  const note = () => text(page, "#editor-note");
  const open = async (key) => {
    await row(page, key).click();
    await until(async () => /Version/.test(await note()), `the editor of ${key}`);
  };
  const editable = () => page.locator("#editor-save").isEnabled();
  await cache.set("kept:ext", { inside: new Ext(5, new Uint8Array([1, 2])) });
  await cache.set("kept:date", { at: new Date(0) });
  await cache.set("kept:text", { at: "2026-01-01T00:00:00Z" }, { ttl: 600 });
  await page.locator("#prefix").fill("kept:");
  for (const [key, wanted] of [["kept:ext", false], ["kept:date", false], ["kept:text", true]]) {
    await open(key);
    assert.equal(await editable(), wanted, key);
    if (!wanted) await page.keyboard.press("Escape");
  }

  // A letter pressed where a dialog itself has the focus is no shortcut: it would wipe what was written.
  await page.locator("#editor-value").fill('{"at": "later"}');
  await page.locator("#editor").evaluate((dialog) => {
    dialog.tabIndex = -1;
    dialog.focus();
  });
  await page.keyboard.press("n");
  assert.equal(await page.locator("#editor-key").inputValue(), "kept:text");

  // The life that was not changed goes on: it does not begin again with each save.
  const { expires } = await cache.item("kept:text");
  await page.locator("#editor-save").click();
  await until(async () => (await row(page, "kept:text").textContent()).includes("later"), "the change");
  assert.equal((await cache.item("kept:text")).expires, expires);

  // What kind of value it is stays with it; its source's revision cannot, and that is said before.
  await cache.set("kept:page", "<p>", { mime: "text/html", rev: 7 });
  await open("kept:page");
  assert.match(await note(), /Kind: text\/html\. Revision 7 of its source, which a save drops/);
  await page.locator("#editor-value").fill('"<p>more"');
  await page.locator("#editor-save").click();
  await until(async () => (await cache.get("kept:page")) === "<p>more", "the save");
  const { mime, rev } = await cache.item("kept:page");
  assert.deepEqual([mime, rev], ["text/html", null]);
  assert.equal((await cache.set("kept:page", "<p>8", { rev: 8 })).applied, true, "its source goes on");

  // A key that has gone meanwhile can be made anew, as it says.
  await row(page, "kept:date").evaluate((found) => found.setAttribute("data-key", "kept:gone"));
  await page.locator('tr[data-key="kept:gone"]').click();
  await until(async () => /not there any more/.test(await note()), "that it is gone");
  assert.equal(await editable(), true);
  assert.deepEqual(troubles, []);
  await page.close();
});

test("figures of links do not cover one another, however many nodes there are", async () => {
  const { page, troubles } = await pageOf(chromium, address(first));
  for (const count of [1, 2, 3, 4, 5, 6, 7, 9]) {
    const { covered, figures } = await page.evaluate(async (size) => {
      const { drawCluster } = await import("./picture.js");
      const ids = Array.from({ length: size }, (_, place) => `node-${place}`);
      const link = (to) => ({ to, state: "connected", round_trip_ms: 12.5 });
      const nodes = ids.map((id) => ({ id, region: "", status: "active", keys: 1, lag: 0, leads: id === "node-0", links: ids.filter((each) => each !== id).map(link) }));
      const place = document.createElement("div");
      document.querySelector("#picture").after(place);
      drawCluster(place, { leader: "node-0", nodes });
      const boxes = [...place.querySelectorAll(".plate, .node")].map((each) => each.getBoundingClientRect());
      const figures = place.querySelectorAll(".plate").length;
      place.remove();
      const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      return { covered: boxes.flatMap((a, at) => boxes.slice(at + 1).filter((b) => meet(a, b))).length, figures };
    }, count);
    assert.equal(covered, 0, `${count} nodes`);
    // With few nodes there is room for all; of many at least the leader's are told.
    const wanted = count < 6 ? (count * (count - 1)) / 2 : count - 1;
    assert.ok(figures >= wanted, `${count} nodes: ${figures} figures of ${wanted}`);
  }
  assert.deepEqual(troubles, []);
  await page.close();
});

test("it is fit to be seen on a desk and on a phone, by day and by night", async () => {
  for (const [name, width, height] of [["desk", 1280, 800], ["phone", 390, 844], ["small", 360, 640]]) {
    for (const colorScheme of ["light", "dark"]) {
      const { page, troubles } = await pageOf(chromium, address(first), { viewport: { width, height }, colorScheme });
      await until(async () => (await text(page, "#verdict")).startsWith("All is well"), "the verdict");
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${name}: ${overflow} pixels too wide`);
      await page.screenshot({ path: join(pictures, `${name}-${colorScheme}.png`) });
      assert.deepEqual(troubles, []);
      await page.close();
    }
  }
});

test("it goes on when the node dies that served it", async () => {
  const { page, troubles } = await pageOf(chromium, address(first), { expected: gone });
  await until(async () => (await text(page, "#verdict")).startsWith("All is well"), "the verdict");
  await until(async () => (await text(page, "#link")).includes(first.id), "by way of the first");
  process.kill(first.pid, "SIGKILL");
  await until(async () => /by way of/.test(await text(page, "#link")) && !(await text(page, "#link")).includes(first.id), "another way");
  await until(async () => (await page.locator(`#picture g[data-node="${first.id}"]`).getAttribute("data-status")) === "silent", "it is seen to be silent");
  assert.match(await text(page, "#verdict"), /2 of 3 nodes active/);
  await cache.set("after", "the death");
  await row(page, "after").waitFor();
  await page.locator("#stream-rows tr", { hasText: "after" }).first().waitFor();
  await page.screenshot({ path: join(pictures, "one-is-dead.png") });
  assert.deepEqual(troubles, []);
  await page.close();
});
