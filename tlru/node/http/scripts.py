"""`/tlru.js` and the modules beside it: the JavaScript client, as this release has it.

What is served is a table of files that are read when this module is; a request names one of them or
gets nothing, so no path that a stranger writes reaches a disk.

`/tlru.js` hands on what `/js/tlru.js` exports, by a relative address, so that it also works behind
a proxy that puts a path before it. A browser asks whether what it holds is still current: else
modules of two releases could come together in one page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import resources
from typing import Final, NamedTuple

import xxhash

from tlru.node.http import conditions
from tlru.node.http.answers import Answer
from tlru.node.http.problems import NotFound
from tlru.node.http.request import Request
from tlru.wire.strict_json import shown

JAVASCRIPT: Final = "text/javascript; charset=utf-8"


class Content(NamedTuple):
    """A file, as it is served."""

    body: bytes
    etag: str


def content(body: bytes) -> Content:
    """A file, and what tells it from another."""
    return Content(body, f'"{xxhash.xxh3_128_hexdigest(body)}"')


def kind_of(name: str) -> str:
    """What comes after the last dot of a file's name."""
    return name.rpartition(".")[2]


def table(folder: str, kinds: Collection[str]) -> dict[str, Content]:
    """The files of these kinds in a folder of the package, by their names."""
    files = sorted((resources.files("tlru") / folder).iterdir(), key=lambda each: each.name)
    return {each.name: content(each.read_bytes()) for each in files if kind_of(each.name) in kinds}


SCRIPTS: Final = table("js", ("js",))
ENTRY: Final = content(b'export * from "./js/tlru.js";\n')


async def entry(request: Request) -> Answer:
    """What a page imports."""
    request.only()
    return answer(request, ENTRY, JAVASCRIPT)


async def module(request: Request) -> Answer:
    """One module of the client."""
    request.only()
    name = request.place or ""
    if (found := SCRIPTS.get(name)) is None:
        raise NotFound(f"the client has no module {shown(name)}; import /tlru.js")
    return answer(request, found, JAVASCRIPT)


def answer(
    request: Request, found: Content, kind: str, more: Mapping[str, str] | None = None
) -> Answer:
    """The content, or that the asker has it already."""
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", **(more or {})}
    held = conditions.tags(request, "If-None-Match")
    if held is not None and held.match(found.etag, weakly=True):
        return Answer(304, headers=headers)
    return Answer(200, found.body, kind, headers)
