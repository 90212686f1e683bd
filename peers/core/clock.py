"""Cluster time: milliseconds that run on evenly whatever the wall clock does.

Pure: every call is given `now`, a monotonic reading in milliseconds (boot time where the system has
it, so that a machine that was suspended does not serve what has expired meanwhile).

Invariant: readings never decrease, and a wall clock that jumps changes nothing.
"""

from __future__ import annotations


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


def resume_from(stored_cluster_ms: int, stored_wall_ms: int, wall_ms: int) -> int:
    """Where time goes on after the whole cluster was down: stored time plus the wall time since.

    A wall clock that was set back meanwhile adds nothing; it never takes anything away.
    """
    return stored_cluster_ms + max(0, wall_ms - stored_wall_ms)
