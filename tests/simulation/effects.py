"""What the log did, judged: names, turns at locks, revisions, fills and evictions.

What clients saw is judged in `histories`. Pure, as there: each checker takes records in the order
of the log, takes them at their word, and keeps its own small model of what they may be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.simulation.histories import Event, Violation

# Named operations


@dataclass(frozen=True, slots=True)
class Told:
    """What a try of a named operation was answered at `index`; refusals are left out."""

    name: tuple[str, int]
    index: int
    result: Any


def check_names(answers: Sequence[Told]) -> Violation | None:
    """Whether each try of a named operation was given the result of the first."""
    first: dict[tuple[str, int], Told] = {}
    for told in answers:
        known = first.setdefault(told.name, told)
        if known.result != told.result:
            session, n = told.name
            sentence = (
                f"{session}#{n} was answered {known.result} at {known.index}, "
                f"and {told.result} at {told.index}"
            )
            return Violation(sentence, (known, told))
    return None


# Turns


@dataclass(frozen=True, slots=True)
class Turn:
    """An unnamed request for a lock, by its place in the log; when it had it, and gave it up."""

    asked: int
    had: int | None = None
    gave_up: int | None = None  # told that it waits no longer


def check_turns(lock: str, turns: Sequence[Turn]) -> Violation | None:
    """Whether those who had a lock had it in the order in which they came, and none who left."""
    for turn in turns:
        if turn.had is not None and turn.gave_up is not None:
            sentence = f"who asked at {turn.asked} gave up at {turn.gave_up}, and had it"
            return Violation(f"lock {lock!r}: {sentence} at {turn.had}", (turn,))
    served = sorted((t.asked, t.had) for t in turns if t.had is not None)
    for (before, late), (asked, early) in pairwise(served):
        if early < late:
            sentence = f"who asked at {asked} had it at {early}, and who did at {before}"
            return Violation(f"lock {lock!r}: {sentence} only at {late}")
    return None


# Revisions


@dataclass(frozen=True, slots=True)
class Revised:
    """A set with a revision, or a delete with or without one."""

    at: int
    rev: int | None
    applied: bool
    deletes: bool = False

    def is_newer_than(self, known: int | None) -> bool:
        """Whether it may replace what has that revision."""
        return self.rev is None or known is None or self.rev > known

    def __str__(self) -> str:
        kind = "delete" if self.deletes else "set"
        return f"{kind} with revision {self.rev} at {self.at}"


def check_revisions(key: str, writes: Sequence[Revised], memory_ms: int) -> Violation | None:
    """Whether exactly those writes were let in that bring a revision newer than all before.

    What a delete left is remembered for `memory_ms`.
    """
    there: int | None = None  # the item's revision
    left, left_at = None, 0  # the highest that a delete left, and when
    for write in writes:
        kept = left if write.at - left_at <= memory_ms else None
        newest = max((rev for rev in (there, kept) if rev is not None), default=None)
        if write.applied and not write.is_newer_than(newest):
            return Violation(f"{key!r}: {write} was let in after {newest}", (write,))
        if not write.applied and write.is_newer_than(newest):
            return Violation(f"{key!r}: {write} was refused after {newest}", (write,))
        if not write.applied:
            continue
        there = write.rev
        if write.deletes:
            there = None
            last = max((rev for rev in (newest, write.rev) if rev is not None), default=None)
            left, left_at = (left, left_at) if last is None else (last, write.at)
    return None


# Fills


@dataclass(frozen=True, slots=True)
class Changed:
    """A set, delete or clear that was applied; with `since`, on condition of no change since."""

    version: int
    since: int | None = None


def check_fills(key: str, changes: Sequence[Changed]) -> Violation | None:
    """Whether no fill was let in over a change that came after the position that it names."""
    last: Changed | None = None
    for change in changes:
        if change.since is not None and last is not None and last.version > change.since:
            sentence = (
                f"{key!r}: filled at {change.version}, if unchanged since {change.since}, "
                f"though it changed at {last.version}"
            )
            return Violation(sentence, (last, change))
        last = change
    return None


# Evictions


def check_evictions(
    orders: Mapping[int, Sequence[tuple[str, int]]], effects: Sequence[Event]
) -> Violation | None:
    """Whether each order to evict took the items that had not changed since, and no others.

    `orders` has the victims of each such entry by its index, each with the index of the last change
    that the leader saw; `effects` are all events, in the order of the log.
    """
    made: defaultdict[int, list[Event]] = defaultdict(list)
    for event in effects:
        made[event.version].append(event)
    changed: dict[str, int] = {}  # what is there, and when it last changed
    for index in sorted({*made, *orders}):
        due = {key for key, last in orders.get(index, ()) if changed.get(key) == last}
        gone = {event.key for event in made[index] if event.type == "evict"}
        if wrong := sorted(due ^ gone):
            key, verb = wrong[0], "was" if wrong[0] in gone else "was not"
            named = dict(orders.get(index, ())).get(key)
            last = f"it last changed at {changed.get(key)}, and the order names {named}"
            return Violation(f"{key!r} {verb} evicted at {index}: {last}", tuple(made[index]))
        for event in made[index]:
            _follow(event, changed)
    return None


def _follow(event: Event, changed: dict[str, int]) -> None:
    """What an event makes of what is there. Reserved keys are not cleared; nobody evicts them."""
    match event.type:
        case "set" | "touch":
            changed[event.key] = event.version
        case "delete" | "expire" | "evict":
            changed.pop(event.key, None)
        case "clear":
            for key in [key for key in changed if key.startswith(event.key)]:
                del changed[key]
