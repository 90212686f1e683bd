// @ts-check
/**
 * The last list of servers, kept where the page keeps such things (`localStorage`), so that a page
 * that is opened again finds the cluster even if the server it names is gone.
 *
 * What is kept is only a hint: it may be missing, old, or anybody's; a storage that fails is as
 * good as none.
 */

const CHARS_MAX = 64 << 10;

/** One cache's list in a storage. */
export class ServersStore {
  #storage;
  #name;

  /** @param {import("./settings.js").Storage | null} storage @param {string} cache */
  constructor(storage, cache) {
    this.#storage = storage;
    this.#name = `tlru.servers.${cache}`;
  }

  /** The list as it was told last; nothing where there is none. @returns {any[]} */
  read() {
    try {
      const text = this.#storage?.getItem(this.#name);
      const found = text && text.length <= CHARS_MAX ? JSON.parse(text) : [];
      // How they were then says nothing about how they are now.
      return Array.isArray(found) ? found.map((each) => ({ ...each, status: "" })) : [];
    } catch {
      return [];
    }
  }

  /** Keep this list. @param {import("./server.js").Server[]} servers */
  keep(servers) {
    try {
      const text = JSON.stringify(servers);
      if (text.length <= CHARS_MAX) this.#storage?.setItem(this.#name, text);
    } catch {
      // Full, or forbidden to this page: then there is no list next time.
    }
  }
}
