"""A socket to listen on, also beside one that is to be closed afterwards.

Decides how a port is taken. Two sockets of one port, say of 127.0.0.1 and of every interface, may
listen at once only where both say so before the second one comes; neither says so otherwise, or
any program of the same user could take its share of what comes in.
"""

from __future__ import annotations

import socket
from typing import Any

Found = tuple[Any, ...]  # as getaddrinfo gives it


def listen(found: Found, backlog: int, beside: socket.socket | None = None) -> socket.socket:
    """Listen there, if need be `beside` a socket that listens already. OSError where that is not
    possible; the other one is left as it was."""
    family, kind, protocol, _, place = found
    shares = beside is not None and hasattr(socket, "SO_REUSEPORT")
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if beside is not None and shares:
            _share(beside, True)
            _share(sock, True)
        sock.bind(place)
        sock.listen(backlog)
        if shares:
            _share(sock, False)
    except BaseException:
        sock.close()
        raise
    finally:
        if beside is not None and shares:
            _share(beside, False)
    return sock


def _share(sock: socket.socket, on: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(on))
