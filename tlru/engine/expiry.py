"""What is over first: the expiry index of a store.

Stays away from values, recency and clocks: it knows of each entry when it is over, and gives the
entries out in the order of (expires, tie). The tie belongs to the key, and no two keys share one,
so this order is total, and depends on what is stored and never on the path that led there.

Two parts. *Near* is a `SortedList` of the entries that are over first, a few hundred of them. *Far*
holds all others in buckets: each bucket has a lower bound, the buckets are ordered by it, and
inside one nothing is sorted. When near is used up, the first bucket is sorted into it. So most
entries of a cache, which are evicted, overwritten or deleted long before they are over, are never
sorted: they cost a binary search among the buckets when they come, and one dictionary access when
they go. (With all entries in one `SortedList`, which was tried first, a write that evicts took two
and a half times as long at 100,000 items: two searches through memory that no cache line holds.)

Repositioning is lazy. An entry is held at a position that is *at or before* its true one. An entry
whose life is prolonged stays where it is, and moves when it comes to the front. A life that is cut
short moves at once if it must, and a removal takes the entry out at once: nothing has to be swept.

Why the order is exact all the same: the first position in near bounds all others from below, ties
included, because a life that is prolonged never makes (expires, tie) smaller. So once the entry at
the front is held at its true position, no other is over before it.

What it costs: n operations in any order take O(n log n) together. An insertion is a binary search;
a bucket that has grown too large is sorted and divided, O(log BUCKET_MAX) for each of the
insertions that made it grow; each entry is sorted into near at most once, and moved on at most once
for each time that it was prolonged, which cost nothing then.

Invariant: every entry with an expiry is held exactly once, at or before its true position; all in
near are before the bound of every bucket; no bucket is empty or has more than BUCKET_MAX entries;
`soonest` is at or before every position.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar

from sortedcontainers import SortedList

K = TypeVar("K")

# A moment or a tie: whatever orders among its own kind (float, int, datetime, str).
Ordered: TypeAlias = Any
# What something weighs: any number (int, float, Fraction).
Size: TypeAlias = Any
# (time, tie). Declared without a length, or a compiler would copy its parts about: what an entry
# and the index hold has to be the same tuple.
Position: TypeAlias = tuple[Ordered, ...]
# (time, tie, key): a position in near. Ties differ, so the keys are never compared.
Place: TypeAlias = tuple[Any, ...]

# More than this and a bucket is divided, or near gives its later half away. Larger buckets make
# the pauses longer in which one is sorted, about a tenth of a millisecond; smaller ones make more.
# A larger near makes small caches slower: at 1,000 entries, all of them in near, by two thirds.
BUCKET_MAX: Final = 512
NEAR_MAX: Final = 512


class Bucket(dict[K, Position]):
    """Entries held at or after `low`, in no order: the position of each key."""

    __slots__ = ("low",)

    def __init__(self, low: Position, held: Iterable[tuple[K, Position]]) -> None:
        super().__init__(held)
        self.low = low


class Entry:
    """What is kept under one key. Subclasses add their fields, with `__slots__`.

    From `Store.put` until it is removed an entry is the store's: change its expiry and its size
    through the store only.
    """

    __slots__ = ("expires", "indexed", "size")

    def __init__(self, expires: Ordered | None = None, size: Size = 1) -> None:
        self.expires = expires  # None: never over
        self.size: Size = size
        self.indexed: Place | Bucket[Any] | None = None  # where the index holds it


E = TypeVar("E", bound=Entry)


class ExpiryIndex(Generic[K]):
    """The entries of a mapping in the order in which they will be over."""

    __slots__ = ("_buckets", "_entries", "_lows", "_near", "_tie", "_ties_given", "soonest")

    def __init__(self, entries: Mapping[K, Entry], tie: Callable[[K], Ordered] | None) -> None:
        self._entries = entries
        self._tie = tie
        self._ties_given = 0
        self._near: SortedList[Place] = SortedList()
        self._buckets: list[Bucket[K]] = []
        self._lows: list[Position] = []  # their bounds, for `bisect`
        # Nothing is over before this moment; None where nothing ever is. It may lie before the
        # first expiry: then one look at the front finds nothing, and puts it right.
        self.soonest: Ordered | None = None

    def add(self, key: K, entry: Entry) -> None:
        """Take in an entry that is not held yet. O(log n), amortised."""
        if entry.expires is None:
            return
        if self._tie is None:
            tie: Ordered = self._ties_given + 1
            self._ties_given += 1
        else:
            tie = self._tie(key)
        self._hold(key, entry, (entry.expires, tie))

    def replace(self, key: K, old: Entry, new: Entry) -> None:
        """Let `new` take over from `old` under its key. O(1) if over later, or O(log n)."""
        new.indexed = old.indexed
        try:
            self.follow(key, new, old.expires)
        except BaseException:
            new.indexed = None
            raise
        old.indexed = None

    def follow(self, key: K, entry: Entry, before: Ordered | None) -> None:
        """Take in that an entry's expiry is no longer `before`. O(1) if later, or O(log n).

        A new expiry that does not compare raises, and changes nothing here.
        """
        expires = entry.expires
        if expires is None:
            self.remove(key, entry)
        elif before is None:
            self.add(key, entry)
        elif expires < before:
            place = entry.indexed
            assert place is not None
            # Out first, then in again, for a key must never be held twice. Nothing raises between:
            # the comparisons have shown that the new expiry is of the right kind.
            if isinstance(place, tuple):
                if expires < place[0]:
                    self._near.remove(place)
                    self._hold(key, entry, (expires, place[1]))
                return
            time, tie = place[key]
            if expires < time:
                del place[key]
                if not place:
                    self._discard(place)
                self._hold(key, entry, (expires, tie))

    def remove(self, key: K, entry: Entry) -> None:
        """Forget an entry. O(log n)."""
        place = entry.indexed
        if place is None:
            return
        entry.indexed = None
        if isinstance(place, tuple):
            self._near.remove(place)
            return
        del place[key]
        if not place:
            self._discard(place)

    def tie_of(self, key: K, entry: Entry) -> Ordered:
        """What orders an entry among those over at the same moment; 0 if it never is. O(1)."""
        place = entry.indexed
        if place is None:
            return 0
        return place[1] if isinstance(place, tuple) else place[key][1]

    def clear(self) -> None:
        """Forget all entries. O(n)."""
        for entry in self._entries.values():
            entry.indexed = None
        self._near.clear()
        self._buckets.clear()
        self._lows.clear()
        self.soonest = None

    def first(self) -> Place | None:
        """The true position of the entry that is over first. O(log n), amortised."""
        near = self._near
        while near or self._buckets:
            if not near:
                self._advance()
            elif self._settle(place := near[0]):
                self.soonest = place[0]
                return place
        self.soonest = None
        return None

    def pop_due(self, now: Ordered) -> K | None:
        """Forget the entry that is over first, if it is over at `now`. O(log n), amortised.

        An entry whose expiry equals `now` is over.
        """
        near = self._near
        while near or self._buckets:
            lowest = near[0] if near else self._lows[0]
            if now < lowest[0]:
                self.soonest = lowest[0]
                return None
            if not near:
                self._advance()
            elif self._settle(place := near[0]):
                near.pop(0)
                key: K = place[2]
                self._entries[key].indexed = None
                return key
        self.soonest = None
        return None

    def _hold(self, key: K, entry: Entry, position: Position) -> None:
        """Hold an entry that is held nowhere. A time that does not compare changes nothing."""
        at = bisect_right(self._lows, position)
        if at:
            bucket = self._buckets[at - 1]
            bucket[key] = position
            entry.indexed = bucket
            if len(bucket) > BUCKET_MAX:
                self._divide(at - 1)
        else:
            place: Place = (*position, key)
            self._near.add(place)
            entry.indexed = place
            if len(self._near) > NEAR_MAX:
                self._spill()
        if self.soonest is None or position[0] < self.soonest:
            self.soonest = position[0]

    def _discard(self, bucket: Bucket[K]) -> None:
        at = bisect_left(self._lows, bucket.low)
        del self._buckets[at], self._lows[at]

    def _settle(self, place: Place) -> bool:
        """True if the front place is where its entry belongs; if not, the entry is moved there."""
        time, tie, key = place
        entry = self._entries[key]
        if not time < entry.expires:
            return True
        self._near.pop(0)
        self._hold(key, entry, (entry.expires, tie))
        return False

    def _advance(self) -> None:
        """Sort the first bucket into near, which is empty; what was prolonged may go to others."""
        bucket = self._buckets.pop(0)
        del self._lows[0]
        places: list[Place] = []
        for key, (_, tie) in bucket.items():
            entry = self._entries[key]
            if self._lows and (entry.expires, tie) >= self._lows[0]:
                self._hold(key, entry, (entry.expires, tie))
            else:
                place: Place = (entry.expires, tie, key)
                entry.indexed = place
                places.append(place)
        self._near.update(places)

    def _spill(self) -> None:
        """Make the later half of near the first bucket."""
        near = self._near
        half = len(near) // 2
        self._insert(0, [(key, (time, tie)) for time, tie, key in near[half:]])
        del near[half:]

    def _divide(self, at: int) -> None:
        """Give the later part of a bucket that has grown too large to a new one after it."""
        bucket = self._buckets[at]
        held = sorted(bucket.items(), key=itemgetter(1))
        # Where all lives are alike new entries come in at the very end only, and half of a bucket
        # left behind would stay half empty.
        last = at + 1 == len(self._buckets)
        later = held[BUCKET_MAX * 7 // 8 if last else len(held) // 2 :]
        for key, _ in later:
            del bucket[key]
        self._insert(at + 1, later)

    def _insert(self, at: int, held: list[tuple[K, Position]]) -> None:
        """Make a bucket of keys in the order of their positions."""
        bucket = Bucket(held[0][1], held)
        for key, _ in held:
            self._entries[key].indexed = bucket
        self._buckets.insert(at, bucket)
        self._lows.insert(at, bucket.low)

    def check(self) -> None:
        """Walk all of it and assert the invariant. O(n log n)."""
        near, lows = list(self._near), self._lows
        assert near == sorted(near), "near is out of order"
        assert len(near) <= NEAR_MAX, "near is too large"
        assert lows == [bucket.low for bucket in self._buckets]
        assert lows == sorted(set(lows)), "the buckets are out of order"
        assert all(0 < len(bucket) <= BUCKET_MAX for bucket in self._buckets), "a bucket's size"
        assert not (near and lows) or near[-1][:2] < lows[0], "near reaches into a bucket"
        held: list[tuple[K, Position, Any]] = [(place[2], place[:2], place) for place in near]
        for at, bucket in enumerate(self._buckets):
            for key, position in bucket.items():
                assert bisect_right(lows, position) == at + 1, f"{key!r} is in the wrong bucket"
                held.append((key, position, bucket))
        for key, position, place in held:
            entry = self._entries[key]
            assert entry.indexed is place, f"{key!r} is held somewhere else"
            assert position <= (entry.expires, position[1]), f"{key!r} would be found too late"
        expiring = [key for key, entry in self._entries.items() if entry.expires is not None]
        assert len(held) == len(expiring), "a key is held twice, or not at all"
        bounds = [*near[:1], *lows[:1]]
        assert not bounds or (self.soonest is not None and self.soonest <= bounds[0][0])
