// The dashboard in a real browser, over TLS, on a node that lets nobody in without a token.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { connect } from "../../tlru/js/tlru.js";
import { browser, pageOf, until } from "./browser.js";
import { told } from "./helpers.js";
import { signed } from "./tokens.js";

const secret = Buffer.from(told.secret, "base64");
const ALL = { read: [""], write: [""], subscribe: [""], publish: [""] };
const READER = { read: ["a:"], subscribe: ["a:"] };
const token = (ttl, rights) => signed(secret, ttl, rights);
const refused = (text) => /401|4401|WebSocket/.test(text);

let chromium;
let cache;

before(async () => {
  chromium = await browser(`--ignore-certificate-errors-spki-list=${told.spki}`);
  cache = connect(told.url, { WebSocket, timeout: 10, token: token(600, ALL) });
  await cache.setMany({ "a:1": 1, "a:2": { deep: true }, "b:1": "hidden" });
});

after(async () => {
  cache?.close();
  await chromium?.close();
});

const text = (page, id) => page.locator(id).textContent();
const row = (page, key) => page.locator(`#keys-rows tr[data-key="${key}"]`);
const asks = (page) => page.locator("#token-dialog").isVisible();
const isIn = (page) => until(async () => (await text(page, "#verdict")).startsWith("All is well"), "the verdict");

async function give(page, value) {
  await page.locator("#token-value").fill(value);
  await page.locator("#token-use").click();
}

