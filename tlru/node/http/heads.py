"""How much of a request's head is read before it is refused: of all its lines together.

aiohttp bounds each line and their number, which together is a megabyte that a stranger could make
every connection hold. This module stands before its parser and counts what comes while no head is
whole. What comes after an error is read by nobody: it would only be an error again.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import StreamReader
from aiohttp.http_exceptions import LineTooLong

# A token has 8 KiB at most, and a browser on this machine sends the cookies of all its ports.
HEAD_BYTES_MAX: Final = 32 << 10

_NOTHING: Final[tuple[tuple[()], bool, bytes]] = ((), False, b"")


class HeadBound:
    """A parser of requests that refuses a head in good time."""

    def __init__(self, parser: Any) -> None:
        """`parser` is aiohttp's, in C or in Python; it names no type that both have."""
        self._parser = parser
        self._body: StreamReader | None = None  # of the request that was read last
        self._head_bytes = 0  # read since then, of the next one
        self._broken = False

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        """Requests whose head is whole. HttpProcessingError where there can be none any more."""
        if self._broken:
            return _NOTHING
        self._broken = True  # unless it goes well
        # Asked before: what ends a body is none of the next head.
        in_head = self._body is None or self._body.is_eof()
        # Most heads come whole, so it is read first and counted where it was not: what the parser
        # may hold is the bound and what one read from the socket gave.
        found, upgraded, tail = self._parser.feed_data(data)
        if in_head or found:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and (not found or any(map(_is_large, found))):
                raise LineTooLong(b"", HEAD_BYTES_MAX)
        if found:
            self._body, self._head_bytes = found[-1][1], 0
        self._broken = False
        return found, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def _is_large(found: tuple[Any, StreamReader]) -> bool:
    headers = found[0].raw_headers
    return sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES_MAX
