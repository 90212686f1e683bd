// @ts-check
/**
 * The JavaScript client of a tlru cluster, for browsers and Node.js.
 *
 *     import { connect } from "/tlru.js";
 *     const cache = connect(["ws://a:8400", "ws://b:8400"], { token });
 *     await cache.set("price:EUR", 1.08, { ttl: 60 });
 *     const stop = cache.subscribe("price:*", (change) => console.log(change.key, change.value));
 */

export { Cache, connect } from "./client.js";
export * from "./errors.js";
export { TlruEvent } from "./events.js";
export { Face } from "./face.js";
export { Lock } from "./lock.js";
export { Mirror } from "./mirror.js";
export { Ext, Raw } from "./values.js";
