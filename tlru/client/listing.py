"""What is in a file of servers, and what is to be in it after the cluster has told of others.

Pure: bytes in, bytes out.

The file is JSON: a list of addresses, of objects as in the protocol, or of both; or an object whose
`servers` is that list. An entry with an `id` is the cluster's word, and is kept as the cluster
tells it. One without is somebody's own and stays, and so do fields that are not known here: the
addresses that a cluster tells of need not be those by which a client from here can reach it.

How well a server is (`status`) is not kept: it is the news of a moment, and each node sees it
otherwise, so processes that share a file would rewrite it for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tlru.client.server import DEFAULT_CACHE, Server, parse

FILE_BYTES_MAX: Final = 1 << 20
FILE_SERVERS_MAX: Final = 64  # further ones are left where they are, and not used
LIST: Final = "servers"
EXAMPLE: Final = '["ws://a.example:8400", "ws://b.example:8400"]'


class DamagedError(ValueError):
    """The file is not what it should be; the text says how."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The servers that a file names."""

    own: tuple[Server, ...]  # somebody's, to be kept
    told: tuple[Server, ...]  # the cluster's
    left: tuple[str, ...]  # why some entries are not used


def read(data: bytes, cache: str) -> Listing:
    """What a file says. `DamagedError` if it is none of ours."""
    _, entries = _parsed(data)
    own: list[Server] = []
    told: list[Server] = []
    left: list[str] = []
    for entry in entries[:FILE_SERVERS_MAX]:
        server = _server(entry, cache)
        if server is None:
            left.append(f"{_dumped(entry)[:100]} names no address of a server")
        else:
            (told if _is_told(entry) else own).append(server)
    if len(entries) > FILE_SERVERS_MAX:
        left.append(f"of {len(entries)} entries only the first {FILE_SERVERS_MAX} are used")
    return Listing(tuple(own), tuple(told), tuple(left))


def renewed(data: bytes | None, servers: Sequence[Server], cache: str) -> bytes | None:
    """The bytes that a file is to have now that these are the servers; None where it may stay."""
    whole, entries = ({LIST: []}, []) if data is None else _parsed(data)
    left = {each.url: each for each in servers}
    after: list[Any] = []
    for entry in entries:
        named = _server(entry, cache)
        server = None if named is None else left.pop(named.url, None)
        if not _is_told(entry):
            after.append(entry)
        elif server is not None:
            after.append({**entry, **_entry(server, cache)})
    after += [_entry(server, cache) for server in left.values()]
    if data is not None and after == entries:
        return None
    return _written({**whole, LIST: after} if isinstance(whole, dict) else after)


def _parsed(data: bytes) -> tuple[Any, list[Any]]:
    """The document, and the entries in it."""
    if len(data) > FILE_BYTES_MAX:
        raise DamagedError(f"it has {len(data)} bytes, more than {FILE_BYTES_MAX}")
    try:
        whole = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise DamagedError(f"it is not JSON: {exc}") from exc
    entries = whole.get(LIST) if isinstance(whole, dict) else whole
    if not isinstance(entries, list):
        raise DamagedError(f"it holds no list of servers, like {EXAMPLE}")
    return whole, entries


def _server(entry: Any, cache: str) -> Server | None:
    return parse({"url": entry} if isinstance(entry, str) else entry, cache)


def _is_told(entry: Any) -> bool:
    return isinstance(entry, dict) and "id" in entry


def _entry(server: Server, cache: str) -> dict[str, Any]:
    """A server as it stands in a file. The id is always there: by it the entry is the cluster's."""
    return {
        "url": _without_cache(server.url, cache),
        "id": server.id,
        "region": server.region,
        "zone": server.zone,
        "priority": server.priority,
        "role": server.role,
        "weight": server.weight,
    }


def _without_cache(url: str, cache: str) -> str:
    """The address without the name of the cache, which is each client's own."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if cache == DEFAULT_CACHE or ("cache", cache) not in query:
        return url
    rest = [pair for pair in query if pair != ("cache", cache)]
    return urlunsplit(parts._replace(query=urlencode(rest, quote_via=quote)))


def _written(document: Any) -> bytes:
    """JSON that a person can read and change: a line for each server."""
    whole = document if isinstance(document, dict) else None
    entries: Iterable[Any] = document if whole is None else whole[LIST]
    pad = "  " if whole is None else "    "
    lines = ",\n".join(pad + _dumped(each) for each in entries)
    text = f"[\n{lines}\n{pad[2:]}]"
    if whole is not None:
        text = (
            "{\n"
            + ",\n".join(
                f"  {_dumped(name)}: " + (text if name == LIST else _dumped(value))
                for name, value in whole.items()
            )
            + "\n}"
        )
    return f"{text}\n".encode()


def _dumped(value: Any) -> str:
    """JSON as a person would write it; escaped where it could not be written otherwise."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError as exc:  # what can just be read cannot always be written
        raise DamagedError("it is nested too deeply") from exc
    return text if text.isprintable() else json.dumps(value)
