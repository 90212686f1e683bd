// @ts-check
/** Every node's own word, as a table. */

import { byId, make } from "./dom.js";
import { bytes, milliseconds, number, standing } from "./words.js";

/** @type {[string, string, (member: any) => string][]} */
const COLUMNS = [
  ["Term", "num", (each) => number(each.term)],
  ["Position", "num", (each) => number(each.pos)],
  ["Lag", "num", (each) => number(each.lag)],
  ["Digest", "key", (each) => (each.digest?.pos ? `${each.digest.value.slice(0, 8)} @${each.digest.pos}` : "–")],
  ["Clock error", "num", (each) => milliseconds(each.clock_error_ms)],
  ["Keys", "num", (each) => number(each.keys)],
  ["Bytes", "num", (each) => bytes(each.bytes)],
  ["Ops/s", "num", (each) => number(each.rates?.ops_per_s)],
  ["Hits", "num", (each) => percent(each.rates?.hit_ratio)],
  ["Clients", "num", (each) => number(each.connections)],
  ["Watching", "num", (each) => number(each.subscriptions)],
  ["Slow", "num", (each) => number(each.subscriptions_behind)],
  ["Release", "", (each) => each.release ?? "–"],
];

/** @param {number | null | undefined} ratio */
export function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : `${(ratio * 100).toFixed(1)} %`;
}

/** @param {any} cluster */
export function drawNodes(cluster) {
  const head = make("tr", {}, make("th", {}, "Node"), make("th", {}, "Status"), make("th", {}, "Region"), ...COLUMNS.map(([name, kind]) => make("th", { class: kind === "key" ? "" : kind }, name)));
  byId("nodes-head").replaceChildren(head);
  byId("nodes-rows").replaceChildren(
    ...cluster.nodes.map((/** @type {any} */ each) =>
      make(
        "tr",
        { "data-node": each.id },
        make("td", {}, `${each.id}${each.leads && standing(each) === "active" ? " (leads)" : ""}`),
        make("td", {}, make("i", { class: `dot ${standing(each)}` }), each.status),
        make("td", {}, each.region || "–"),
        ...COLUMNS.map(([, kind, shown]) => make("td", { class: kind }, standing(each) === "silent" ? "–" : shown(each))),
      ),
    ),
  );
}
