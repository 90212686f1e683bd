// @ts-check
// Live prices: a mirror of the keys `price:*`, drawn whenever one of them changes.

// Any node will do: the cluster tells of the others. Put your own here.
const SERVERS = ["127.0.0.1:8400", "127.0.0.1:8402", "127.0.0.1:8404"];
const HISTORY = 60; // prices that a line shows

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);
/** @type {Map<string, { article: HTMLElement, prices: number[] }>} */
const cards = new Map();

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

/** @param {string} key @param {number} price */
function draw(key, price) {
  const { article, prices } = cards.get(key) ?? addCard(key);
  const before = prices.at(-1) ?? price;
  prices.push(price);
  if (prices.length > HISTORY) prices.shift();
  const change = (price / prices[0] - 1) * 100;
  part(article, "output").textContent = price.toPrecision(5);
  part(article, "small").textContent = `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)} %`;
  part(article, "polyline").setAttribute("points", line(prices));
  article.classList.toggle("falls", change < 0);
  if (price !== before) flash(part(article, "output"), price > before ? "--up" : "--down");
}

/** @param {string} key */
function addCard(key) {
  const article = element("card").content.firstElementChild.cloneNode(true);
  const name = key.slice("price:".length);
  part(article, "h2").textContent = name; // as text: whoever may write may name a key as they like
  const next = [...cards.keys()].filter((other) => other > key).sort()[0];
  element("prices").insertBefore(article, cards.get(next)?.article ?? null);
  const card = { article, prices: [] };
  cards.set(key, card);
  return card;
}

/** @param {string} key */
function drop(key) {
  cards.get(key)?.article.remove();
  cards.delete(key);
}

/** @type {(article: HTMLElement, tag: string) => any} */
const part = (article, tag) => article.querySelector(tag);

/** @param {number[]} prices */
function line(prices) {
  const low = Math.min(...prices);
  const height = Math.max(...prices) - low || 1;
  const step = 100 / Math.max(1, prices.length - 1);
  return prices.map((price, at) => `${at * step},${28 - ((price - low) / height) * 26}`).join(" ");
}

/** @param {HTMLElement} shown @param {string} color */
function flash(shown, color) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  shown.animate([{ color: `var(${color})` }, {}], 600);
}

/** @param {string} text @param {boolean} live */
function say(text, live) {
  element("state").textContent = text;
  document.body.classList.toggle("live", live);
}

async function main() {
  const { connect } = await client();
  const cache = connect(SERVERS.map((server) => `ws://${server}/ws`));
  /** @type {any} */
  let prices = null;
  const tellState = () => {
    const { state, node } = cache.link;
    const live = prices?.coherent ?? false;
    say(live ? `live, from ${node}` : prices ? `as last seen: ${state}` : state, live);
  };
  const onChange = (/** @type {any} */ { type, key, value }) => {
    if (type === "set" && typeof value === "number") draw(key, value);
    else if (type === "clear") [...cards.keys()].filter((k) => k.startsWith(key)).forEach(drop);
    else if (["delete", "expire", "evict"].includes(type)) drop(key);
  };
  cache.addEventListener("link", tellState);
  while (prices === null) {
    // It waits some seconds for a cluster that is away, then says why, and waits on.
    prices = await cache.mirror("price:*", { onChange }).catch((/** @type {any} */ error) => {
      if (error.retry === "no" && error.code !== "timeout") throw error;
      say(error.message, false);
      return null;
    });
  }
  prices.addEventListener("state", tellState);
  tellState();
}

main().catch((error) => say(error.message, false));
