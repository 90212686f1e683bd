"""Prices that never stand still, for the page beside this file, which shows them as they change.

tlru demo --cors-origins http://127.0.0.1:8000                    (a cluster, in one terminal)
python examples/prices/feed.py                                    (this, in another)
python -m http.server 8000 --bind 127.0.0.1 -d examples/prices    (the page, in a third)

Then open http://127.0.0.1:8000, and kill a node: the page goes on with another. A page may come
from any web server, but a node talks only to pages of origins that its operator has named.
"""

import argparse
import asyncio
import contextlib
import random
import sys
from collections.abc import Sequence

import tlru

START = {"BTC": 61_250.0, "CHF": 1.118, "EUR": 1.084, "GBP": 1.271, "JPY": 0.00668, "XAU": 2_342.5}
LIFE_S = 60  # what nobody brings up to date is no price any more, and goes by itself


def moved(prices: dict[str, float]) -> dict[str, float]:
    """The next prices: some of them, each a little up or down."""
    some = random.sample(sorted(prices), k=len(prices) // 2)
    return {name: prices[name] * random.uniform(0.998, 1.002) for name in some}


async def feed(servers: Sequence[str], every_s: float) -> None:
    """Write prices until somebody ends this, whatever becomes of the cluster."""
    async with tlru.connect(*servers) as cache:
        prices = cache.at("price:", ttl=LIFE_S)
        now = dict(START)
        while True:
            try:
                # All or none, with one version: no reader sees a part of them.
                await prices.set_many(now)
            except tlru.TlruError as error:
                # Perhaps it was done, perhaps not: the next prices replace these in any case.
                print(f"feed: {error}", file=sys.stderr)
            await asyncio.sleep(every_s)
            now |= moved(now)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("servers", nargs="*", default=["ws://127.0.0.1:8400"])
    parser.add_argument("--every", type=float, default=0.5, metavar="SECONDS")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):  # that is how it is ended
        asyncio.run(feed(given.servers, given.every))
