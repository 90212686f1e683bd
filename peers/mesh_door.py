"""The TLS handshake of a connection that comes in, counted like everything that is half open.

A server of asyncio's that does TLS by itself tells of a connection only when the handshake is over,
so the number of those that never end it would have no bound.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from peers.mesh_ends import Close, End
from peers.mesh_greeting import Side
from peers.mesh_link import Host, Link


class DoorHost(Host, Protocol):
    """Whose door it is."""

    def arrived(self, link: Link | TlsDoor) -> None:
        """Somebody is there."""

    def known(self, link: Link | TlsDoor) -> None:
        """A link has taken its place, or it has come to nothing."""

    def complain(self, whom: str, end: End) -> None:
        """It has come to nothing."""


class TlsDoor(asyncio.Protocol):
    """A connection before its TLS handshake."""

    def __init__(self, host: DoorHost) -> None:
        self._host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(self._shake_hands(loop), name="mesh TLS handshake")
        self._host.arrived(self)

    def abort(self, sentence: str) -> None:
        """End it without a word."""
        self.task.cancel(sentence)
        self._transport.abort()

    async def _shake_hands(self, loop: asyncio.AbstractEventLoop) -> None:
        context = self._host.settings.tls_listen
        assert context is not None, "the door is for TLS"
        link = Link(self._host, Side.LISTENER)
        try:
            transport = await loop.start_tls(
                self._transport,
                link,
                context,
                server_side=True,
                ssl_handshake_timeout=self._host.settings.timing.greeting_s,
            )
        except (OSError, ssl.SSLError) as exc:
            self._transport.abort()
            said = f"no TLS: {exc or 'it broke off'}"
            self._host.complain("a connection", End(Close.PROTOCOL, said, ours=True))
        else:
            if transport is not None:
                link.connection_made(transport)
        finally:
            self._host.known(self)
