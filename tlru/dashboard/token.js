// @ts-check
/**
 * The token: asked for where one is needed, and kept in this tab alone.
 *
 * It decides when the dialog opens by itself: once for each token that is refused (or for none, where
 * one is wanted), so that whoever closes it is left in peace.
 */

import { byId, say } from "./dom.js";
import { told } from "./rights.js";

const KEPT = "tlru-token";

export class Token {
  /** Whether nobody lets this page in as it is. */
  wanted = false;
  #value = sessionStorage.getItem(KEPT);
  #good = false; // it has been taken once
  #asked = false; // its refusal has been told
  #dialog = byId("token-dialog");
  #changed;

  /** @param {() => void} changed is called when there is another, or none any more */
  constructor(changed) {
    this.#changed = changed;
    this.#dialog.addEventListener("close", () => this.#onClose());
    // A form of its own accord sends itself by its first button; an empty token is none.
    byId("token-value").addEventListener("input", () => this.#allow());
  }

  /** What `connect` asks whenever it opens a connection. */
  get = () => this.#value;

  /** It was taken, and allows this. @param {import("./rights.js").Rights} may */
  taken(may) {
    this.#good = true;
    this.#asked = false;
    if (this.#dialog.open && this.#dialog.dataset.refused) this.#dialog.close("cancel");
    this.wanted = false;
    say(byId("token-rights"), this.#value ? `The token in use lets you ${told(may)}` : "You were let in without a token.");
  }

  /** Nobody lets this page in. @param {string} why as the node has said it */
  refused(why) {
    this.wanted = true;
    if (this.#asked) return;
    this.#asked = true;
    this.#open(this.#words(why), true);
  }

  /** Somebody wants to see it. */
  open() {
    this.#open("", false);
  }

  /** @param {string} why */
  #words(why) {
    if (!this.#value) return "This cluster wants to know who you are: it lets nobody in without a token.";
    if (this.#good) return `Your token is not good any more (${why}). With another one, this page goes on where it is.`;
    return `This token is not good (${why}).`;
  }

  /** @param {string} problem @param {boolean} refused */
  #open(problem, refused) {
    byId("token-problem").hidden = !problem;
    byId("token-problem").className = this.#value ? "said bad" : "said"; // to be asked is no fault
    say(byId("token-problem"), problem);
    byId("token-rights").hidden = refused;
    byId("token-forget").hidden = !this.#value;
    this.#dialog.dataset.refused = refused ? "yes" : "";
    this.#allow();
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("token-value").focus();
  }

  #allow() {
    byId("token-use").disabled = !byId("token-value").value.trim();
  }

  #onClose() {
    const { returnValue } = this.#dialog;
    const token = byId("token-value").value.trim();
    byId("token-value").value = "";
    if (returnValue === "use" && token) this.#keep(token);
    else if (returnValue === "forget") this.#keep(null);
    this.#dialog.returnValue = ""; // Escape leaves the last one as it was
  }

  /** @param {string | null} token */
  #keep(token) {
    this.#value = token;
    this.#good = this.#asked = false;
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
    this.#changed();
  }
}
