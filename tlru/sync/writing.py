"""The blocking calls that change something. Each is the asyncio client's of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tlru.client.results import UNSET, Ack, Condition, Revision, TtlOrUnset, Written
from tlru.sync.face import Face

T = TypeVar("T")


class Writing(Face[T]):
    """How a cache is written."""

    def set(
        self,
        key: str,
        value: T,
        ttl: TtlOrUnset = UNSET,
        *,
        if_: Condition | None = None,
        rev: Revision | None = None,
        keep_ttl: bool = False,
        old: bool = False,
        mime: str | None = None,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> Written[T]:
        """Keep a value under a key.

        `ttl` is its life in seconds or as a timedelta; None is no end; not given, it is that of
        this part of the cache. `keep_ttl` leaves the life that is there. `if_` says what must be
        there: "absent", "present", or a version. With `rev`, the source's own revision, it is
        applied only over a lower one. `old` asks for what was there before.
        """
        return self._run(
            lambda: self._cache.set(
                key,
                value,
                ttl,
                if_=if_,
                rev=rev,
                keep_ttl=keep_ttl,
                old=old,
                mime=mime,
                ack=ack,
                timeout=timeout,
                exactly_once=exactly_once,
            )
        )

    def add(
        self,
        key: str,
        value: T,
        ttl: TtlOrUnset = UNSET,
        *,
        rev: Revision | None = None,
        mime: str | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> Written[T]:
        """Keep a value under a key that has none. Where it has one, `current` is what it is."""
        return self._run(
            lambda: self._cache.add(
                key,
                value,
                ttl,
                rev=rev,
                mime=mime,
                timeout=timeout,
                exactly_once=exactly_once,
            )
        )

    def replace(
        self,
        key: str,
        value: T,
        ttl: TtlOrUnset = UNSET,
        *,
        rev: Revision | None = None,
        keep_ttl: bool = False,
        old: bool = False,
        mime: str | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> Written[T]:
        """Keep a value under a key that has one already."""
        return self._run(
            lambda: self._cache.replace(
                key,
                value,
                ttl,
                rev=rev,
                keep_ttl=keep_ttl,
                old=old,
                mime=mime,
                timeout=timeout,
                exactly_once=exactly_once,
            )
        )

    def set_many(
        self,
        values: Mapping[str, T],
        ttl: TtlOrUnset = UNSET,
        *,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> Written[T]:
        """Keep many values, all of them or none, with one version.

        Because of that it is never split: more than the node takes at once is `TooLarge`.
        """
        return self._run(
            lambda: self._cache.set_many(
                values, ttl, ack=ack, timeout=timeout, exactly_once=exactly_once
            )
        )

    def delete(
        self,
        *keys: str,
        if_: Condition | None = None,
        rev: Revision | None = None,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> int:
        """Remove what is under these keys; gives how many there were.

        `if_` and `rev` go with a single key, as for `set`. Very many keys are removed in several
        parts.
        """
        return self._run(
            lambda: self._cache.delete(
                *keys, if_=if_, rev=rev, ack=ack, timeout=timeout, exactly_once=exactly_once
            )
        )

    def incr(
        self,
        key: str,
        by: int = 1,
        ttl: TtlOrUnset = UNSET,
        *,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> int:
        """Add to the integer under a key, and give the sum. A key with nothing under it has 0.

        The `ttl` is for a new key; the life of one that is there stays.
        """
        return self._run(
            lambda: self._cache.incr(key, by, ttl, timeout=timeout, exactly_once=exactly_once)
        )

    def touch(
        self,
        key: str,
        ttl: TtlOrUnset = UNSET,
        *,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> bool:
        """Give what is under a key a new life, from now on; whether there was anything."""
        return self._run(
            lambda: self._cache.touch(key, ttl, ack=ack, timeout=timeout, exactly_once=exactly_once)
        )

    def clear(
        self,
        prefix: str = "",
        *,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> int:
        """Remove all keys that begin with a prefix, or all of this part; gives how many."""
        return self._run(
            lambda: self._cache.clear(prefix, ack=ack, timeout=timeout, exactly_once=exactly_once)
        )

    def publish(
        self,
        channel: str,
        message: Any,
        *,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> int | None:
        """Send a message to a channel, in order with all writes; gives its version.

        It is stored nowhere: who is not subscribed does not get it. The prefix of this part of the
        cache goes before the channel's name as it goes before keys.
        """
        return self._run(
            lambda: self._cache.publish(
                channel, message, ack=ack, timeout=timeout, exactly_once=exactly_once
            )
        )
