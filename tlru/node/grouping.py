"""Plain sets that come together and leave as one operation, each answered by itself.

Most of what a write costs is not its key and value: a name of its own, a place in the log, a turn
of the machine on every node. Sets that come in one turn of the loop share these. A set is plain
where nothing depends on what is there, and its reply says no more than that it was done; then one
entry that sets several keys does to each what an entry of its own would have done.

Invariant: of one key there is one set in a group, so that each version of a key is a version of its
own.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final

from peers.core.entry import Dot
from tlru.engine.operations import Operation, Set, SetMany
from tlru.errors import TlruError
from tlru.node.asker import Asker, OneByOne
from tlru.node.latency import class_of

# A set with any other field is not plain.
PLAIN: Final = frozenset(("key", "value", "ttl", "mime", "timeout", "trace"))

ROWS_MAX: Final = 512  # so that one entry holds nobody up
BYTES_MAX: Final = 256 << 10

Fields = dict[str, Any]
Row = tuple[str, bytes, int | None, None, str | None]


class Group(OneByOne):
    """Plain sets of one turn. It asks in the place of those who asked for each."""

    __slots__ = (
        "_askers",
        "_rows",
        "began",
        "bytes",
        "deadline",
        "push_bytes",
        "timeout",
        "waiting",
        "waits",
    )

    def __init__(self, timeout: int, deadline: int) -> None:
        self.began = perf_counter()
        self.timeout, self.deadline = timeout, deadline
        self.bytes = 0
        self._rows: dict[str, Row] = {}
        self._askers: dict[Asker, list[int | None]] = {}
        self.waiting: dict[Dot, str] = {}
        self.waits = self.push_bytes = 0

    def takes(self, key: str, size: int, timeout: int) -> bool:
        """Whether one more set may be in it."""
        rows = self._rows
        return (
            key not in rows
            and timeout == self.timeout
            and len(rows) < ROWS_MAX
            and self.bytes + size <= BYTES_MAX
        )

    def add(self, args: Fields, size: int, asker: Asker, request: int | None) -> None:
        """Take one more set in."""
        key = args["key"]
        self._rows[key] = (key, args["value"], args.get("ttl"), None, args.get("mime"))
        self.bytes += size
        requests = self._askers.get(asker)
        if requests is None:
            self._askers[asker] = [request]
        else:
            requests.append(request)

    def operation(self) -> Operation:
        """What the log is to order."""
        rows = tuple(self._rows.values())
        if len(rows) > 1:
            return SetMany(rows)
        key, value, ttl, _, mime = rows[0]
        return Set(key, value, ttl, mime=mime)

    @property
    def askers(self) -> Iterable[Asker]:
        """Who asked for the sets."""
        return self._askers

    def classes(self) -> dict[str, int]:
        """How many of the sets come from which class of clients."""
        counts: dict[str, int] = {}
        for asker, requests in self._askers.items():
            name = class_of(asker)
            counts[name] = counts.get(name, 0) + len(requests)
        return counts

    # -- as an asker

    def reply(self, request: int | None, fields: Fields) -> None:
        """All of them were done."""
        for asker, requests in self._askers.items():
            asker.reply_alike(requests, fields)

    def hurry(self) -> None:
        """Each of them does."""
        for asker in self._askers:
            asker.hurry()

    def refuse(self, request: int | None, error: TlruError) -> None:
        """None of them were, or nobody knows."""
        for asker, requests in self._askers.items():
            for each in requests:
                asker.refuse(each, error)
