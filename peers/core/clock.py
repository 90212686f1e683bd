"""Cluster time: milliseconds that run on evenly whatever the wall clock does.

Pure: every call is given `now`, a monotonic reading in milliseconds (boot time where the system has
it, so that a machine that was suspended does not serve what has expired meanwhile).

Invariant: readings never decrease, and a wall clock that jumps changes nothing.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class ClusterClock:
    """Cluster time as this node knows it, running on from the reading it was given."""

    __slots__ = ("_highest", "_offset")

    def __init__(self, cluster_ms: int, now: int) -> None:
        self._offset = cluster_ms - now
        self._highest = cluster_ms

    def read(self, now: int) -> int:
        """The cluster time at `now`; never less than an earlier answer."""
        reading = now + self._offset
        if reading > self._highest:
            self._highest = reading
        return self._highest


def resume_from(
    stored_cluster_ms: int, stored_wall_ms: int, wall_ms: int, note_age_ms: int = 0
) -> int:
    """Where time goes on after the whole cluster was down: stored time plus the wall time since.

    A wall clock that was set back meanwhile takes nothing away: then as much has passed as the note
    may have been old when all stopped. Else a new epoch, of which the last entries were lost, would
    begin before them, and give the fences again that they gave.
    """
    return stored_cluster_ms + max(note_age_ms, wall_ms - stored_wall_ms)


SAMPLES = 16  # of the leader's heartbeats are looked at together, a second or two of them
DRIFT_PPM = 500  # what a crystal is at most off; a sample gets worse by that as it ages


_new = tuple.__new__  # a third of the time that a named tuple takes


class Sample(NamedTuple):
    """One word of the leader's on the time: at `now` it was `cluster` or at most `error` later."""

    cluster: int
    now: int
    error: int


class FollowedClock:
    """Cluster time as a follower knows it, by the least delayed of the leader's last words."""

    __slots__ = ("_best", "_committed", "_highest", "_samples")

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._best: Sample | None = None
        self._highest = 0  # that was read
        self._committed = 0  # the time of the last entry that is

    @property
    def runs(self) -> bool:
        """Whether anything is known of the time."""
        return self._best is not None

    def hear(self, cluster: int, now: int, asked: int | None) -> None:
        """The leader said `cluster`, at some moment between `asked` and `now` of our clock."""
        if asked is not None:
            self._take(_new(Sample, (cluster, now, now - asked)))
        self._highest = max(self._highest, cluster)

    def _take(self, sample: Sample) -> None:
        """All get worse alike as they age, so a new one need only be held against the best of the
        others, unless that one goes to make room for it."""
        samples, best = self._samples, self._best
        goes = samples[0] if len(samples) == SAMPLES else None
        samples.append(sample)
        if best is None or len(samples) == 1 or _badness(sample) <= _badness(best):
            self._best = sample  # the first of a leader's is the best of its, whatever was before
        elif goes == best:
            self._best = min(reversed(samples), key=_badness)

    def set(self, cluster: int, now: int) -> None:
        """From now on this clock is the cluster's: its node leads, or has just heard who does."""
        self._samples.clear()
        self._best = Sample(cluster, now, 0)

    def stop(self, committed: int) -> None:
        """A majority says that this clock is wrong: only what was committed is known of the time,
        until somebody else's is heard. This once, readings may go back."""
        self._samples.clear()
        self._best = None
        self._committed = self._highest = committed

    def forget_samples(self) -> None:
        """Another leader: what the one before said is no measure for it."""
        self._samples.clear()

    def at_least(self, cluster: int) -> None:
        """What is committed sets the clock: it is never read as less than that any more."""
        self._committed = max(self._committed, cluster)

    def read(self, now: int) -> int:
        """The cluster time at `now`, to judge what is over; never less than an earlier answer."""
        self._highest = max(self._highest, self.running(now))
        return self._highest

    def running(self, now: int) -> int:
        """The cluster time at `now`, for telling others. Where this node once read too much that is
        passed over: it need not become the cluster's mistake."""
        best = self._best
        return (
            self._committed if best is None else max(self._committed, best.cluster + now - best.now)
        )

    def error(self, now: int) -> int:
        """By how much the cluster time may be later than `read` says."""
        return 0 if self._best is None else _error_at(self._best, now)


def _error_at(sample: Sample, now: int) -> int:
    return (_badness(sample) + now * DRIFT_PPM) // 1_000_000


def _badness(sample: Sample) -> int:
    """What orders samples by their errors, at whatever moment that is: in millionths of a ms."""
    return sample.error * 1_000_000 - sample.now * DRIFT_PPM
