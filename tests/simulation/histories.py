"""What clients saw, judged: sessions, counters and locks. Single keys: `linearizability`;
feeds: `following`.

Pure: a recorded history goes in, the first `Violation` comes out, or None where all is well. A
checker takes each record at its word and never asks the cluster, so that it cannot share a mistake
with what it judges.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """What was promised and not kept: a sentence, and the records that show it."""

    sentence: str
    evidence: tuple[object, ...] = ()

    def __str__(self) -> str:
        return self.sentence


class Outcome(enum.Enum):
    """What the caller knows of its call."""

    DONE = "done"
    NOT_DONE = "not done"  # and never will be
    UNKNOWN = "unknown"  # it may take effect at any time after it was made, or never


# Sessions


class Did(enum.Enum):
    READ = "read"
    WROTE = "wrote"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answer told a session of a key; `version` is 0 where the key was absent.

    A write that was not applied and one without a version (`ack` none or leader) are left out.
    """

    did: Did
    key: str
    version: int
    pos: int
    epoch: str
    minimum: int = 0  # the `min` of the request


@dataclass(slots=True)
class _Known:
    """What a session knows of a key in one epoch."""

    newest: Observation | None = None  # the highest version read or written
    gone: Observation | None = None  # the highest position at which it was absent


def check_session(
    session: str, observations: Sequence[Observation], *, gone_stays_gone: bool = True
) -> Violation | None:
    """Whether a session reads forwards and sees its own writes.

    The observations come in the order of the answers, each asked for after the one before it was
    answered. A session that sends no `time` with its `min` may find an item whose life is over
    again at a node with a slower clock: for such a one `gone_stays_gone` is False.
    """
    known: dict[tuple[str, str], _Known] = {}
    for seen in observations:
        of_key = known.setdefault((seen.epoch, seen.key), _Known())
        fault = _fault_of_answer(seen)
        if fault is None and seen.did is Did.READ:
            fault = _fault_of_read(seen, of_key, gone_stays_gone)
        if fault is not None:
            before = (of_key.newest, of_key.gone)
            evidence = tuple(each for each in before if each is not None)
            return Violation(f"session {session}, key {seen.key!r}: {fault}", (*evidence, seen))
        _learn(seen, of_key)
    return None


def _fault_of_answer(seen: Observation) -> str | None:
    if seen.pos < seen.minimum:
        return f"min {seen.minimum} was answered from position {seen.pos}"
    if seen.version > seen.pos:
        return f"version {seen.version} was answered from position {seen.pos}, which is before it"
    return None


def _fault_of_read(seen: Observation, of_key: _Known, gone_stays_gone: bool) -> str | None:
    newest, gone = of_key.newest, of_key.gone
    if newest is not None and not seen.version and seen.pos < newest.version:
        return (
            f"version {newest.version}, which the session {newest.did.value}, is missing "
            f"at position {seen.pos}"
        )
    if newest is not None and 0 < seen.version < newest.version:
        return f"reads version {seen.version} after it {newest.did.value} {newest.version}"
    if gone is not None and gone_stays_gone and 0 < seen.version <= gone.pos:
        return f"reads version {seen.version}, though it was absent at position {gone.pos}"
    return None


def _learn(seen: Observation, of_key: _Known) -> None:
    if seen.version and (of_key.newest is None or seen.version > of_key.newest.version):
        of_key.newest = seen
    absent = seen.did is Did.READ and not seen.version
    if absent and (of_key.gone is None or seen.pos > of_key.gone.pos):
        of_key.gone = seen


# Exactly once


@dataclass(frozen=True, slots=True)
class Increment:
    """A named `incr`, however often it was tried; `result` is there where it is done."""

    by: int
    outcome: Outcome
    result: int | None = None


def check_counter(
    counter: str, increments: Sequence[Increment], final: int | None
) -> Violation | None:
    """Whether each increment of a counter counts once if acknowledged, else at most once.

    `final` is what the counter holds when nothing is under way any more, None where it is absent.
    The increments are positive. Where they are distinct powers of two, which of them count is
    known too, and none can hide behind another.
    """
    assert all(increment.by > 0 for increment in increments)
    value = final or 0
    certain = [each for each in increments if each.outcome is Outcome.DONE]
    possible = [each.by for each in increments if each.outcome is Outcome.UNKNOWN]
    faults = (
        _fault_of_sum(value, [each.by for each in certain], possible),
        _fault_of_powers(value, increments),
        _fault_of_results(value, certain),
    )
    for fault in faults:
        if fault is not None:
            return Violation(f"counter {counter!r}: {fault}", tuple(increments))
    return None


