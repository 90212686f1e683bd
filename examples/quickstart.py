"""First steps with a running node: `tlru demo` in one terminal, this in another.

python examples/quickstart.py [ws://127.0.0.1:8400]
"""

import asyncio
import sys

import tlru


async def main(url: str) -> None:
    """Keep a few things, and read them back."""
    async with tlru.connect(url) as cache:
        await cache.set("greeting", "hello", ttl=60)
        print("greeting:", await cache.get("greeting"))

        # A namespace: the same face on a prefix, with a life of its own for what it keeps.
        prices = cache.at("price:", ttl=30)
        await prices.set_many({"EUR": 1.08, "GBP": 1.27})  # all or none
        print("prices:", await prices.get_many(["EUR", "GBP", "JPY"]))

        item = await prices.item("EUR")
        assert item is not None
        # Only if nobody has written it since it was read here:
        done = await prices.set("EUR", 1.09, if_=item.version)
        print("updated:", done.applied)
        late = await prices.set("EUR", 1.07, if_=item.version)
        print("updated from what was read before:", late.applied)

        print("visits:", await cache.incr("visits"))
        async for key, item in prices.items():
            print(key, item.value)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8400"))
