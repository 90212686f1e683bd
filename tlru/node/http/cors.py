"""Cross-origin answers: which web pages may read what is answered.

Pure. A page of an origin that is not on the list gets no word of CORS, so its browser keeps the
answer from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tlru.node.origins import Origins
from tlru.wire import traceparent

PREFLIGHT_S = 600  # how long a browser may remember what it was allowed

EXPOSED = ("ETag", "Retry-After", "Tlru-Position", "Tlru-Stale")
TAKEN = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Tlru-Cache",
    "Tlru-Position",
    # What a page sends by itself that traces; the second is not looked at, but a browser asks for
    # leave to send both, and without it the page's request fails.
    traceparent.HEADER,
    "tracestate",
)


class Cors:
    """What a node tells browsers."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def headers(self, origin: str | None) -> dict[str, str]:
        """The headers of an answer to a page of `origin`."""
        vary = {"Vary": "Origin"} if self._origins.any_listed else {}
        if origin is None or (allowed := self._origins.allowed(origin)) is None:
            return vary
        return vary | {
            "Access-Control-Allow-Origin": allowed,
            "Access-Control-Expose-Headers": ", ".join(EXPOSED),
        }

    def preflight(self, headers: Mapping[str, str], allowed: str) -> dict[str, str]:
        """What a browser is told that asks before it sends a request."""
        origin = headers.get("Origin")
        if origin is None or "Access-Control-Request-Method" not in headers or not allowed:
            return {}
        if not self._origins.is_listed(origin):
            return {}
        return {
            "Access-Control-Allow-Methods": allowed,
            "Access-Control-Allow-Headers": ", ".join(TAKEN),
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
