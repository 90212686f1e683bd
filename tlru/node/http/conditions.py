"""What HTTP demands of an item: ETags, `If-Match`, `If-None-Match`, positions, `Idempotency-Key`.

This module decides what such a header means as a field of an operation. An ETag names the life of
the cache and the version of the item, so one of another life never matches; that is known without
asking the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import xxhash

from tlru import errors
from tlru.node.http.problems import NotApplied, OtherLife
from tlru.node.http.request import Request
from tlru.wire.limits import NUMBER_MAX, SESSION_CHARS_MAX

# Caches send the tags that they hold, which are few; more is nobody's honest need.
TAGS_MAX = 64

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')
# Of a position, one less than the largest integer of JSON has: so many entries no log ever has.
POS_DIGITS_MAX = 15
_POSITION = re.compile(rf"([0-9A-Za-z-]{{1,64}})-([0-9]{{1,{POS_DIGITS_MAX}}})", re.ASCII)


def etag(epoch: str, version: int) -> str:
    """The ETag of a version."""
    return f'"{epoch}-{version}"'


@dataclass(frozen=True, slots=True)
class Tags:
    """What `If-Match` or `If-None-Match` lists."""

    anything: bool  # a star: whatever there is
    strong: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()

    def match(self, tag: str | None, *, weakly: bool = False) -> bool:
        """Whether a representation with this ETag, or none, is meant."""
        if tag is None:
            return False
        opaque = tag[1:-1]
        return self.anything or opaque in self.strong or (weakly and opaque in self.weak)


def tags(request: Request, header: str) -> Tags | None:
    """The tags of a header, or None where the request has none."""
    text = request.header_list(header)
    if text is None:
        return None
    if text.strip() == "*":
        return Tags(True)
    strong: list[str] = []
    weak: list[str] = []
    at = 0
    while found := _TAG.match(text, at):
        (weak if found[1] else strong).append(found[2])
        at = found.end()
        if len(strong) + len(weak) > TAGS_MAX:
            raise errors.BadRequest(f"{header} lists more than {TAGS_MAX} tags")
    if at != len(text) or at == 0:
        raise errors.BadRequest(f'{header} must be * or ETags such as "1-0a1b2c3d-42"')
    return Tags(False, tuple(strong), tuple(weak))


def for_write(request: Request, *, may_be_absent: bool) -> dict[str, Any]:
    """The `if` of a write. NotApplied where no version of this life could satisfy it."""
    wanted, unwanted = tags(request, "If-Match"), tags(request, "If-None-Match")
    if wanted is not None and unwanted is not None:
        raise errors.BadRequest("If-Match and If-None-Match demand different things; send one")
    if unwanted is not None:
        if not unwanted.anything or not may_be_absent:
            raise errors.BadRequest("If-None-Match may only be * here, and only with PUT")
        return {"if": "absent"}
    if wanted is None:
        return {}
    if wanted.anything:
        return {"if": "present"}
    return {"if": _version(wanted, str(request.service.log.epoch))}


def _version(wanted: Tags, epoch: str) -> int:
    """The version that one of the tags names."""
    ours, others = set(), False
    for tag in wanted.strong:
        position = _POSITION.fullmatch(tag)
        if position is None:
            continue
        if position[1] == epoch and int(position[2]) <= NUMBER_MAX:
            ours.add(int(position[2]))
        else:
            others = True
    if len(ours) > 1:
        raise errors.BadRequest("If-Match names several versions; a write can demand one")
    if ours:
        return ours.pop()
    if others:
        raise OtherLife(f"the ETag is of another life of the cache, this is {epoch}: read anew")
    raise NotApplied("If-Match names nothing that could be here: only strong ETags of ours match")


def refuse(request: Request, *, why: str) -> None:
    """Refuse conditions where they could not be kept: ignoring one would be worse."""
    for header in ("If-Match", "If-None-Match"):
        if request.header_list(header) is not None:
            raise errors.BadRequest(f"{header} is not taken here: {why}")


def minimum(request: Request) -> dict[str, Any]:
    """The `min` of a read whose asker has been somewhere already."""
    text = request.header("Tlru-Position")
    if text is None:
        return {}
    found = position_of(text)
    if found is None:
        raise errors.BadRequest("Tlru-Position must be as it was sent: epoch-pos")
    return {"min": found}


def position_of(text: str) -> dict[str, Any] | None:
    """The position that stands in a text, or None where it is none."""
    found = _POSITION.fullmatch(text)
    return None if found is None else {"epoch": found[1], "pos": int(found[2])}


def once(request: Request, op: str, target: str) -> dict[str, Any]:
    """The `once` of a write that has an `Idempotency-Key`.

    The key stands for one operation on one target: the same key elsewhere is another write, rather
    than a false echo of the first.
    """
    name = request.header("Idempotency-Key")
    if name is None:
        return {}
    if not 0 < len(name) <= SESSION_CHARS_MAX or not name.isascii() or not name.isprintable():
        raise errors.BadRequest(
            f"Idempotency-Key must be 1 to {SESSION_CHARS_MAX} printable ASCII characters"
        )
    number = xxhash.xxh3_64_intdigest(f"{op}\0{target}".encode()) & NUMBER_MAX
    return {"once": {"session": name, "n": number, "at": request.service.log.now()}}
