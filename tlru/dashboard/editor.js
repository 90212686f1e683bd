// @ts-check
/** One key: seen whole, changed, given another life, deleted. What has changed meanwhile is not overwritten. */

import { byId, say } from "./dom.js";
import { onKey } from "./rights.js";
import { asJson, life } from "./words.js";

export class Editor {
  /** @type {any} */
  #item = null;
  #opened = 0;
  #life = ""; // as the field was filled
  #plain = true; // what it holds can be written as JSON
  /** @type {import("./rights.js").Rights | null} */
  #may = null;
  #cache;
  #dialog = byId("editor");

  /** @param {any} cache */
  constructor(cache) {
    this.#cache = cache;
    this.#dialog.addEventListener("submit", (/** @type {any} */ event) => {
      if (event.submitter?.value !== "save") return;
      event.preventDefault();
      this.#try(() => this.#save());
    });
    byId("editor-key").addEventListener("input", () => this.#allow());
    byId("editor-touch").addEventListener("click", () => this.#try(() => this.#touch()));
    byId("editor-delete").addEventListener("click", () => this.#try(() => this.#delete()));
  }

  /** @param {string | null} key */
  async open(key) {
    const opened = (this.#opened += 1);
    this.#item = null;
    this.#life = "";
    byId("editor-key").value = key ?? "";
    byId("editor-key").readOnly = key !== null;
    byId("editor-value").value = "";
    byId("editor-ttl").value = "";
    say(byId("editor-title"), key === null ? "New key" : "Key");
    this.#tell("");
    this.#plain = key === null;
    this.#allow();
    this.#dialog.showModal();
    if (key !== null) await this.#try(() => this.#read(key, opened));
  }

  /** @param {string} key @param {number} opened another key may be open by the time of the answer */
  async #read(key, opened) {
    const item = await this.#cache.item(key);
    if (opened !== this.#opened) return;
    if (!item) {
      this.#plain = true;
      this.#allow();
      this.#tell("It is not there any more; saving makes it anew.");
      return;
    }
    this.#item = item;
    const { text, plain } = asJson(item.value);
    byId("editor-value").value = text;
    this.#life = item.ttl === null || item.ttl === undefined ? "" : String(Math.max(1, Math.round(item.ttl)));
    byId("editor-ttl").value = this.#life;
    this.#plain = plain;
    this.#allow();
    this.#tell(this.#facts(item, plain));
  }

  /** @param {any} item @param {boolean} plain */
  #facts(item, plain) {
    const ago = life(Math.max(0.1, ((this.#cache.time || item.at) - item.at) / 1000));
    const facts = [`Version ${item.version}, set ${ago} ago, life left: ${life(item.ttl)}.`];
    if (item.mime !== null) facts.push(`Kind: ${item.mime}.`);
    const { save, write } = onKey(this.#may, byId("editor-key").value);
    if (item.rev !== null) facts.push(`Revision ${item.rev} of its source${plain && save ? ", which a save drops: it is no longer what that source has written" : ""}.`);
    if (!plain) facts.push("It holds what JSON has no word for, so it is only shown.");
    else if (!save) facts.push(write ? "Your token does not read it." : "Your token only reads it.");
    return facts.join(" ");
  }

  /** What can be done follows what the token allows. @param {import("./rights.js").Rights | null} may */
  rights(may) {
    this.#may = may;
    if (!this.#dialog.open) return;
    this.#allow();
    if (this.#item) this.#tell(this.#facts(this.#item, this.#plain));
  }

  async #save() {
    const key = byId("editor-key").value;
    let value;
    try {
      value = JSON.parse(byId("editor-value").value);
    } catch (error) {
      throw new Error(`This is not JSON: ${/** @type {Error} */ (error).message}. Text stands in "quotes".`);
    }
    const condition = this.#item ? this.#item.version : "absent";
    // A life that nobody has changed goes on, instead of beginning again with what it was when this was opened.
    const kept = this.#item !== null && byId("editor-ttl").value.trim() === this.#life;
    const life = kept ? { keepTtl: true } : { ttl: this.#ttl() };
    // Its kind says how the value is to be read, and stays; its source's revision cannot, since a
    // write with the one that is there already is refused.
    const mime = this.#item?.mime ?? undefined;
    const done = await this.#cache.set(key, value, { ...life, mime, if: condition });
    if (!done.applied) {
      throw new Error("Somebody else was quicker: the key has another value now. Open it again to see it.");
    }
    this.#dialog.close();
  }

  async #touch() {
    const found = await this.#cache.touch(byId("editor-key").value, this.#ttl());
    this.#tell(found ? "It has the new life." : "It is not there any more.", !found);
  }

  async #delete() {
    await this.#cache.delete(byId("editor-key").value);
    this.#dialog.close();
  }

  #ttl() {
    const text = byId("editor-ttl").value.trim();
    if (!text) return null;
    const ttl = Number(text);
    if (!(ttl > 0)) throw new Error("A life is a number of seconds above 0, or empty for one without end.");
    return ttl;
  }

  /** What stands in the way is not offered, or said. */
  #allow() {
    const key = byId("editor-key").value;
    const { save, write } = onKey(this.#may, key);
    const isNew = !byId("editor-key").readOnly;
    byId("editor-value").readOnly = !(this.#plain && save) && !isNew;
    byId("editor-life").hidden = !write && !isNew;
    byId("editor-save").hidden = !save && !isNew;
    byId("editor-save").disabled = !(this.#plain && save);
    byId("editor-touch").hidden = byId("editor-delete").hidden = this.#item === null || !write;
    if (isNew) this.#tell(key && !save ? "Your token does not write such a key." : "", true);
  }

  /** @param {string} text @param {boolean} [bad] */
  #tell(text, bad = false) {
    byId("editor-note").className = bad ? "note bad" : "note";
    say(byId("editor-note"), text);
  }

  /** @param {() => Promise<any>} act */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      this.#tell(/** @type {Error} */ (error).message, true);
    }
  }
}
