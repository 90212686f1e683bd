"""Tickets: leave to watch one pattern, once and soon, for who cannot say who it is.

A browser's `EventSource` sends no headers of the page's choice, and a token has no place in a URL,
which is logged and kept in histories. So the page asks for a ticket first, as itself, and puts that
into the URL: by the time that anybody else reads it, it is used or over.

This module decides how long a ticket is good, for whom and for what. It is told the time. Whoever
shows a ticket has used it up, also where it is refused. Nobody's ticket makes room for another's: a
flood of requests for tickets costs those who come with it, never those who have theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

from tlru.access.grant import EVERYTHING, Grant
from tlru.engine.patterns import Pattern
from tlru.errors import Forbidden, Overloaded, Unauthenticated

LIFE_S = 30
TICKETS_MAX = 4_096  # that are neither used nor over; each is less than two kilobytes

_NAME_CHARS = 16  # what finds a ticket, and is no secret
_NAME_BYTES, _SECRET_BYTES = 12, 24
TICKET_CHARS_MAX = 64


class Leave(NamedTuple):
    """What a ticket allows."""

    cache: str
    pattern: Pattern
    page: str | None
    """Whose page asked for it; None for the node's own, and for who is no browser."""
    grant: Grant = EVERYTHING
    """What its owner might do when he asked."""


class _Kept(NamedTuple):
    digest: bytes
    until: float
    leave: Leave


class Tickets:
    """The tickets that a node has given."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}  # in the order in which they end

    def __len__(self) -> int:
        return len(self._kept)

    def give(self, leave: Leave, now: float) -> str:
        """A new ticket. Overloaded where too many are out."""
        self._forget_old(now)
        if len(self._kept) >= TICKETS_MAX:
            raise Overloaded(f"{TICKETS_MAX} tickets are not used yet; come later", after=1)
        name, secret = secrets.token_urlsafe(_NAME_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        self._kept[name] = _Kept(_digest(secret), now + LIFE_S, leave)
        return name + secret

    def use(self, ticket: str, page: str | None, cache: str, now: float) -> Leave:
        """What a ticket allows; it is used up. Unauthenticated where it is none (any more),
        Forbidden where it was given for another page or another cache."""
        self._forget_old(now)
        kept = None
        if len(ticket) <= TICKET_CHARS_MAX:
            kept = self._kept.get(ticket[:_NAME_CHARS])
        # Of a name that is known, the secret is compared in the same time wherever it is wrong.
        if kept is None or not hmac.compare_digest(kept.digest, _digest(ticket[_NAME_CHARS:])):
            raise Unauthenticated(
                f"the ticket is not known here, was used, or is older than {LIFE_S} s; "
                "ask this node for another: POST /v1/ticket"
            )
        del self._kept[ticket[:_NAME_CHARS]]
        if kept.leave.page != page:
            raise Forbidden("the ticket was given to a page of another origin")
        if kept.leave.cache != cache:
            raise Forbidden("the ticket was given for another cache")
        return kept.leave

    def _forget_old(self, now: float) -> None:
        while self._kept and (first := next(iter(self._kept))):
            if self._kept[first].until > now:
                return
            del self._kept[first]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
