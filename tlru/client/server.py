"""One server: where it is, and what is known of its place in the cluster.

Pure. A server may be named by a program, told by the cluster, or read from a file. A mistyped
address is told to the program when `connect` is called, and not at the first request; of what a
cluster or a file tells, whatever makes no sense is left out, and an entry without a usable address
names no server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tlru.errors import BadRequest

DEFAULT_URL: Final = "ws://127.0.0.1:8400"
DEFAULT_PATH: Final = "/ws"
DEFAULT_CACHE: Final = "default"
URL_CHARS_MAX: Final = 2048
WORD_CHARS_MAX: Final = 256  # of an id, a region and the like
PRIORITY: Final = 100
WEIGHT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server to connect to. `tlru.connect` takes these beside plain addresses."""

    url: str
    region: str = ""
    zone: str = ""
    priority: int = PRIORITY
    weight: float = WEIGHT
    id: str = ""
    """The node behind the address, as its cluster calls it. A node may have several entrances."""
    role: str = ""
    status: str = ""


def complete_url(url: str, cache: str) -> str:
    """The address in full: the usual path where none is given, and which cache is meant."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or not url.isprintable():
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


def named(servers: Iterable[str | Server], cache: str) -> tuple[Server, ...]:
    """What a program names, with the addresses in full, each once; `BadRequest` for a bad one."""
    found: dict[str, Server] = {}
    for each in servers:
        server = Server(each) if isinstance(each, str) else each
        server = replace(server, url=complete_url(server.url, cache))
        found.setdefault(server.url, server)
    return tuple(found.values())


def parse(entry: Any, cache: str) -> Server | None:
    """The server that an entry of a list speaks of; None where it names none."""
    if not isinstance(entry, dict):
        return None
    url = entry.get("url")
    if not isinstance(url, str) or len(url) > URL_CHARS_MAX:
        return None
    try:
        url = complete_url(url, cache)
    except ValueError:  # BadRequest is one, and urllib has some of its own
        return None
    words = {
        name: entry[name]
        for name in ("id", "region", "zone", "role", "status")
        if isinstance(entry.get(name), str) and len(entry[name]) <= WORD_CHARS_MAX
    }
    return Server(
        url,
        priority=int(_number(entry.get("priority"), PRIORITY)),
        weight=_number(entry.get("weight"), WEIGHT),
        **words,
    )


def _number(given: Any, usual: float) -> float:
    """A number from 0 on, as given, or the usual one."""
    fits = isinstance(given, int | float) and 0 <= given < 2**53
    return given if fits else usual