/** It fits on a desk and on a phone, by day and by night; so that it can be looked at, too. */
async function photographed(page, name) {
  for (const [place, width, height] of [["desk", 1280, 800], ["phone", 390, 844]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${name}, ${place}: ${overflow} pixels too wide`);
      await page.screenshot({ path: join(told.pictures, `${name}-${place}-${colorScheme}.png`) });
    }
  }
}

/** The page, once it has asked who is there. */
async function asked(how = {}) {
  const { page, troubles } = await pageOf(chromium, told.page, { expected: refused, ...how });
  await until(() => asks(page), "the dialog opens by itself");
  return { page, troubles };
}

test("it asks for a token, says what is wrong with one, and keeps it in its tab alone", async () => {
  const addresses = [];
  const context = await chromium.newContext();
  context.on("request", (request) => addresses.push(request.url()));
  context.on("page", (each) => each.on("websocket", (socket) => addresses.push(socket.url())));
  const { page, troubles } = await pageOf(context, told.page, { expected: refused });
  await until(() => asks(page), "the dialog opens by itself");
  assert.match(await text(page, "#token-problem"), /lets nobody in without a token/);
  assert.match(await text(page, "#verdict"), /does not let this page in/);
  assert.equal(await page.locator("#token-use").isEnabled(), false, "there is nothing to use yet");

  await give(page, "tlru_wrong-one");
  await until(() => asks(page), "it opens again");
  assert.match(await text(page, "#token-problem"), /This token is not good \(the token is not known here\)/);
  assert.equal(await page.locator("#token-value").inputValue(), "");

  // Who closes it is left in peace: it has been said.
  await page.keyboard.press("Escape");
  await page.evaluate(() => (document.querySelector("#troubles").textContent = ""));
  await until(async () => /“Token”, above/.test(await text(page, "#troubles")), "it has looked again");
  assert.equal(await asks(page), false);

  const good = token(600, ALL);
  await page.locator("#token").click();
  await give(page, good);
  await isIn(page);
  await row(page, "b:1").waitFor();
  assert.equal(await asks(page), false);
  await page.locator("#token").click();
  assert.match(await text(page, "#token-rights"), /read everything; write everything/);
  await page.keyboard.press("Escape");

  // It lives as long as its tab, also where that is loaded anew; another tab has none.
  await page.reload();
  await isIn(page);
  assert.equal(await page.evaluate(() => JSON.stringify(localStorage)).then((kept) => kept.includes(good)), false);
  const { page: other } = await pageOf(context, told.page, { expected: refused });
  await until(() => asks(other), "another tab asks");
  assert.ok(addresses.some((each) => each.startsWith("wss:")), "it was looked at");
  for (const each of [...addresses, page.url()]) assert.ok(!each.includes(good) && !/token[=]/i.test(each), each);
  assert.deepEqual(await context.cookies(), []);

  await page.locator("#token").click();
  await page.locator("#token-forget").click();
  await until(() => asks(page), "forgotten, it is asked for");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.deepEqual(troubles, []);
  await context.close();
});

test("who may only read is offered nothing else, and begins with what may be read", async () => {
  const { page, troubles } = await asked();
  await photographed(page, "token");
  await give(page, token(600, READER));
  await isIn(page);
  assert.equal(await page.locator("#prefix").inputValue(), "a:");
  assert.equal(await page.locator("#pattern").inputValue(), "a:*");
  assert.equal(await page.locator("#new-key").isVisible(), false);
  await page.keyboard.press("n");
  assert.equal(await page.locator("#editor").isVisible(), false, "its shortcut, neither");
  await row(page, "a:2").click();
  await until(async () => /only reads it/.test(await text(page, "#editor-note")), "the editor");
  for (const each of ["save", "touch", "delete"]) assert.equal(await page.locator(`#editor-${each}`).isVisible(), false, each);
  assert.equal(await page.locator("#editor-value").isEditable(), false);
  await photographed(page, "reader");
  await page.keyboard.press("Escape");

  // Another token, and the page follows: both ways, and where it is.
  await page.locator("#token").click();
  await give(page, token(600, ALL));
  await page.locator("#new-key").waitFor();
  await row(page, "a:2").click();
  await until(() => page.locator("#editor-save").isEnabled(), "what may be changed now");
  await page.keyboard.press("Escape");
  await page.locator("#token").click();
  await give(page, token(600, READER));
  await until(async () => !(await page.locator("#new-key").isVisible()), "what may not any more");
  assert.equal(await page.locator("#prefix").inputValue(), "a:");
  await row(page, "a:2").waitFor();
  assert.deepEqual(troubles, []);
  await page.close();
});

test("where the right ends, the page says so: by key, and by what is looked for", async () => {
  const { page, troubles } = await asked();
  await give(page, token(600, { read: [""], write: ["a:"], subscribe: ["a:"] }));
  await isIn(page);
  await until(async () => /not kept current.*no right to subscribe everything/.test(await text(page, "#keys-note")), "what is not watched");
  await row(page, "b:1").click();
  await until(async () => /only reads it/.test(await text(page, "#editor-note")), "what is not written");
  assert.equal(await page.locator("#editor-save").isVisible(), false);
  await page.keyboard.press("Escape");
  await row(page, "a:1").click();
  await until(async () => /Version/.test(await text(page, "#editor-note")), "what is");
  assert.equal(await page.locator("#editor-save").isEnabled(), true);
  assert.equal(await page.locator("#editor-delete").isVisible(), true);
  await page.keyboard.press("Escape");

  await page.keyboard.press("n");
  await page.locator("#editor-key").fill("b:new");
  await until(async () => /does not write such a key/.test(await text(page, "#editor-note")), "a new one that may not be");
  assert.equal(await page.locator("#editor-save").isEnabled(), false);
  await page.locator("#editor-key").fill("a:new");
  await page.locator("#editor-value").fill("true");
  await page.locator("#editor-save").click();
  await until(async () => (await cache.get("a:new")) === true, "a new one");
  await cache.delete("a:new");
  assert.deepEqual(troubles, []);
  await page.close();
});

test("a token that runs out is asked for again, and nothing of the page is lost", async () => {
  const { page, troubles } = await asked();
  await give(page, token(2, ALL));
  await isIn(page);
  await page.locator("#prefix").fill("a:");
  await row(page, "a:1").click();
  await until(async () => (await page.locator("#editor-value").inputValue()) === "1", "the editor");
  await page.locator("#editor-value").fill("[1, 2");
  await page.evaluate(() => (window.sameAsBefore = true));

  await until(() => asks(page), "it is asked for");
  assert.match(await text(page, "#token-problem"), /not good any more \(.*run out/);
  await cache.set("a:3", "meanwhile");
  await give(page, token(600, ALL));
  await isIn(page);
  await row(page, "a:3").waitFor();
  await page.locator("#stream-rows tr", { hasText: "meanwhile" }).waitFor();
  assert.equal(await page.locator("#editor-value").inputValue(), "[1, 2", "what was being written");
  await page.locator("#editor-value").fill("[1, 2]");
  await page.locator("#editor-save").click();
  await until(async () => JSON.stringify(await cache.get("a:1")) === "[1,2]", "the save");
  assert.equal(await page.evaluate(() => window.sameAsBefore), true, "it was not loaded anew");
  assert.deepEqual(troubles, []);
  await page.close();
});
