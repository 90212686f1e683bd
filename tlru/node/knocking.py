"""Whether somebody more important has sent something while the node serves others.

What one turn of the event loop brings is served in the order in which it came. Whoever serves a
less important client may ask here, between two pieces of work, whether one of more importance
waits at its socket, and let it go first. To ask takes a microsecond and reads nothing.

Every arrival is heard once: what the node has read meanwhile is not, and what it does not want to
read yet does not keep the others from being served for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
from typing import Final

from tlru.engine.client_limits import RANKS

_CAN: Final = sys.platform == "linux"  # elsewhere nobody is heard, and parts of a turn are all


class Knocking:
    """The sockets of connections, by whom they are more important than."""

    def __init__(self) -> None:
        self._heard_by: list[select.epoll | None] = [None] * RANKS  # by the rank that gives way
        self._known: dict[asyncio.BaseTransport, tuple[int, int]] = {}  # descriptor and rank
        self._more = [0] * RANKS  # how many are more important than a rank

    def listen(self, transport: asyncio.BaseTransport, rank: int) -> None:
        """Hear a connection, which is of this rank now."""
        known = self._known.get(transport)
        if not _CAN or transport.is_closing() or (known is not None and known[1] == rank):
            return
        self.forget(transport)
        fd = transport.get_extra_info("socket").fileno()
        self._known[transport] = fd, rank
        for lesser in range(rank + 1, RANKS):
            self._more[lesser] += 1
            if (heard := self._heard_by[lesser]) is None:
                heard = self._heard_by[lesser] = select.epoll()
            heard.register(fd, select.EPOLLIN | select.EPOLLET)

    def forget(self, transport: asyncio.BaseTransport) -> None:
        """The connection ends, or counts for another rank."""
        if (known := self._known.pop(transport, None)) is None:
            return
        fd, rank = known
        for lesser in range(rank + 1, RANKS):
            self._more[lesser] -= 1
            with contextlib.suppress(OSError):  # closed already: the system has forgotten it itself
                self._heard(lesser).unregister(fd)

    def anybody(self, rank: int) -> bool:
        """Whether anybody more important is connected at all."""
        return self._more[rank] > 0

    def heard(self, rank: int) -> bool:
        """Whether anybody more important has sent something that nobody has read."""
        return self._more[rank] > 0 and bool(self._heard(rank).poll(0, 1))

    def close(self) -> None:
        """Hear nobody any more."""
        self._known.clear()
        self._more = [0] * RANKS
        for rank, heard in enumerate(self._heard_by):
            if heard is not None:
                heard.close()
                self._heard_by[rank] = None

    def _heard(self, rank: int) -> select.epoll:
        heard = self._heard_by[rank]
        assert heard is not None
        return heard
