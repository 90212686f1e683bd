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
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.conformance.running import Wish, check
from tests.node.access.holders import token_file
from tests.running import a_node

# What the tokens of a node that asks for them allow.
EVERYTHING = [""]
GRANTS: dict[str, dict[str, Any]] = {
    "reader": {"read": EVERYTHING, "subscribe": EVERYTHING},
    "writer": {"read": ["0"], "write": ["0", "a"], "publish": ["0"], "subscribe": ["0"]},
    "admin": {
        "admin": True,
        **dict.fromkeys(("read", "write", "publish", "subscribe"), EVERYTHING),
    },
}
EVERYBODY = "everybody"  # of a node that asks for no token
NOBODY = "nobody"  # without one, of a node that asks
HOLDERS = (EVERYBODY, NOBODY, *GRANTS)


def main() -> int:
    """Run it, and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=100, help="of each operation (100)")
    parser.add_argument("--seed", type=int, help="the same seed, the same requests (by chance)")
    parser.add_argument(
        "--as",
        action="append",
        dest="holders",
        choices=HOLDERS,
        help=(
            "who asks: everybody (of a node without tokens), or of one that asks for them nobody, "
            "a reader, a writer of some prefixes, an admin; may be given again (all of them)"
        ),
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, the report alone")
    told = parser.parse_args()
    seed = random.randrange(1 << 32) if told.seed is None else told.seed
    found = 0
    for holder in told.holders or HOLDERS:
        wish = Wish(told.examples, seed)
        found += asyncio.run(run(wish, holder, quiet=told.quiet))
    return 1 if found else 0


async def run(wish: Wish, holder: str, *, quiet: bool) -> int:
    """Hold a node against its description; how much was found."""

    def progress(line: str) -> None:
        if not quiet:
            print(f"{time.monotonic() - began:6.1f} s {line}", file=sys.stderr)

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tlru-conformance-") as folder:
        options: dict[str, Any] = {}
        tokens: dict[str, str] = {}
        if holder != EVERYBODY:
            options["tokens_file"], tokens = token_file(Path(folder), **GRANTS)
        async with a_node(**options) as node:
            report = await check(node, replace(wish, token=tokens.get(holder)), progress)
    print(f"\nas {holder}, seed {wish.seed}, {time.monotonic() - began:.0f} s")
    print("\n".join(report.lines()))
    return len(report.findings)


if __name__ == "__main__":
    sys.exit(main())
