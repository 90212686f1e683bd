"""What a client was asked to be: addresses, patience and bounds.

Addresses are checked here, when `connect` is called, so that a mistyped one is told at once and not
at the first request.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from peers.awake import STAY_S
from tlru.errors import BadRequest

DEFAULT_URL: Final = "ws://127.0.0.1:8400"
DEFAULT_PATH: Final = "/ws"
DEFAULT_CACHE: Final = "default"
DEFAULT_STAY_S: Final = STAY_S

# A token, or what fetches one anew (called again when a node says that it has run out).
Token: TypeAlias = str | Callable[[], str | Awaitable[str]] | None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds."""

    open: float = 5.0  # name lookup, TCP, TLS, upgrade and hello together
    ping_after: float = 15.0  # heard nothing for so long: ask
    pong_within: float = 10.0  # still nothing: go elsewhere
    doubt: float = 1.0  # a request was in vain: the least time for a sign of life after that
    close: float = 1.0  # for the node to close in turn
    drain: float = 5.0  # for answers that a connection out of service still owes
    backoff_first: float = 0.1
    backoff_most: float = 20.0
    steady: float = 10.0  # in service for so long: the next trouble is a new one


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `connect` was told."""

    urls: tuple[str, ...]
    token: Token = field(default=None, repr=False)
    timeout: float = 2.0
    cache: str = DEFAULT_CACHE
    exactly_once: bool | None = None
    ssl: tls.SSLContext | None = None
    message_bytes_max: int = 64 << 20
    stay_awake: float = DEFAULT_STAY_S
    name: str = "tlru-python"
    timing: Timing = Timing()


def complete_url(url: str, cache: str) -> str:
    """The address in full: the usual path where none is given, and which cache is meant."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise BadRequest(f"{url!r} is no address of a server: write it like {DEFAULT_URL!r}")
    try:
        port = parts.port
    except ValueError as exc:
        raise BadRequest(f"{url!r} is no address of a server: {exc}") from exc
    if parts.username is not None or parts.fragment:
        raise BadRequest(f"{parts.hostname}: pass credentials as token=, and no fragment (#)")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    query = parse_qsl(parts.query, keep_blank_values=True)
    if cache != DEFAULT_CACHE and not any(name == "cache" for name, _ in query):
        query.append(("cache", cache))
    path = parts.path if parts.path not in ("", "/") else DEFAULT_PATH
    return urlunsplit((parts.scheme, netloc, path, urlencode(query, quote_via=quote), ""))


def complete_urls(urls: Sequence[str], cache: str) -> tuple[str, ...]:
    """All the addresses in full, each once, in the order given."""
    return tuple(dict.fromkeys(complete_url(url, cache) for url in urls or (DEFAULT_URL,)))
