// A real browser: Debian's Chromium, without a screen, with a profile that is thrown away.

import { existsSync } from "node:fs";

import { chromium } from "playwright-core";

const PATH = "/usr/bin/chromium";
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function browser(...more) {
  if (!existsSync(PATH)) throw new Error(`${PATH} is missing: apt-get install chromium`);
  return chromium.launch({ executablePath: PATH, args: [...QUIET, ...more] });
}

/** A page, and what went wrong in it; `expected` says of what that is no fault of the page's. */
export async function pageOf(from, address, { expected = () => false, ...how } = {}) {
  const page = await from.newPage(how);
  const troubles = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected(message.text())) troubles.push(message.text());
  });
  page.on("pageerror", (error) => troubles.push(error.stack));
  await page.goto(address);
  return { page, troubles };
}

export async function until(holds, what, within = 20_000) {
  const end = Date.now() + within;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${within / 1000} s: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
