// @ts-check
// A chat: everybody publishes to one channel, and everybody sees the same messages in the same
// order. Nobody stores them; a page that is opened is told what the nodes still retain.

// Any node will do: the cluster tells of the others. Put your own here.
const SERVERS = ["127.0.0.1:8400", "127.0.0.1:8402", "127.0.0.1:8404"];
const CHANNEL = "chat:lobby";
const HISTORY = 5_000; // entries of the log to look back over, whatever they are about
const SHOWN_MAX = 500;

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
const messages = element("messages");

/** The client, from the first node that answers: every node serves it. */
async function client() {
  for (const server of SERVERS) {
    try {
      return await import(`http://${server}/tlru.js`);
    } catch {
      // The next one may be there.
    }
  }
  const how = `tlru demo --cors-origins ${location.origin}`;
  throw new Error(`no node lets this page in: start them with ${how}, and reload`);
}

/** A message, or a word of the page's own. Anybody may have written it: only text is shown.
 * @param {string} name @param {string} text @param {Date | null} [at] */
function show(name, text, at = null) {
  const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
  const line = element("message").content.firstElementChild.cloneNode(true);
  line.querySelector("b").textContent = name;
  line.querySelector("p").textContent = text;
  const time = line.querySelector("time");
  time.textContent = at?.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) ?? "";
  line.classList.toggle("note", name === "");
  line.classList.toggle("mine", name !== "" && name === element("name").value);
  messages.append(line);
  if (messages.children.length > SHOWN_MAX) messages.firstElementChild.remove();
  if (atEnd) messages.scrollTop = messages.scrollHeight; // else somebody reads further up
}

/** When something happened, by this machine's clock: the cluster's counts from a time of its own.
 * @param {any} cache @param {Date} at */
function here(cache, at) {
  return new Date(Date.now() - Math.max(0, cache.time - at.getTime()));
}

/** @param {any} cache @param {any} change */
function onChange(cache, { type, value, at, error }) {
  const { name, text } = value ?? {};
  if (type === "message" && typeof name === "string" && typeof text === "string") {
    show(name.slice(0, 20), text.slice(0, 500), here(cache, at));
  } else if (type === "reset") {
    show("", "What was said before is not retained any more.");
  } else if (type === "end") {
    problem(error.message);
  }
}

/** @param {string} text */
function problem(text) {
  element("problem").textContent = text;
  element("problem").hidden = text === "";
}

/** @param {any} cache @param {SubmitEvent} event */
async function send(cache, event) {
  event.preventDefault();
  const text = element("text").value;
  element("form").inert = true; // one after another, in the order typed
  try {
    // Delivered once, through whichever nodes it takes: a publication bears a name.
    await cache.publish(CHANNEL, { name: element("name").value, text }, { timeout: 10 });
    element("text").value = "";
    problem("");
  } catch (/** @type {any} */ error) {
    const sent = error.retry === "unknown" ? "Perhaps it was sent" : "It was not sent";
    problem(`${sent}: ${error.message}`);
  }
  element("form").inert = false;
  element("text").focus();
}

/** Where what is to be shown begins; asked until somebody answers. @param {any} cache */
async function beginning(cache) {
  for (;;) {
    try {
      const { epoch, pos } = await cache.status({ timeout: 10 });
      return `${epoch}-${Math.max(0, pos - HISTORY)}`;
    } catch (/** @type {any} */ error) {
      if (error.retry === "no" && error.code !== "timeout") throw error;
      problem(error.message);
    }
  }
}

async function main() {
  const { connect } = await client();
  const cache = connect(SERVERS.map((server) => `ws://${server}/ws`));
  element("name").value = localStorage.getItem("name") ?? "";
  element("name").addEventListener("change", () =>
    localStorage.setItem("name", element("name").value),
  );
  cache.addEventListener("link", () => {
    const { state, node } = cache.link;
    element("state").textContent = state === "open" ? `through ${node}` : state;
    document.body.classList.toggle("open", state === "open");
  });
  element("form").addEventListener("submit", (/** @type {any} */ event) => send(cache, event));
  element("form").inert = false; // before, sending would only have loaded the page anew
  const since = await beginning(cache);
  problem("");
  cache.subscribe(`#${CHANNEL}`, (/** @type {any} */ change) => onChange(cache, change), { since });
}

main().catch((error) => problem(error.message));
