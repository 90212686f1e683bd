"""The calls that change something.

Which of them bear a name by default (`exactly_once`): all whose repetition could do harm that
nobody notices. A plain `set` has none: it says what the value is, it is the mass of all writes,
and names are remembered by the whole cluster for a while, in a table that is bounded.
"""

# ruff: noqa: ASYNC109 - a call's time goes to the node with it, so a timeout around the call, which
# would only cancel it, cannot take its place.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tlru.client import replies
from tlru.client.face import Face
from tlru.client.results import (
    UNSET,
    Ack,
    Condition,
    Revision,
    TtlOrUnset,
    Written,
)
from tlru.client.serializers import dump
from tlru.client.together import ROW_BYTES_MAX
from tlru.errors import TooLarge

T = TypeVar("T")


class Writing(Face[T]):
    """How a cache is written."""

    async def set(
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
        name = self._prefix + key
        packed = dump(self._serializer, name, value)
        life = None if keep_ttl else self._life(ttl)
        conditional = if_ is not None or rev is not None
        dressed = conditional or keep_ttl or old or mime is not None or ack is not None
        if not dressed and self._leaves_plainly(packed, exactly_once):
            return self._written(name, await self._set(name, packed, life, timeout))
        fields = {
            "op": "set",
            "key": name,
            "value": packed,
            "ttl": life,
            "keep_ttl": keep_ttl or None,
            "if": if_,
            "rev": rev,
            "mime": mime,
            "old": old or None,
        }
        reply = await self._write(
            fields,
            ack=ack,
            timeout=timeout,
            exactly_once=exactly_once,
            named=conditional or old,
            bound=if_ not in (None, "absent", "present"),
        )
        return replies.written(self._serializer, name, reply)

    def _leaves_plainly(self, packed: bytes, exactly_once: bool | None) -> bool:
        """Whether a set of this value needs no request of its own."""
        settings = self._client.settings
        named = settings.exactly_once if exactly_once is None else exactly_once
        return not named and settings.trace_now is None and len(packed) <= ROW_BYTES_MAX

    async def add(
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
        return await self.set(
            key,
            value,
            ttl,
            if_="absent",
            rev=rev,
            mime=mime,
            timeout=timeout,
            exactly_once=exactly_once,
        )

    async def replace(
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
        return await self.set(
            key,
            value,
            ttl,
            if_="present",
            rev=rev,
            keep_ttl=keep_ttl,
            old=old,
            mime=mime,
            timeout=timeout,
            exactly_once=exactly_once,
        )

    async def set_many(
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
        life = self._life(ttl)
        more = {} if life is None else {"ttl": life}
        prefix, serializer = self._prefix, self._serializer
        rows = [
            {"key": (full := prefix + key), "value": dump(serializer, full, value), **more}
            for key, value in values.items()
        ]
        if not rows:
            return Written(applied=True)
        if len(rows) > (most := self._exchange().limits.keys):
            raise TooLarge(f"set_many of {len(rows)} keys; the node takes {most}. It was not sent")
        reply = await self._write(
            {"op": "set_many", "items": rows},
            ack=ack,
            timeout=timeout,
            exactly_once=exactly_once,
            named=False,
        )
        return replies.written(self._serializer, self._prefix, reply)

    async def delete(
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
        if len(keys) != 1 and (if_ is not None or rev is not None):
            raise ValueError("`if_` and `rev` go with a single key")

        async def ask(some: Sequence[str]) -> int:
            full = [self._prefix + key for key in some]
            single = len(full) == 1
            reply = await self._write(
                {"op": "delete", "if": if_, "rev": rev}
                | ({"key": full[0]} if single else {"keys": full}),
                ack=ack,
                timeout=timeout,
                exactly_once=exactly_once,
                named=True,
                bound=if_ not in (None, "absent", "present"),
            )
            return int(reply.get("deleted", 0))

        return sum(await self._in_parts(list(dict.fromkeys(keys)), ask)) if keys else 0

    async def incr(
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
        full = self._prefix + key
        fields = {"op": "incr", "key": full, "by": by, "ttl": self._life(ttl)}
        reply = await self._write(
            fields, ack=None, timeout=timeout, exactly_once=exactly_once, named=True
        )
        return replies.number(full, reply)

    async def touch(
        self,
        key: str,
        ttl: TtlOrUnset = UNSET,
        *,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> bool:
        """Give what is under a key a new life, from now on; whether there was anything."""
        fields = {"op": "touch", "key": self._prefix + key, "ttl": self._life(ttl)}
        reply = await self._write(
            fields, ack=ack, timeout=timeout, exactly_once=exactly_once, named=False
        )
        return bool(reply.get("found", True))

    async def clear(
        self,
        prefix: str = "",
        *,
        ack: Ack | None = None,
        timeout: float | None = None,
        exactly_once: bool | None = None,
    ) -> int:
        """Remove all keys that begin with a prefix, or all of this part; gives how many."""
        fields = {"op": "clear", "prefix": (self._prefix + prefix) or None}
        reply = await self._write(
            fields, ack=ack, timeout=timeout, exactly_once=exactly_once, named=True
        )
        return int(reply.get("deleted", 0))

    async def publish(
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
        full = self._prefix + channel
        fields = {"op": "publish", "channel": full, "value": dump(self._serializer, full, message)}
        reply = await self._write(
            fields, ack=ack, timeout=timeout, exactly_once=exactly_once, named=True
        )
        version: int | None = reply.get("version")
        return version
