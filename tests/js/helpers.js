// What the tests share: a client, patience, and what the Python side has told.
import { WebSocket } from "ws";
import { connect } from "../../tlru/js/tlru.js";

export const told = JSON.parse(process.env.TLRU_TOLD ?? "{}");

const PATIENCE_MS = 20_000;

/** A client that is closed when the test ends. */
export function client(t, urls, options = {}) {
  const cache = connect(urls, { WebSocket, ...options });
  t.after(() => cache.close());
  return cache;
}

/** Wait until something holds. */
export async function until(holds, what = "it did not come about") {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A WebSocket class that remembers what was sent, message by message. */
export function recordingSocket() {
  return class extends WebSocket {
    static sent = [];
    send(data) {
      this.constructor.sent.push(data.split("\n").map((line) => JSON.parse(line)));
      super.send(data);
    }
  };
}
