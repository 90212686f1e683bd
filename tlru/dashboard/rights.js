// @ts-check
/** What the token allows, as the cluster has said. Pure. What is not known yet is not kept from anybody. */

/** @typedef {import("../js/connection.js").Rights} Rights */
/** @typedef {"read" | "write" | "subscribe" | "publish"} Right */

/** Whether all that begins so, or is so, lies within what a right is for. @param {Rights | null} may @param {Right} right @param {string} text */
export function covers(may, right, text) {
  return !may || may[right].some((prefix) => text.startsWith(prefix));
}

/** What can be done to a key. A save looks at what is there, so that nothing is overwritten unseen: it wants both rights. @param {Rights | null} may @param {string} key */
export function onKey(may, key) {
  const write = covers(may, "write", key);
  return { save: write && covers(may, "read", key), write };
}

/** Whether there is any key that could be made. @param {Rights | null} may */
export function makesKeys(may) {
  if (!may) return true;
  const both = (/** @type {string} */ one, /** @type {string} */ other) => one.startsWith(other) || other.startsWith(one);
  return may.write.some((written) => may.read.some((read) => both(written, read)));
}

/** Where to begin to look: at everything, or at the first that may be seen. @param {Rights | null} may @param {Right} right */
export function begin(may, right) {
  return covers(may, right, "") ? "" : may?.[right][0] ?? "";
}

/** In words. @param {Rights} may */
export function told(may) {
  const said = (/** @type {string[]} */ prefixes) => (prefixes.length === 0 ? "nothing" : prefixes.includes("") ? "everything" : prefixes.map((each) => `${each}…`).join(", "));
  const parts = [`read ${said(may.read)}`, `write ${said(may.write)}`, `watch ${said(may.subscribe)}`];
  return `${parts.join("; ")}${may.admin ? "; and run the cluster" : ""}.`;
}
