"""Those who try the doors: large heads, wrong tokens, paths that lead out, pages of elsewhere."""

from __future__ import annotations

import json
import os

from tests.attacks.target import FINAL, Attack, Target, frame, head, upgrade

TRIES_A_S = 100.0
PATHS = (
    "/dashboard/../../../../etc/passwd",
    "/dashboard/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/dashboard/%252e%252e%252fetc%252fpasswd",
    "/js/..%5c..%5c..%5cetc%5cpasswd",
    "/js/tlru.js%00.css",
    "/dashboard//etc/passwd",
)


async def large_header(at: Target) -> None:
    """A header of nearly a megabyte."""
    async for _ in at.paced(20.0):
        await at.once(head("/v1/status", "X: " + "x" * 1_000_000))


async def many_headers(at: Target) -> None:
    """Two thousand small headers."""
    lines = [f"X-{number}: 1" for number in range(2_000)]
    async for _ in at.paced(20.0):
        await at.once(head("/v1/status", *lines))


async def wrong_tokens(at: Target) -> None:
    """Tokens that nobody gave: static, signed by a stranger, over WebSocket and HTTP."""
    async for turn in at.paced(TRIES_A_S):
        wrong = os.urandom(24).hex()
        if turn % 3 == 1:  # it looks signed
            wrong = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyb290In0.{wrong}"
        token = f"Authorization: Bearer {wrong}"
        if turn % 3 == 2:
            hello = {"id": 1, "op": "hello", "token": wrong}
            reader, writer = await at.socket(known=False)
            writer.write(frame(FINAL | 1, json.dumps(hello).encode()))
            await at.note(reader)
            at.drop(writer)
        else:
            way = upgrade(token) if turn % 2 else head("/v1/keys/k", token)
            await at.once(way)


async def traversal(at: Target) -> None:
    """Paths that would lead to other files, written in every way."""
    async for turn in at.paced(TRIES_A_S):
        await at.once(head(PATHS[turn % len(PATHS)], "Connection: close"))


async def garbage(at: Target) -> None:
    """Bytes that are nothing, on the port of clients."""
    async for _ in at.paced(TRIES_A_S):
        await at.once(os.urandom(2_000), within_s=0.1)


async def mesh_strangers(at: Target) -> None:
    """Connections to the port of peers: nothing is said on some, garbage on others, and the third
    upgrade and stop there."""
    asked = head("/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    said = (b"", os.urandom(2_000), asked)
    readers = []
    async for turn in at.paced(200.0):
        try:
            reader, writer = await at.open(port=at.mesh)
        except OSError:
            at.heard["no connection"] += 1
            continue
        writer.write(said[turn % 3])
        readers.append(reader)
    for reader in readers:
        over = reader.at_eof() or reader.exception() is not None or reader._buffer  # type: ignore[attr-defined]
        at.heard["refused or cut" if over else "half-open"] += 1


async def foreign_page(at: Target) -> None:
    """A page of another origin opens WebSockets from the browser of somebody who may."""
    token = f"Authorization: Bearer {at.token}"
    async for _ in at.paced(TRIES_A_S):
        await at.once(upgrade(token, "Origin: https://elsewhere.example"))


ATTACKS: dict[str, Attack] = {
    "large header": large_header,
    "many headers": many_headers,
    "wrong tokens": wrong_tokens,
    "path traversal": traversal,
    "garbage": garbage,
    "garbage, TLS": garbage,
    "mesh strangers": mesh_strangers,
    "foreign page": foreign_page,
}
