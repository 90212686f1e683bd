// Signed tokens, made with a secret that the node knows too.
import { createHmac } from "node:crypto";

const part = (data) => Buffer.from(data).toString("base64url");

/** A JWT by HS256: who it is for `ttl` seconds, with these rights. */
export function signed(secret, ttl, rights, sub = "tests") {
  const now = Date.now() / 1000;
  const claims = { sub, exp: now + ttl, tlru: rights };
  const body = `${part(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${part(JSON.stringify(claims))}`;
  return `${body}.${part(createHmac("sha256", secret).update(body).digest())}`;
}
