// @ts-check
/** The cluster as a picture: nodes on a ring, those of a region side by side, and the ways between them. */

import { draw } from "./dom.js";
import { milliseconds, number, standing } from "./words.js";

const WIDTH = 560;
const RADIUS = 30;

/**
 * @param {Element} place
 * @param {any} cluster what `nodes` says
 */
export function drawCluster(place, cluster) {
  const members = [...cluster.nodes].sort((a, b) => compare(a.region, b.region) || compare(a.id, b.id));
  const height = members.length < 2 ? 170 : members.length < 3 ? 200 : 330;
  const at = positions(members, height);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": spoken(cluster) });
  for (const region of regions(members, at)) svg.append(region);
  for (const way of ways(members, at)) svg.append(...way);
  for (const member of members) svg.append(nodeOf(member, at.get(member.id)));
  place.replaceChildren(svg);
}

/** @param {string} a @param {string} b */
const compare = (a = "", b = "") => (a < b ? -1 : a > b ? 1 : 0);

/** @param {any} cluster */
function spoken(cluster) {
  return cluster.nodes.map((/** @type {any} */ each) => `${each.id} ${each.status}${each.id === cluster.leader ? ", leads" : ""}`).join("; ");
}

/**
 * @param {any[]} members
 * @param {number} height
 * @returns {Map<string, { x: number, y: number }>}
 */
function positions(members, height) {
  const x = WIDTH / 2;
  const y = height / 2 - 8;
  if (members.length === 1) return new Map([[members[0].id, { x, y }]]);
  return new Map(
    members.map((member, place) => {
      const turn = (place / members.length) * 2 * Math.PI - Math.PI / (members.length === 2 ? 1 : 2);
      return [member.id, { x: x + Math.cos(turn) * 185, y: y + Math.sin(turn) * (height / 2 - 68) + (members.length > 2 ? 8 : 0) }];
    }),
  );
}

/** @param {any[]} members @param {Map<string, any>} at */
function regions(members, at) {
  const named = new Map();
  for (const each of members) {
    if (each.region) named.set(each.region, [...(named.get(each.region) ?? []), at.get(each.id)]);
  }
  return [...named].filter(([, places]) => places.length > 0).map(([name, places]) => {
    const left = Math.min(...places.map((/** @type {any} */ p) => p.x)) - 62;
    const right = Math.max(...places.map((/** @type {any} */ p) => p.x)) + 62;
    const top = Math.min(...places.map((/** @type {any} */ p) => p.y)) - 52;
    const bottom = Math.max(...places.map((/** @type {any} */ p) => p.y)) + 66;
    return draw(
      "g",
      {},
      draw("rect", { class: "region", x: left, y: top, width: right - left, height: bottom - top, rx: 16 }),
      draw("text", { class: "sub", x: (left + right) / 2, y: top + 13 }, name),
    );
  });
}

/** A line for each pair, with the round trip that either end has measured. @param {any[]} members @param {Map<string, any>} at */
function ways(members, at) {
  /** @type {Element[][]} */
  const found = [];
  members.forEach((one, place) => {
    for (const other of members.slice(place + 1)) {
      const ends = [linkOf(one, other.id), linkOf(other, one.id)].filter(Boolean);
      if (!ends.length) continue;
      const broken = ends.some((each) => each.state !== "connected");
      const trip = ends.map((each) => each.round_trip_ms).find((each) => each !== null && each !== undefined);
      const a = at.get(one.id);
      const b = at.get(other.id);
      const x = (a.x + b.x) / 2;
      const y = (a.y + b.y) / 2;
      const text = broken ? "no link" : milliseconds(trip);
      found.push([
        draw("line", { class: broken ? "way broken" : "way", x1: a.x, y1: a.y, x2: b.x, y2: b.y }),
        draw("rect", { class: "plate", x: x - 27, y: y - 10, width: 54, height: 18, rx: 6 }),
        draw("text", { class: "sub", x, y: y + 3 }, text),
      ]);
    }
  });
  return found;
}

/** @param {any} member @param {string} to */
const linkOf = (member, to) => (standing(member) === "silent" ? undefined : member.links?.find((/** @type {any} */ each) => each.to === to));

/** @param {any} member @param {any} at */
function nodeOf(member, { x, y }) {
  const leads = member.leads === true && standing(member) === "active";
  const facts = standing(member) === "active" ? `${number(member.keys)} key${member.keys === 1 ? "" : "s"} · ${leads ? "leads" : `lag ${number(member.lag)}`}` : member.status;
  return draw(
    "g",
    { "data-node": member.id, "data-status": member.status },
    draw("title", {}, `${member.id}: ${member.status}${leads ? ", leads" : ""}; term ${member.term ?? "?"}, position ${member.pos ?? "?"}`),
    ...(leads ? [draw("circle", { class: "lead", cx: x, cy: y, r: RADIUS + 6 })] : []),
    draw("circle", { class: `node ${standing(member)}`, cx: x, cy: y, r: RADIUS }),
    draw("text", { x, y: y + 5 }, member.id.length > 8 ? `${member.id.slice(0, 7)}…` : member.id),
    draw("text", { class: "sub", x, y: y + RADIUS + 24 }, facts),
  );
}
