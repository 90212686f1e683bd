"""Makes a backup that later releases are held against.

    python -m tests.node.old_backups.making FILE

Of a cluster of three, with something of all that a state has. A file that is committed is never
made anew: where a format grows, another one is put beside it.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import tlru
from tests.node.clusters import three
from tests.node.http.visiting import visit
from tests.running import talking, until

MANY = 600  # more than a chunk takes
LIFE_S = 86_400.0


async def make(file: Path) -> None:
    """Write such a cluster's backup."""
    async with three() as made, tlru.connect(made["n1"].url, timeout=10) as cache:
        await until(lambda: len(made.seats("n1")) == 3)
        await visit(made["n1"], "PATCH", "/v1/settings", json={"max_entries": 5_000})
        for number in range(MANY):
            await cache.set(f"many:{number}", number)
        await cache.set("text", "größer als ∅")
        await cache.set("bytes", bytes(range(256)))
        await cache.set("nested", {"list": [1, 2.5, None, True], "map": {"a": "b"}})
        await cache.set("living", "a day", ttl=LIFE_S)
        await cache.set("with a revision", "7", rev=7)
        await cache.set("gone", "with a revision too", rev=9)
        await cache.delete("gone")
        await cache.set("plainly gone", 1)
        await cache.delete("plainly gone")
        await cache.set("empty:1", 1)
        await cache.clear("empty:")
        for _ in range(3):
            await cache.incr("counted")
        async with cache.lock("held", ttl=60), talking(made["n1"]) as waiting:
            await waiting.send({"id": 1, "op": "lock", "name": "held", "ttl": 60, "wait": 60})
            machine = made["n1"].services["default"].machine
            await until(lambda: list(machine.locks.tables()[1].rows()))
            heard = await visit(made["n1"], "GET", "/v1/snapshot")
            await asyncio.to_thread(file.write_bytes, heard.body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    asyncio.run(make(parser.parse_args().file))
