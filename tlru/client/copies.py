"""A copy of a part of the cache in the program's own memory: what is in it, and what may be read.

Pure: time is handed in, as the local clock has it. `near.py` fills it on demand and is told only
which keys have changed; `mirror.py` has it filled at once and is told the values.

Nothing is read that is known to be over: lives run out by the cluster's time, as far as it is known
here, which is never ahead of it. Nothing is kept that was read before a change that has come: a
fill names the position it was read at, and counts only if no change behind that has been seen, and
if none can have been missed since it was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from tlru.client.changes import REMOVALS, Place
from tlru.client.results import MISSING, Reply

T = TypeVar("T")

OVER: Final = -math.inf
KNOWN: Final = ("set", "touch", "clear", *REMOVALS)


class Slot:
    """What is kept of one key: a value, or that there is none (`MISSING`)."""

    __slots__ = ("as_of", "at", "expires", "packed", "rev", "until", "used", "value", "version")

    def __init__(self, packed: bytes | None, version: int, as_of: int, expires: float) -> None:
        self.value: Any = MISSING
        self.packed = packed  # the value, until it is first read
        self.version = version
        self.as_of = as_of  # it is what there was at this position
        self.expires = expires  # the local moment from which on it is over
        # The same for a quick look: it is not over before it has been read once.
        self.until = OVER if packed is not None else expires
        self.used = False
        self.at: int | None = None
        self.rev: int | str | None = None


class Fill:
    """A read of one key that is under way, and is to be kept."""

    __slots__ = ("changed", "generation", "since")

    def __init__(self, generation: int, since: int) -> None:
        self.generation = generation
        self.since = since  # the copy had come to here when it was asked for
        self.changed = 0  # the last change of the key that has been seen since


class Copies(Generic[T]):
    """The copy of one topic."""

    def __init__(self, load: Callable[[str, bytes], T], *, entries_max: int, whole: bool) -> None:
        if entries_max < 1:
            raise ValueError(f"a copy is of 1 entry or more, not {entries_max}")
        self.slots: dict[str, Slot] = {}  # by keys in full
        self.place: Place | None = None
        self.coherent_until = OVER  # the local moment up to which it can be relied on
        self.complete = False  # it has been filled
        self.too_large = False
        self.doubted: list[str] = []  # keys to which something of a later release has happened
        self._load = load
        self._entries_max = entries_max
        self._whole = whole
        self._generation = 0
        self._fills: dict[str, list[Fill]] = {}
        self._next: dict[str, Slot] = {}  # what a snapshot has told so far

    # Reading.

    def look(self, key: str, now: float) -> Slot | None:
        """What is kept under a key, if it is not over. An unreadable value is a `BadValue`."""
        slot = self.slots.get(key)
        if slot is None or now >= slot.expires:
            return None
        if slot.packed is not None:
            slot.value = self._load(key, slot.packed)
            slot.packed = None
            slot.until = slot.expires
        slot.used = True
        return slot

    def living(self, now: float) -> list[tuple[str, Slot]]:
        """The keys and what is kept under them, without those that are over."""
        return [(key, slot) for key, slot in tuple(self.slots.items()) if now < slot.expires]

    # Filling on demand.

    def begin_fill(self, key: str, now: float) -> Fill | None:
        """Before a key is read; None where what is read cannot be kept."""
        if self.place is None or now >= self.coherent_until:
            return None
        fill = Fill(self._generation, self.place.pos)
        self._fills.setdefault(key, []).append(fill)
        return fill

    def end_fill(self, key: str, fill: Fill, reply: Reply | None, born: float) -> bool:
        """After a key was read; `born` is the local moment of cluster time 0. Whether it is kept.

        Kept too is that there is nothing. What has been changed since its position is not.
        """
        fills = self._fills[key]
        fills.remove(fill)
        if not fills:
            del self._fills[key]
        if reply is None or fill.generation != self._generation:
            return False
        pos = reply["pos"]
        if fill.changed > pos or fill.since > pos:
            return False
        there = self.slots.get(key)
        if there is not None and there.as_of > pos:
            return False
        ttl = reply.get("ttl")
        expires = math.inf if ttl is None else born + reply["time"] / 1000 + ttl
        if reply.get("found"):
            slot = Slot(reply["value"], reply["version"], pos, expires)
            slot.at, slot.rev = reply.get("at"), reply.get("rev")
        else:
            slot = Slot(None, pos, pos, math.inf)
        self.slots.pop(key, None)
        if reply.get("found") or not self._whole:
            self.slots[key] = slot
            self._make_room()
        return True

    def _make_room(self) -> None:
        """The oldest goes, unless it was read since it was last looked at."""
        slots = self.slots
        while len(slots) > self._entries_max:
            key = next(iter(slots))
            slot = slots.pop(key)
            if slot.used:
                slot.used = False
                slots[key] = slot

    # What the feed says.

    def begin(self, place: Place, *, anew: bool) -> None:
        """The feed begins here; what was kept before is of no use where it begins anew."""
        self._generation += 1
        self._next = {}
        self.coherent_until = OVER
        self.place = None if self._whole else place
        if anew and not self._whole:
            self.slots.clear()

    def trust(self, until: float) -> None:
        """Whether it can be relied on, up to a local moment; `OVER` where it cannot."""
        if until == OVER:
            self.coherent_until = OVER
        elif self.place is not None:
            self.coherent_until = until

    def items(
        self, upto: Place, time: int, items: Sequence[Reply], born: float, *, last: bool
    ) -> None:
        """A part of a snapshot. What was kept before serves until it is whole."""
        for item in items:
            ttl = item.get("ttl")
            expires = math.inf if ttl is None else born + time / 1000 + ttl
            slot = Slot(item["value"], item["version"], upto.pos, expires)
            slot.at, slot.rev = item.get("at"), item.get("rev")
            self._next[item["key"]] = slot
        if self._whole and len(self._next) > self._entries_max:
            self.too_large = True
        if last:
            self.slots, self._next = self._next, {}
            self.place = upto
            self.complete = True

    def events(self, place: Place, events: Sequence[Reply], born: float) -> None:
        """What has happened up to a place, in order."""
        for event in events:
            key, kind, version = event["key"], event["type"], event["version"]
            if kind == "clear":
                self._clear(key, version)
                continue
            for fill in self._fills.get(key, ()):
                fill.changed = version
            slot = self.slots.get(key)
            if slot is not None and slot.as_of >= version:
                continue
            if kind == "set" and "value" in event:
                self._set(key, event, born)
            elif kind == "touch":
                if slot is not None:
                    self._touch(slot, event, born)
            elif slot is not None:
                del self.slots[key]
            if self._whole and kind not in KNOWN:
                self.doubted.append(key)
        self.place = place
        if self._whole and len(self.slots) > self._entries_max:
            self.too_large = True

    def _set(self, key: str, event: Reply, born: float) -> None:
        ttl, version = event.get("ttl"), event["version"]
        expires = math.inf if ttl is None else born + event["at"] / 1000 + ttl
        slot = self.slots[key] = Slot(event["value"], version, version, expires)
        slot.at, slot.rev = event["at"], event.get("rev")

    def _touch(self, slot: Slot, event: Reply, born: float) -> None:
        ttl = event.get("ttl")
        slot.expires = math.inf if ttl is None else born + event["at"] / 1000 + ttl
        slot.as_of = event["version"]
        if slot.packed is None:
            slot.until = slot.expires

    def _clear(self, prefix: str, version: int) -> None:
        for key, fills in self._fills.items():
            if key.startswith(prefix):
                for fill in fills:
                    fill.changed = version
        for key in [key for key in self.slots if key.startswith(prefix)]:
            if self.slots[key].as_of < version:
                del self.slots[key]

    def check(self) -> None:
        """What must hold between any two steps."""
        assert self._whole or len(self.slots) <= self._entries_max, "it stays within its bound"
        for slot in self.slots.values():
            assert slot.version <= slot.as_of, "it was read when it was there"
            assert slot.until in (OVER, slot.expires), "a quick look sees no more than a close one"
        assert all(self._fills.values()), "a key without fills is not in the table"
