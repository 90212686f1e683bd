// @ts-check
/** The cluster as a picture: nodes on a ring, those of a region side by side, and the ways between them. */

import { draw } from "./dom.js";
import { milliseconds, number, standing } from "./words.js";

const RADIUS = 30;
const PLATE = { width: 54, height: 18 };
const PLACES = [0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75]; // of a figure on its line

/** How large a picture of so many nodes is; what lies in several regions needs room between them.
 * @param {number} count @param {boolean} apart */
function sizeOf(count, apart) {
  if (count === 3 && apart) return { width: 500, height: 350 };
  if (count < 4) return { width: 440, height: count < 2 ? 170 : count < 3 ? 200 : 300 };
  return { width: 560, height: count < 7 ? 360 : 460 };
}

/**
 * @param {Element} place
 * @param {any} cluster what `nodes` says
 */
export function drawCluster(place, cluster) {
  const members = [...cluster.nodes].sort((a, b) => compare(a.region, b.region) || compare(a.id, b.id));
  const { width, height } = sizeOf(members.length, new Set(members.map((each) => each.region)).size > 1);
  const at = positions(members, width, height);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(cluster) });
  const places = regions(members, at);
  for (const place of places) svg.append(regionOf(place));
  for (const way of ways(members, at, places.map(({ left, right, top }) => ({ left, right, top, bottom: top + 18 })))) svg.append(...way);
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
 * @param {number} width
 * @param {number} height
 * @returns {Map<string, { x: number, y: number }>}
 */
function positions(members, width, height) {
  const x = width / 2;
  const y = height / 2 - 8;
  if (members.length === 1) return new Map([[members[0].id, { x, y }]]);
  return new Map(
    members.map((member, place) => {
      const turn = (place / members.length) * 2 * Math.PI - Math.PI / (members.length === 2 ? 1 : 2);
      return [member.id, { x: x + Math.cos(turn) * (width / 2 - 75), y: y + Math.sin(turn) * (height / 2 - 68) + (members.length > 2 ? 8 : 0) }];
    }),
  );
}

/** Where each region lies, around its nodes. @param {any[]} members @param {Map<string, any>} at */
function regions(members, at) {
  const named = new Map();
  for (const each of members) {
    if (each.region) named.set(each.region, [...(named.get(each.region) ?? []), at.get(each.id)]);
  }
  return [...named].map(([name, places]) => {
    const xs = places.map((/** @type {any} */ p) => p.x);
    const ys = places.map((/** @type {any} */ p) => p.y);
    return { name, left: Math.min(...xs) - 62, right: Math.max(...xs) + 62, top: Math.min(...ys) - 52, bottom: Math.max(...ys) + 66 };
  });
}

/** @param {{ name: string, left: number, right: number, top: number, bottom: number }} place */
function regionOf({ name, left, right, top, bottom }) {
  return draw(
    "g",
    {},
    draw("rect", { class: "region", x: left, y: top, width: right - left, height: bottom - top, rx: 16 }),
    draw("text", { class: "sub", x: (left + right) / 2, y: top + 13 }, name),
  );
}

/**
 * A line for each pair, with the round trip that either end has measured. Lines of many nodes cross: a
 * figure stands where it covers nothing, or nowhere, and then its line still tells it to whoever points
 * there. Broken ones come first, then the leader's.
 *
 * @param {any[]} members
 * @param {Map<string, any>} at
 * @param {any[]} names where those of the regions stand
 */
function ways(members, at, names) {
  const pairs = members.flatMap((one, place) => members.slice(place + 1).map((other) => pairOf(one, other)));
  const shown = /** @type {any[]} */ (pairs.filter(Boolean)).sort((a, b) => a.order - b.order);
  const taken = [...at.values()].map(({ x, y }) => boxAt(x, y + 10, 2 * RADIUS + 26, 2 * RADIUS + 40)).concat(names);
  const lines = [];
  const figures = [];
  for (const { one, other, broken, text } of shown) {
    const [a, b] = [at.get(one.id), at.get(other.id)];
    const told = draw("title", {}, `${one.id} and ${other.id}: ${text}`);
    lines.push(draw("line", { class: broken ? "way broken" : "way", x1: a.x, y1: a.y, x2: b.x, y2: b.y }, told));
    const boxes = PLACES.map((part) => boxAt(a.x + (b.x - a.x) * part, a.y + (b.y - a.y) * part, PLATE.width, PLATE.height));
    const box = boxes.find((each) => !taken.some((other) => meet(each, other)));
    if (!box) continue;
    taken.push(box);
    figures.push(draw("rect", { class: "plate", ...PLATE, x: box.left, y: box.top, rx: 6 }));
    figures.push(draw("text", { class: "sub", x: (box.left + box.right) / 2, y: box.top + 13 }, text));
  }
  return [lines, figures];
}

/** @param {any} one @param {any} other */
function pairOf(one, other) {
  const ends = [linkOf(one, other.id), linkOf(other, one.id)].filter(Boolean);
  if (!ends.length) return null;
  const broken = ends.some((each) => each.state !== "connected");
  const trip = ends.map((each) => each.round_trip_ms).find((each) => each !== null && each !== undefined);
  const order = broken ? 0 : one.leads || other.leads ? 1 : 2;
  return { one, other, broken, order, text: broken ? "no link" : milliseconds(trip) };
}

/** @param {number} x @param {number} y the middle @param {number} width @param {number} height */
function boxAt(x, y, width, height) {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

/** @param {any} a @param {any} b */
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

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
