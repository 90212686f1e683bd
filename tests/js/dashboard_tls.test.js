// The dashboard over TLS, with a token, on a cluster of three whose certificates an authority of its own has made.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { connect } from "../../tlru/js/tlru.js";
import { browser, pageOf, until } from "./browser.js";
import { told } from "./helpers.js";
import { signed } from "./tokens.js";

const [first] = told.nodes;
const ALL = { read: [""], write: [""], subscribe: [""], publish: [""] };
const token = signed(Buffer.from(told.secret, "base64"), 600, ALL);
const gone = (text) => text.includes(`:${first.port}/`) && /failed|refused|reset|closed/i.test(text);
const text = (page, id) => page.locator(id).textContent();
const well = (page, count) => until(async () => (await text(page, "#verdict")).includes(`${count} of 3`), `${count} are active`);

let chromium;
let cache;

before(async () => {
  chromium = await browser(`--ignore-certificate-errors-spki-list=${told.nodes.map((node) => node.spki).join(",")}`);
  // Node.js trusts the authority by NODE_EXTRA_CA_CERTS: here nothing is ignored.
  cache = connect(told.nodes.map((node) => node.url), { WebSocket, timeout: 10, token });
});

after(async () => {
  cache?.close();
  await chromium?.close();
});

test("a browser that does not know the authority is not let near the page", async () => {
  const strict = await browser();
  try {
    const page = await strict.newPage();
    await assert.rejects(page.goto(first.page), /ERR_CERT_AUTHORITY_INVALID/);
  } finally {
    await strict.close();
  }
});

test("it is used over TLS alone, and goes on with its token when the node dies that served it", async () => {
  const context = await chromium.newContext();
  const addresses = [];
  context.on("request", (request) => addresses.push(request.url()));
  context.on("page", (each) => each.on("websocket", (socket) => addresses.push(socket.url())));
  const { page, troubles } = await pageOf(context, first.page, { expected: (each) => gone(each) || /401|4401/.test(each) });
  await until(() => page.locator("#token-dialog").isVisible(), "the dialog");
  await page.locator("#token-value").fill(token);
  await page.locator("#token-use").click();
  await well(page, 3);
  await until(async () => (await text(page, "#link")).includes(first.id), "by way of the first");
  assert.equal(await page.evaluate(() => isSecureContext), true);

  await page.keyboard.press("n");
  await page.locator("#editor-key").fill("made:here");
  await page.locator("#editor-value").fill("[1]");
  await page.locator("#editor-save").click();
  await page.locator('#keys-rows tr[data-key="made:here"]').waitFor();
  assert.deepEqual(await cache.get("made:here", { read: "linear" }), [1]);

  process.kill(first.pid, "SIGKILL");
  await until(async () => /by way of/.test(await text(page, "#link")) && !(await text(page, "#link")).includes(first.id), "another way");
  await well(page, 2);
  assert.equal(await page.locator("#token-dialog").isVisible(), false, "the token is good there too");
  await cache.set("after", "the death");
  await page.locator('#keys-rows tr[data-key="after"]').waitFor();
  await page.locator("#stream-rows tr", { hasText: "after" }).first().waitFor();
  assert.ok(addresses.some((each) => each.startsWith("wss:") && !each.includes(`:${first.port}/`)), "it went to another");
  for (const each of addresses) assert.match(each, /^(https|wss):/);
  assert.deepEqual(troubles, []);
  await context.close();
});
