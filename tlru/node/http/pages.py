"""`/dashboard/`: the page on which people see their cluster, and the files it is made of.

Like the client's modules (`scripts.py`) they are a table that is read when this module is. The page
works under the strictest policy that it can: nothing but the node's own files runs or colours it,
and nothing may frame it. It connects to any node, since it goes to another when this one dies.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from tlru.node.http.answers import Answer
from tlru.node.http.problems import NotFound
from tlru.node.http.request import Request
from tlru.node.http.scripts import JAVASCRIPT, answer, kind_of, table
from tlru.wire.strict_json import shown

INDEX: Final = "index.html"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": JAVASCRIPT,
    "svg": "image/svg+xml",
}
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self' ws: wss:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}


FILES: Final = table("dashboard", _TYPES)


async def moved(request: Request) -> Answer:
    """The page's files are found beside it, so its address ends in a slash."""
    request.only("cache")
    query = f"?{urlencode(request.query)}" if request.query else ""
    return Answer(308, headers={"Location": f"dashboard/{query}"})


async def page(request: Request) -> Answer:
    """The page itself, which looks by itself for the cache that is named."""
    request.only("cache")
    return _file(request, INDEX)


async def file(request: Request) -> Answer:
    """One of its files."""
    request.only()
    return _file(request, request.place or "")


def _file(request: Request, name: str) -> Answer:
    if (found := FILES.get(name)) is None:
        raise NotFound(f"the dashboard has no file {shown(name)}; it begins at /dashboard/")
    return answer(request, found, _TYPES[kind_of(name)], _HEADERS)
