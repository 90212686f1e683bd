"""A worker that changes a stock; `record.py` beside this file keeps a record of every change.

tlru demo                              (a cluster, in one terminal)
python examples/audit/record.py        (in another; kill it with -9, and start it again)
python examples/audit/change.py        (this, in a third)
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence

import tlru

GOODS = ("apples", "pears", "plums")


async def main(servers: Sequence[str], changes: int) -> None:
    """Change the stock so many times, and say what it was changed to."""
    async with tlru.connect(*servers, timeout=10) as cache:
        stock = cache.at("stock:")
        for _ in range(changes):
            good = random.choice(GOODS)
            # Done once, whatever becomes of a node meanwhile: `incr` is repeated under its name.
            left = await stock.incr(good, random.randint(-5, 5))
            print(f"{good} {left}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("servers", nargs="*", default=["ws://127.0.0.1:8400"])
    parser.add_argument("--changes", type=int, default=100)
    given = parser.parse_args()
    try:
        asyncio.run(main(given.servers, given.changes))
    except tlru.TlruError as error:
        sys.exit(f"change: {error}")
