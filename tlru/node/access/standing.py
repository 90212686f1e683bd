"""How somebody who was let in stands now: a token can run out, be revoked, or allow less.

Decides what then ends, and when: operations at once, feeds within a tick, and the connection after
`LAPSED_S`, in which a later `hello` can renew it. The same for sessions and for event streams.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tlru import errors
from tlru.access.grant import EVERYTHING, NOBODY, Grant
from tlru.access.rights import may_watch
from tlru.engine.patterns import Pattern
from tlru.wire.limits import Limits

if TYPE_CHECKING:
    from tlru.node.access.access import Access
    from tlru.node.feeds import Subscriber
    from tlru.node.service import CacheService

LAPSED_S: Final = 10.0

# Of one WebSocket message of a client who has shown no token yet: `hello`, and all that it may have
# subscribed to. What is larger takes long to read, and nobody knows whom for.
STRANGER_BYTES_MAX: Final = 1 << 20

# Whose token was good once. It is refused as nobody is, and stays a while to renew it.
LAPSED: Final = Grant("nobody", client_class="nobody", expires=0.0)


class Standing:
    """What one connection may do, and since when it may nothing more."""

    __slots__ = ("_judged", "_lapsed_at", "_why", "grant")

    def __init__(self, grant: Grant, access: Access | None = None) -> None:
        self.grant = grant
        self._judged = -1 if access is None else access.generation
        self._lapsed_at: float | None = None
        self._why: errors.TlruError = errors.Unauthenticated("the token has run out")

    def message_bytes(self, limits: Limits) -> int:
        """The largest WebSocket message that is taken of it now."""
        most = limits.message_bytes
        return min(most, STRANGER_BYTES_MAX) if self.grant is NOBODY else most

    def renew(self, grant: Grant, access: Access) -> None:
        """From now on another token counts; what it does not cover ends at the next look."""
        self.grant, self._lapsed_at = grant, None
        self._judged = -1

    def look(
        self, access: Access, service: CacheService, subscriber: Subscriber, now: float
    ) -> bool:
        """See that nothing goes on that is not allowed any more; True where the connection itself
        is to end."""
        if not access.enabled:
            self.grant, self._lapsed_at = EVERYTHING, None
            return False
        if self.grant is NOBODY:
            return False  # it has some time to say hello, which is counted elsewhere
        if self._lapsed_at is None and not self._changed(access):
            return False
        if self._lapsed_at is None:
            self._judge(access, now)
        if self._lapsed_at is None:
            service.feeds.end_beyond(subscriber, self._covers, _NARROWED)
            return False
        service.feeds.end_beyond(subscriber, _nothing, self._why)
        return now - self._lapsed_at >= LAPSED_S

    def _changed(self, access: Access) -> bool:
        expires = self.grant.expires
        over = expires is not None and time.time() >= expires
        return over or self._judged != access.generation

    def _judge(self, access: Access, now: float) -> None:
        self._judged = access.generation
        try:
            self.grant = access.still(self.grant)
        except errors.Unauthenticated as error:
            self.grant, self._why, self._lapsed_at = LAPSED, error, now

    def _covers(self, pattern: Pattern) -> bool:
        return may_watch(self.grant, pattern.text)


_NARROWED: Final = errors.Forbidden("the token allows less now, and this feed no more")


def _nothing(pattern: Pattern) -> bool:
    return False
