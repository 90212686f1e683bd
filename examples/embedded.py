"""A node inside one's own program: for tests, tools, or an application that brings its cache along.

python examples/embedded.py
"""

import asyncio

import tlru


async def main() -> None:
    """Run a node and a client of it in one event loop."""
    async with tlru.Node(listen="127.0.0.1:0", max_entries=1_000) as node:
        print("serving at", node.url)
        async with tlru.connect(node.url) as cache:
            await cache.set("inside", {"one": "process"})
            print("kept:", await cache.get("inside"))
            print("status:", (await cache.status())["status"])


if __name__ == "__main__":
    asyncio.run(main())
