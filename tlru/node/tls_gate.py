"""Where clients come in over TLS: connections are counted from the moment they are accepted.

Each of them gets the context of its moment, so new certificates go for whoever comes from then on,
and nobody who is in notices.

Invariant: no handshake takes longer than HANDSHAKE_S, and those under way count as connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from peers.mesh.status import Complaints

HANDSHAKE_S: Final = 5.0  # from the accepted connection to the end of the handshake
GOODBYE_S: Final = 2.0  # for the other side to answer that TLS ends
SHAKING_MAX: Final = 64  # handshakes that may yet turn out to be a probe's, while the node is full

# What OpenSSL calls it, and what it comes to.
_PLAIN: Final = ("HTTP_REQUEST", "WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG")
_OLD: Final = ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW")
_DISTRUST: Final = ("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE")
_DISTRUST_TOO: Final = ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_CERTIFICATE_EXPIRED")

logger = logging.getLogger(__name__)

Factory = Callable[[], asyncio.Protocol]


class TlsGate:
    """The TLS of a node's port. `context` is for whoever comes next; None where there is none."""

    def __init__(self, full: Callable[[], bool], patience_s: Callable[[], float]) -> None:
        """`full`: whether no more connections are taken; `patience_s`: a bound of the owner's own,
        under HANDSHAKE_S."""
        self.context: ssl.SSLContext | None = None
        self._full, self._patience_s = full, patience_s
        self._shaking: set[asyncio.Task[None]] = set()
        self._complaints = Complaints(time.monotonic)

    @property
    def shaking(self) -> int:
        """How many handshakes are under way."""
        return len(self._shaking)

    async def stop(self) -> None:
        """End the handshakes that are under way."""
        tasks = list(self._shaking)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def begin(self, accepted: socket.socket, protocol: Factory) -> None:
        """Let this one in, once it speaks TLS."""
        if self.context is None or (len(self._shaking) >= SHAKING_MAX and self._full()):
            accepted.close()  # whatever could be said would have to be said in TLS
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._shake(accepted, self.context, protocol), name="TLS handshake")

        def ended(task: asyncio.Task[None]) -> None:
            self._shaking.discard(task)
            if task.cancelled():
                accepted.close()  # it may not even have begun

        self._shaking.add(task)
        task.add_done_callback(ended)

    async def _shake(
        self, accepted: socket.socket, context: ssl.SSLContext, protocol: Factory
    ) -> None:
        whom = _whom(accepted)
        with contextlib.suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                accepted,
                ssl=context,
                ssl_handshake_timeout=min(HANDSHAKE_S, self._patience_s()),
                ssl_shutdown_timeout=GOODBYE_S,
            )
        except ssl.SSLError as exc:
            self._complain(*_told(exc), whom)
        except OSError as exc:  # it took too long, or left: what probes of a port do all day
            logger.debug("a TLS handshake came to nothing: %s (%s)", exc, whom)

    def _complain(self, kind: str, sentence: str, whom: str = "") -> None:
        # Once a minute for each kind, whoever causes it: what strangers do must not fill a disk.
        if self._complaints.may(kind):
            logger.warning("%s%s", sentence, f" (from {whom})" if whom else "")
        else:
            logger.debug("%s (from %s)", sentence, whom)


def _whom(accepted: socket.socket) -> str:
    try:
        return str(accepted.getpeername()[0])
    except (OSError, IndexError):
        return "somebody who is gone"


def _told(exc: ssl.SSLError) -> tuple[str, str]:
    """What kind of failure it is, and what to do."""
    reason = exc.reason or ""
    if reason in _PLAIN:
        return "plain", (
            "somebody speaks no TLS at the port, which speaks nothing else: write https:// or "
            "wss:// where it says http:// or ws://"
        )
    if reason in _OLD:
        return "old", "somebody speaks a TLS before 1.2, and is not let in: upgrade that client"
    if reason in (*_DISTRUST, *_DISTRUST_TOO):
        return "distrust", (
            "somebody does not trust this node's certificate: give that client the authority "
            f"(ca, --ca), or look whether the certificate has expired ({reason})"
        )
    return "other", f"a TLS handshake failed: {reason or exc}"
