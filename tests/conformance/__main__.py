"""A real node is held against its own description: `python -m tests.conformance`.

Schemathesis reads `/openapi.json` of a node that is started for it, makes requests that fit the
description and requests that do not, and holds each answer against it, with all its checks. A table
says how often each operation was asked and how it answered; each finding comes with a command that
sends it again, and the exit status is then 1. What no schema can say is not held against the node:
`tests/conformance/excuses.py` lists it. The ordinary tests do the same with few examples.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from tests.conformance.running import Wish, check
from tests.running import a_node


def main() -> int:
    """Run it, and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=100, help="of each operation (100)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same requests (1)")
    parser.add_argument("--quiet", action="store_true", help="no progress, the report alone")
    told = parser.parse_args()
    return asyncio.run(run(Wish(told.examples, told.seed), quiet=told.quiet))


async def run(wish: Wish, *, quiet: bool) -> int:
    """Hold a node against its description."""

    def progress(line: str) -> None:
        if not quiet:
            print(f"{time.monotonic() - began:6.1f} s {line}", file=sys.stderr)

    began = time.monotonic()
    async with a_node() as node:
        report = await check(node, wish, progress)
    print("\n".join(report.lines()))
    print(f"{time.monotonic() - began:.0f} s, seed {wish.seed}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