def _fault_of_sum(value: int, certain: list[int], possible: list[int]) -> str | None:
    low, high = sum(certain), sum(certain) + sum(possible)
    if low <= value <= high:
        return None
    return (
        f"holds {value}, but {len(certain)} acknowledged increments make {low}, "
        f"and {len(possible)} of unknown outcome at most {high}"
    )


def _fault_of_powers(value: int, increments: Sequence[Increment]) -> str | None:
    sizes = Counter(each.by for each in increments)
    if any(by.bit_count() != 1 or times > 1 for by, times in sizes.items()):
        return None
    for each in increments:
        if each.outcome is Outcome.DONE and not value & each.by:
            return f"holds {value}, without the acknowledged {each.by}"
        if each.outcome is Outcome.NOT_DONE and value & each.by:
            return f"holds {value}, with {each.by}, which was not done"
    return None


def _fault_of_results(value: int, certain: Sequence[Increment]) -> str | None:
    told: set[int] = set()
    for each in certain:
        assert each.result is not None, "what is done has a result"
        if each.result in told:
            return f"two increments made it {each.result}"
        if not each.by <= each.result <= value:
            return f"holds {value}, but an increment by {each.by} made it {each.result}"
        told.add(each.result)
    return None


# Locks


@dataclass(frozen=True, slots=True)
class Grant:
    """One holder's time with a lock, all of it in the time of the log (`at` of the entries).

    `expires` is the last that was granted or renewed; `released` is None where nobody let go.
    """

    lock: str
    holder: str
    fence: int
    granted: int
    expires: int
    released: int | None = None

    @property
    def until(self) -> int:
        return self.expires if self.released is None else min(self.released, self.expires)


@dataclass(frozen=True, slots=True)
class Denial:
    """At `at` somebody was told that the lock is another's; with a fence, that it is not his."""

    lock: str
    at: int
    fence: int | None = None


def check_locks(grants: Sequence[Grant], denials: Sequence[Denial] = ()) -> Violation | None:
    """Whether each lock has one holder at a time, and a higher fence for each; and whether nobody
    was denied what was free, or his own."""
    last: dict[str, Grant] = {}
    for grant in sorted(grants, key=lambda grant: (grant.granted, grant.fence)):
        before = last.get(grant.lock)
        if before is not None and (fault := _fault_of_grant(before, grant)) is not None:
            return Violation(f"lock {grant.lock!r}: {fault}", (before, grant))
        last[grant.lock] = grant
    for denial in denials:
        theirs = [grant for grant in grants if grant.lock == denial.lock]
        if (wrong := _fault_of_denial(denial, theirs)) is not None:
            return Violation(f"lock {denial.lock!r}: {wrong}", (denial,))
    return None


def _fault_of_denial(denial: Denial, grants: Sequence[Grant]) -> str | None:
    at, fence = denial.at, denial.fence
    if fence is None:
        # Whoever let go in the same millisecond may have done so afterwards.
        if any(grant.granted <= at <= grant.until for grant in grants):
            return None
        return f"it was refused at {at}, though nobody had it"
    for grant in grants:
        if grant.fence == fence and grant.granted <= at < grant.until:
            return f"{grant.holder} had it until {grant.until} by {fence}, and is denied it at {at}"
    return None


def _fault_of_grant(before: Grant, grant: Grant) -> str | None:
    if grant.fence <= before.fence:
        return (
            f"{grant.holder} got fence {grant.fence} at {grant.granted}, "
            f"after {before.holder} had {before.fence}"
        )
    if grant.granted < before.until:
        return (
            f"{grant.holder} got it at {grant.granted}, though {before.holder} "
            f"had it until {before.until}"
        )
    return None


# Effects


@dataclass(frozen=True, slots=True)
class Event:
    """A change that the log made; several may have one version."""

    version: int
    key: str
    type: str = "set"

    def __str__(self) -> str:
        return f"{self.type} {self.key!r} at {self.version}"
