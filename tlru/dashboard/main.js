// @ts-check
/** The dashboard: one connection by tlru.js, which goes elsewhere when the node that served the page dies. */

import { connect } from "../js/tlru.js";
import { Chart } from "./charts.js";
import { byId, make, say } from "./dom.js";
import { Editor } from "./editor.js";
import { Keys } from "./keys.js";
import { drawNodes, percent } from "./nodes.js";
import { drawCluster } from "./picture.js";
import { Stream } from "./stream.js";
import { digestsAgree, health, milliseconds, number, standing } from "./words.js";

const LOOK_MS = 2000;
const TOKEN = "tlru-token";
const THEME = "tlru-theme";

const query = new URLSearchParams(location.search);
const name = query.get("cache") ?? "default";
const socket = new URL("../ws", location.href);
socket.protocol = socket.protocol === "https:" ? "wss:" : "ws:";
const cache = connect(socket.href, {
  cache: name,
  token: sessionStorage.getItem(TOKEN) ?? undefined,
  timeout: 5,
});
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
  try {
    const [cluster, trip] = await Promise.all([cache.nodes(), cache.ping()]);
    charts.trip.add(trip * 1000);
    show(cluster);
  } catch (error) {
    byId("health").className = "bad";
    const { code, message } = /** @type {any} */ (error);
    const refused = code === "unauthenticated" || code === "forbidden";
    const advice = refused ? "“Token”, above, takes one that may see this." : "It is tried again and again; nothing need be done here.";
    tell(refused ? "The cluster does not let this page in." : "No node answers.", [message, advice]);
    document.title = "(!!) tlru";
  }
  setTimeout(look, LOOK_MS);
}

/** @param {any} link */
function showLink({ state, node, url, problem }) {
  const down = state !== "open" && state !== "idle";
  byId("link").className = down ? "down" : "";
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
  byId("token").addEventListener("click", () => byId("token-dialog").showModal());
  byId("token-dialog").addEventListener("close", () => {
    const { returnValue } = byId("token-dialog");
    const token = byId("token-value").value;
    byId("token-value").value = "";
    if (returnValue === "use" && token) sessionStorage.setItem(TOKEN, token);
    else if (returnValue === "forget") sessionStorage.removeItem(TOKEN);
    else return;
    location.reload();
  });
  document.addEventListener("keydown", onKey);
}

/** @type {Record<string, () => void>} */
const SHORTCUTS = {
  "/": () => byId("prefix").focus(),
  f: () => byId("pattern").focus(),
  p: () => stream.pause(),
  n: () => editor.open(null),
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
keys.search("");
stream.watch("*");
look();
