"""One client for a whole program: its exchange on whatever event loop it is used from.

It does nothing before its first request, so it may be made at module level. It decides when to
start afresh: on another event loop, after a fork, and when an earlier loop has ended.

An exchange belongs to one event loop of one process and is never used from another.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from asyncio import get_running_loop
from threading import get_ident

from tlru.client.exchange import Exchange
from tlru.client.flights import Flights
from tlru.client.settings import Settings
from tlru.errors import Unavailable

CLOSED = "this client has been closed"


class Client:
    """What all faces onto one cache share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.complain_again_at = 0.0
        self._closed = False
        self._current: Exchange | None = None
        # Several, where one client is used from loops in several threads.
        self._exchanges: dict[asyncio.AbstractEventLoop, Exchange] = {}
        self._flights: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Flights]
        self._flights = weakref.WeakKeyDictionary()
        _clients.add(self)

    def exchange(self) -> Exchange:
        """The exchange of the running loop."""
        current = self._current
        # The loop of this thread that runs is the running one. (To ask for that one is dearer: it
        # has the system say which process this is. After a fork nothing is `current`.)
        if current is not None and current.thread == get_ident() and current.loop.is_running():
            return current
        return self._of_this_loop()

    def flights(self) -> Flights:
        """What is being loaded on the running loop. It is there even if the cache is not."""
        return self._flights.setdefault(get_running_loop(), Flights())

    def reopen(self) -> None:
        """Allow its use again after `close`."""
        self._closed = False

    async def close(self) -> None:
        """Close what is open on the running loop, and let nobody ask any more."""
        self._closed = True
        self.flights().cancel_unattended()
        exchange = self._exchanges.get(get_running_loop())
        if exchange is not None:
            await exchange.close()

    def forget(self) -> None:
        """This process is a child: the connections are its parent's.

        The child's copies of the sockets are turned into something harmless. To close them would
        not do: parent and child share the selector's state, so a destructor that tidies up in the
        child would make the parent's loop deaf to its own connection.
        """
        exchanges = list(self._exchanges.values())
        for exchange in exchanges:
            exchange.feeds.forget()
        self._current, self._exchanges = None, {}
        self._flights = weakref.WeakKeyDictionary()
        _parents_exchanges.extend(exchanges)
        for number in (number for each in exchanges for number in each.file_numbers()):
            _neutralize(number)

    def _of_this_loop(self) -> Exchange:
        if self._closed:
            raise Unavailable(CLOSED)
        loop = get_running_loop()
        for other in [other for other in list(self._exchanges) if other.is_closed()]:
            self._exchanges.pop(other, None)
        exchange = self._exchanges.get(loop)
        if exchange is None:
            exchange = self._exchanges[loop] = Exchange(loop, self.settings, self._on_end)
        self._current = exchange
        return exchange

    def _on_end(self, exchange: Exchange) -> None:
        if self._current is exchange:
            self._current = None
        if self._exchanges.get(exchange.loop) is exchange:
            del self._exchanges[exchange.loop]


def _neutralize(number: int) -> None:
    if number < 0:
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(null, number, inheritable=False)
    finally:
        os.close(null)


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client.forget()


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
# Kept until the process ends, so that no destructor of theirs runs in the child.
_parents_exchanges: list[Exchange] = []
os.register_at_fork(after_in_child=_after_fork_in_child)
