"""A worker that watches a stock, and records every change of it, each once, also over a kill -9.

tlru demo                              (a cluster, in one terminal)
python examples/audit/record.py        (this, in another; kill it with -9, and start it again)
python examples/audit/change.py        (what changes the stock, in a third)

What was recorded and the position behind it are kept in one file, by one transaction. So they never
part: a worker that is killed goes on behind the last change that it has recorded. It may be away
for as long as the nodes retain what happens (`retained_bytes`); after that, the record says that
there is a gap.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Sequence

import tlru

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (version INTEGER, good TEXT, what TEXT);
CREATE TABLE IF NOT EXISTS position (behind TEXT);
"""


def recorded(change: tlru.Change[int]) -> tuple[int, str, str]:
    """A change as it stands in the record."""
    match change:
        case tlru.Set():
            what = f"is {change.value}"
        case tlru.Removed() | tlru.Cleared():
            what = "is gone"
        case tlru.Reset():
            what = f"GAP: {change.reason}; what there is follows"
        case _:
            what = type(change).__name__.lower()
    return change.version, change.key, what


async def record(servers: Sequence[str], file: str) -> None:
    """Record until somebody ends this."""
    with contextlib.closing(sqlite3.connect(file)) as book:
        book.executescript(SCHEMA)
        found = book.execute("SELECT behind FROM position").fetchone()
        since = found and found[0]
        print("goes on behind" if since else "begins", since or "", flush=True)
        async with tlru.connect(*servers) as cache:
            stock = cache.at("stock:")
            # With a snapshot: what there is comes first, unless it can go on from a position.
            async with stock.watch(since=since, snapshot=True) as changes:
                async for batch in changes.batches():
                    with book:  # one transaction: all of this, or nothing of it
                        book.executemany(
                            "INSERT INTO record VALUES (?, ?, ?)", map(recorded, batch)
                        )
                        book.execute("DELETE FROM position")
                        book.execute("INSERT INTO position VALUES (?)", (batch[-1].position,))
                    print(f"recorded {len(batch)}, up to {batch[-1].position}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("servers", nargs="*", default=["ws://127.0.0.1:8400"])
    parser.add_argument("--file", default="stock.sqlite")
    given = parser.parse_args()
    try:
        asyncio.run(record(given.servers, given.file))
    except KeyboardInterrupt:
        pass  # that is how it is ended
    except tlru.TlruError as error:
        sys.exit(f"record: {error}")
