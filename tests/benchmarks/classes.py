"""A node in a process of its own that takes a client's class from the name it says hello with.

No node that is meant for use believes a client: a class comes with a token. Here it is for floods
of which nobody has to sign anything. `python -m tests.benchmarks.classes PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tlru.config import Config
from tlru.node import Node, limits


def class_by_name(who: Any) -> str:
    """The class that its client's name begins with."""
    return str(getattr(who, "client", "") or "default").partition("/")[0]


async def serve(port: int) -> None:
    """Serve until killed."""
    async with Node(Config(listen=f"127.0.0.1:{port}", max_bytes=256 << 20)) as node:
        print(node.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    limits.client_class_of = class_by_name
    asyncio.run(serve(int(sys.argv[1])))
