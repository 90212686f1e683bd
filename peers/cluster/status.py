"""What a node of a cluster tells of its place in it. It reads the core, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

from peers.clocks import boot_ms
from peers.core.entry import NO_EPOCH
from peers.core.membership import NodeId
from peers.core.outcomes import NodeStatus
from peers.core.replica import Replica
from peers.ordered_log import LogStatus


class Look:
    """Which status the node has: looked up once a millisecond, and after whatever is
    more than reading and writing."""

    def __init__(self, look: Callable[[int], NodeStatus]) -> None:
        self._look = look
        self.look_again()
        self.begin()

    def begin(self) -> None:
        """A life begins, which has served nobody yet."""
        self._served_ms: int | None = None

    def look_again(self) -> None:
        """It may be another by now."""
        self._looked_ms = -1

    def now(self) -> NodeStatus:
        """Which it is."""
        now = boot_ms()
        if now != self._looked_ms:
            self._looked_ms, self._found = now, self._look(now)
            if self._found is NodeStatus.ACTIVE:
                self._served_ms = now
        return self._found

    def behind_ms(self, timeout_ms: int) -> int | None:
        """For how long it may lack what others have. Who served had heard within `timeout_ms` what
        there was."""
        if self.now() is NodeStatus.ACTIVE:
            return 0
        return None if self._served_ms is None else boot_ms() - self._served_ms + timeout_ms


def unknown(status: NodeStatus) -> LogStatus:
    """Of a node that takes no part at the moment."""
    return LogStatus(status, "", None, 0, NO_EPOCH, 0, 0, {}, 0)


def standing(node: NodeId, replica: Replica, status: NodeStatus, applied: int) -> LogStatus:
    """Of one that does. Of the others it is known whether they were heard of late."""
    state, now = replica.state, boot_ms()
    me = state.membership.get(node)
    heard = {node, *state.reaches(now)}
    return LogStatus(
        status=status,
        role="" if me is None else str(me.role),
        leader=state.leader,
        term=state.term,
        epoch=state.epoch,
        committed=state.commit,
        applied=applied,
        vector={origin.id: sequence for origin, _, sequence in state.log.vector.places()},
        clock_error_ms=state.clock.error(now),
        lag=state.log.last.index - applied,
        members=tuple(
            {
                "id": m.id,
                "priority": m.priority,
                "region": m.region,
                "role": str(m.role),
                "details": dict(m.details),
                "heard": m.id in heard,
                "silent_ms": _silent_ms(m.id, node, replica, now),
            }
            for m in state.membership.members
        ),
    )


def _silent_ms(id: NodeId, me: NodeId, replica: Replica, now: int) -> int | None:
    """For how long nothing was heard of a member; None where nothing ever was."""
    if id == me:
        return 0
    heard = replica.state.heard.get(id)
    return None if heard is None else max(0, now - heard)
