// @ts-check
/** The dashboard: one connection by tlru.js, which goes elsewhere when the node that served the page dies. */

import { connect } from "../js/tlru.js";
import { Chart } from "./charts.js";
import { byId, make, say } from "./dom.js";
import { Editor } from "./editor.js";
import { Keys } from "./keys.js";
import { drawNodes, percent } from "./nodes.js";
import { drawCluster } from "./picture.js";
import { makesKeys } from "./rights.js";
import { Stream } from "./stream.js";
import { Token } from "./token.js";
import { digestsAgree, health, milliseconds, number, standing } from "./words.js";

const LOOK_MS = 2000;
const THEME = "tlru-theme";

const query = new URLSearchParams(location.search);
const name = query.get("cache") ?? "default";
const socket = new URL("../ws", location.href);
socket.protocol = socket.protocol === "https:" ? "wss:" : "ws:";
const token = new Token(() => {
  cache.renew();
  look();
});
const cache = connect(socket.href, { cache: name, token: token.get, timeout: 5 });
/** @type {import("./rights.js").Rights | null | undefined} what the token allows, as last heard */
let may;
/** @type {any} */
let next;
const editor = new Editor(cache);
const keys = new Keys(cache, (key) => editor.open(key));
const stream = new Stream(cache);
const charts = {
  ops: new Chart(byId("charts"), "Operations a second", number),
  hits: new Chart(byId("charts"), "Hit ratio", percent, 1),
  trip: new Chart(byId("charts"), "Round trip to the node", milliseconds),
  watching: new Chart(byId("charts"), "Clients", number),
};

/** What is the same stays as it is: a screen reader says what changes. @param {string} verdict @param {string[]} troubles */
function tell(verdict, troubles) {
  say(byId("verdict"), verdict);
  const list = byId("troubles");
  const told = [...list.children].map((each) => each.textContent);
  if (told.length === troubles.length && told.every((each, place) => each === troubles[place])) return;
  list.replaceChildren(...troubles.map((each) => make("li", {}, each)));
}

/** @param {any} cluster */
function show(cluster) {
  const { level, verdict, troubles } = health(cluster);
  byId("health").className = level;
  tell(verdict, troubles);
  say(byId("term"), `term ${cluster.term}, epoch ${cluster.epoch}, digests ${digestsAgree(cluster.nodes) ? "agree" : "differ"}`);
  document.title = level === "good" ? "tlru" : `(${level === "warn" ? "!" : "!!"}) tlru`;
  drawCluster(byId("picture"), cluster);
  drawNodes(cluster);
  const active = cluster.nodes.filter((/** @type {any} */ each) => standing(each) === "active");
  const sum = (/** @type {(each: any) => number} */ of) => active.reduce((/** @type {number} */ total, /** @type {any} */ each) => total + (of(each) ?? 0), 0);
  const ratios = active.map((/** @type {any} */ each) => each.rates?.hit_ratio).filter((/** @type {any} */ each) => each !== null && each !== undefined);
  charts.ops.add(sum((each) => each.rates?.ops_per_s));
  charts.hits.add(ratios.length ? ratios.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b, 0) / ratios.length : null);
  charts.watching.add(sum((each) => each.connections));
  const leader = active.find((/** @type {any} */ each) => each.leads) ?? active[0];
  say(byId("keys-count"), leader ? `${number(leader.keys)} in all` : "");
}

async function look() {
  const by = token.get();
  try {
    const [cluster, trip] = await Promise.all([cache.nodes(), cache.ping()]);
    charts.trip.add(trip * 1000);
    show(cluster);
    // Not before: a connection may be open still whose token has just run out.
    if (cache.link.may && by === token.get()) token.taken(cache.link.may);
  } catch (error) {
    byId("health").className = "bad";
    const { code, message, cause } = /** @type {any} */ (error);
    const why = cause?.message ?? message;
    const refused = code === "unauthenticated" || code === "forbidden";
    const advice = refused ? "“Token”, above, takes one that may see this." : "It is tried again and again; nothing need be done here.";
    const asked = code === "unauthenticated" && !by; // nobody has been told anything wrong yet
    tell(refused ? "The cluster does not let this page in." : "No node answers.", asked ? [advice] : [why, advice]);
    document.title = "(!!) tlru";
    if (code === "unauthenticated" && by === token.get()) token.refused(why);
    if (cache.link.state !== "open") showLink(cache.link);
  }
  clearTimeout(next);
  next = setTimeout(look, LOOK_MS);
}

/** A node has let this page in: what it offers follows what may be done. @param {import("./rights.js").Rights | null} allowed */
function letIn(allowed) {
  const changed = JSON.stringify(allowed) !== JSON.stringify(may);
  may = allowed;
  byId("new-key").hidden = !makesKeys(allowed);
  if (changed) editor.rights(allowed);
  keys.goOn(allowed, changed);
  stream.goOn(allowed, changed);
}

/** @param {any} link */
function showLink({ state, node, url, problem, may: allowed }) {
  if (state === "open") letIn(allowed);
  if (state !== "open" && token.wanted) {
    byId("link").className = "down";
    say(byId("link"), "not let in");
    return;
  }
  const down = state !== "open" && state !== "idle";
  byId("link").className = down ? "down" : "";
  byId("link").title = problem ?? "";
  say(byId("link"), down ? `not connected; looking for another node… ${problem ?? ""}` : `by way of ${node ?? url ?? "…"}`);
}

/** @param {string} [wanted] */
function theme(wanted) {
  const dark = document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = wanted ?? (dark ? "light" : "dark");
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
}

function furnish() {
  say(byId("cache-name"), name === "default" ? "" : name);
  const kept = localStorage.getItem(THEME);
  if (kept === "dark" || kept === "light") theme(kept);
  byId("theme").addEventListener("click", () => theme());
  byId("help").addEventListener("click", () => byId("help-dialog").showModal());
  byId("token").addEventListener("click", () => token.open());
  document.addEventListener("keydown", onKey);
}

/** @type {Record<string, () => void>} */
const SHORTCUTS = {
  "/": () => byId("prefix").focus(),
  f: () => byId("pattern").focus(),
  p: () => stream.pause(),
  n: () => may !== undefined && makesKeys(may) && editor.open(null),
  t: () => theme(),
  "?": () => byId("help-dialog").showModal(),
};

/** @param {KeyboardEvent} event */
function onKey(event) {
  const typing = /** @type {Element} */ (event.target).matches("input, textarea, dialog, dialog *");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !SHORTCUTS[event.key]) return;
  event.preventDefault();
  SHORTCUTS[event.key]();
}

furnish();
cache.addEventListener("link", (/** @type {any} */ event) => showLink(event.detail));
look();
