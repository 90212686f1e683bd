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
from collections.abc import Iterable
from typing import Final

from tlru.engine.client_limits import RANKS

_CAN: Final = sys.platform == "linux"  # elsewhere nobody is heard, and parts of a turn are all


class Knocking:
    """The sockets of connections, by their rank. Of the least nobody has to hear."""

    def __init__(self) -> None:
        self._polls: list[select.epoll | None] = [None] * (RANKS - 1)
        self._known: dict[asyncio.BaseTransport, tuple[int, int]] = {}  # descriptor and rank
        self._counts = [0] * RANKS
        self._closed = not _CAN

    def listen(self, transport: asyncio.BaseTransport, rank: int) -> None:
        """Hear a connection, which is of this rank now. Where the system has no room for that, it
        goes unheard: its messages then wait for the parts of a turn, as they do elsewhere."""
        known = self._known.get(transport)
        if self._closed or transport.is_closing() or (known is not None and known[1] == rank):
            return
        self.forget(transport)
        fd = transport.get_extra_info("socket").fileno()
        if rank < len(self._polls):
            try:
                poll = self._polls[rank]
                if poll is None:
                    poll = self._polls[rank] = select.epoll()
                poll.register(fd, select.EPOLLIN | select.EPOLLET)
            except OSError:
                return
        self._known[transport] = fd, rank
        self._counts[rank] += 1

    def forget(self, transport: asyncio.BaseTransport) -> None:
        """The connection ends, or counts for another rank."""
        if (known := self._known.pop(transport, None)) is None:
            return
        fd, rank = known
        self._counts[rank] -= 1
        if rank < len(self._polls) and (poll := self._polls[rank]) is not None:
            with contextlib.suppress(OSError):  # closed already: the system has forgotten it itself
                poll.unregister(fd)
            if not self._counts[rank]:
                poll.close()
                self._polls[rank] = None

    def anybody(self, rank: int) -> bool:
        """Whether anybody more important is connected at all."""
        return any(self._counts[:rank])

    def heard(self, ranks: Iterable[int]) -> int | None:
        """The first of these ranks of which somebody has sent what nobody has read."""
        for rank in ranks:
            if self._counts[rank] and (poll := self._polls[rank]) is not None and poll.poll(0, 1):
                return rank
        return None

    def close(self) -> None:
        """Hear nobody any more."""
        self._closed = True
        self._known.clear()
        self._counts = [0] * RANKS
        for rank, poll in enumerate(self._polls):
            if poll is not None:
                poll.close()
                self._polls[rank] = None
