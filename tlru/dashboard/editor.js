// @ts-check
/** One key: seen whole, changed, given another life, deleted. What has changed meanwhile is not overwritten. */

import { byId, say } from "./dom.js";
import { asJson, life } from "./words.js";

export class Editor {
  /** @type {any} */
  #item = null;
  #opened = 0;
  #life = ""; // as the field was filled
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
    this.#allow(key === null, key === null);
    this.#dialog.showModal();
    if (key !== null) await this.#try(() => this.#read(key, opened));
  }

  /** @param {string} key @param {number} opened another key may be open by the time of the answer */
  async #read(key, opened) {
    const item = await this.#cache.item(key);
    if (opened !== this.#opened) return;
    if (!item) {
      this.#allow(true, true);
      this.#tell("It is not there any more; saving makes it anew.");
      return;
    }
    this.#item = item;
    const { text, plain } = asJson(item.value);
    byId("editor-value").value = text;
    this.#life = item.ttl === null || item.ttl === undefined ? "" : String(Math.max(1, Math.round(item.ttl)));
    byId("editor-ttl").value = this.#life;
    this.#allow(plain, false);
    const facts = `Version ${item.version}, set ${life(Math.max(0.1, ((this.#cache.time || item.at) - item.at) / 1000))} ago, life left: ${life(item.ttl)}.`;
    this.#tell(plain ? facts : `${facts} It holds what JSON has no word for, so it is only shown.`);
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
    const done = await this.#cache.set(key, value, { ...life, if: condition });
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

  /** @param {boolean} editing @param {boolean} isNew */
  #allow(editing, isNew) {
    byId("editor-value").readOnly = !editing;
    byId("editor-save").disabled = !editing;
    byId("editor-touch").hidden = byId("editor-delete").hidden = isNew;
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
