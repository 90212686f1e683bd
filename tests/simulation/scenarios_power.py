"""The hard cases of power cuts, of the time after them, and of releases that are taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from peers.core.membership import NOBODY, Role
from peers.core.messages import Hello, PreVote, SnapshotPiece
from peers.core.outcomes import NodeStatus
from peers.core.timing import Bounds
from peers.errors import RefusedError
from tests.simulation.disk import Disk
from tests.simulation.scenarios_members import raise_level, settle
from tests.simulation.staging import (
    FOREVER_MS,
    SHORT,
    SINGLE,
    STAGED,
    all_active,
    at_rest,
    leads,
    recover,
    stage,
    write_many,
)
from tests.simulation.world import World

ACTIVE = NodeStatus.ACTIVE
WAIT_MS = STAGED.cold_start_wait_ms


def cut_power(world: World) -> None:
    """All machines stop at once."""
    for id in world.nodes:
        world.crash(id)
        world.nodes[id].disk.damaged = True


def one_who_has_missed_a_voter() -> World:
    """While `c` is down `d` becomes a voter. Then the power fails, and the newest log is `d`'s: it
    waits for a word of `c`, whose list does not have it.

    Found by a random run: four who knew enough to begin anew, and never did."""
    world = stage(3)
    world.crash("c")
    world.join("d", priority=120)
    assert world.run(10_000, lambda: world.membership.voters == tuple("abcd"))
    assert world.run(1_000, lambda: at_rest(world))
    cut_power(world)
    for id in "abcd":
        world.restart(id)
    assert world.run(WAIT_MS + 5_000, lambda: all_active(world) and at_rest(world))
    return recover(world)


def _an_addition_that_is_lost(*, with_its_log: bool) -> World:
    """`d` was let in, and the power took that from all others."""
    world = stage(3)
    before = {id: world.nodes[id].disk.batches[-1].last.index for id in "abc"}
    world.join("d", role=Role.OBSERVER)
    d = world.nodes["d"]
    assert world.run(5_000, lambda: d.disk.promise.added is not None and at_rest(world))
    world.run(500)
    cut_power(world)
    for id, index in before.items():
        world.nodes[id].disk.cut(index)
        world.nodes[id].disk.power_took = True
    if not with_its_log:
        d.disk = Disk(d.disk.promise, NOBODY)
    for id in "abcd":
        world.restart(id)
    assert world.run(WAIT_MS + 5_000, lambda: world.nodes["a"].replica.leads)
    return world


def a_member_that_nobody_knows_any_more() -> World:
    """`d` is in nobody's list but its own, and its list is of an epoch that was given up. It hears
    that it is out, though by an older entry than the one that has let it in.

    Found by a random run: a member that waited for a leader for ever."""
    world = _an_addition_that_is_lost(with_its_log=True)
    return settle(world, "a", "b", "c")


def a_newcomer_that_nobody_knows_any_more() -> World:
    """`d` was told that it belongs, and had no entry yet. It goes on asking to be let in."""
    world = _an_addition_that_is_lost(with_its_log=False)
    assert world.run(10_000, lambda: len(world.membership.members) == 4)
    return recover(world)


def an_epoch_of_which_nobody_has_heard() -> World:
    """All have accepted a new epoch, and who opened it fails before anything that it says there is
    heard. When it is back it is alone there, and the others wait for a word of it.

    Found by a random run: one that nobody voted for, and two that had given their word."""
    world = stage(3)
    cut_power(world)
    for id in "abc":
        world.restart(id)
    a = world.nodes["a"]
    world.hold = lambda envelope: FOREVER_MS if envelope.epoch.number == 2 else 0
    assert world.run(WAIT_MS + 5_000, lambda: a.disk.promise.epoch.number == 2)
    world.crash("a")
    assert all(world.nodes[id].disk.promise.epoch.number == 1 for id in "bc")
    world.run(1_000)
    world.hold = None
    world.restart("a")
    assert world.run(WAIT_MS + 5_000, lambda: all_active(world) and at_rest(world))
    return recover(world)


def a_leader_that_lacked_something() -> World:
    """`c` lacks what the leader no longer keeps, and no snapshot comes. The leader fails; `c` takes
    what it lacks from `b` when it stands, and leads: it is not in need of anything any more.

    Found by a random run: a leader that said to be syncing for ever, and refused everybody."""
    world = stage(3, bounds=SHORT)
    world.nodes["b"].replica.state.bounds = Bounds(append_bytes=1)
    world.network.cut({"c"}, set("ab"))
    write_many(world, "a", 30)
    world.network.heal()
    world.hold = lambda envelope: (
        FOREVER_MS
        if isinstance(envelope.message, SnapshotPiece)
        or (isinstance(envelope.message, PreVote) and envelope.sender.id == "b")
        else 0
    )
    c = world.nodes["c"]
    assert world.run(3_000, lambda: c.replica.following.lacks)
    world.crash("a")
    assert world.run(20_000, lambda: leads(world, "c"))
    assert c.status(world.now) is ACTIVE
    return recover(world)


def _raised(bounds: Bounds, levels: dict[str, int]) -> World:
    """Three, with feature level 2 in force; then these have another release."""
    world = stage(3, bounds=bounds)
    for id in "bca":
        world.install(id, 2)
        world.restart(id)
        assert world.run(5_000, lambda: all_active(world) and world.leader() is not None)
    leader = world.leader()
    assert leader is not None
    raise_level(world, leader.id)
    assert world.run(2_000, lambda: world.membership.level == 2 and at_rest(world))
    for id, level in levels.items():
        world.install(id, level)
    return world


def a_release_that_is_taken_back_does_not_lead() -> World:
    """Two of three have an earlier release again, which cannot apply what is in force. They vote,
    and the third leads, though it is the last in line: it alone can serve."""
    world = _raised(SINGLE, {"a": 1, "b": 1})
    world.run(1_000)
    for id in "ab":
        world.restart(id)
    c = world.nodes["c"]
    assert world.run(5_000, lambda: leads(world, "c") and c.status(world.now) is ACTIVE)
    world.run(3_000)
    assert leads(world, "c")
    assert [str(world.nodes[id].status(world.now)) for id in "ab"] == ["outdated"] * 2
    for id in "ab":
        world.install(id, 2)
    return recover(world)


def a_snapshot_that_a_release_cannot_read() -> World:
    """`c` has an earlier release again, and lacks what nobody keeps: it takes no snapshot of a
    level that it cannot apply, and says why."""
    world = _raised(SHORT, {"c": 1})
    world.nodes["c"].disk.lose_log(world.now)
    leader = world.leader() or world.nodes["b"]
    write_many(world, leader.id, 30)
    world.restart("c")
    world.run(3_000)
    c = world.nodes["c"]
    assert world.counts["snapshots installed"] == 0
    assert c.replica.state.outdated
    world.install("c", 2)
    return recover(world)


def a_level_that_only_the_former_one_could_apply() -> World:
    """`c` is replaced by one with an earlier release, and nobody has heard yet what that can apply:
    what the former `c` said is not counted for it."""
    world = stage(3)
    for id in "bca":
        world.install(id, 2)
        world.restart(id)
        assert world.run(5_000, lambda: all_active(world) and world.leader() is not None)
    world.replace("c")
    c = world.nodes["c"]
    c.level = 1
    world.hold = lambda envelope: (
        FOREVER_MS if isinstance(envelope.message, Hello) and envelope.sender.id == "c" else 0
    )
    world.restart("c")
    assert world.run(10_000, lambda: world.membership.has(c.origin) and at_rest(world))
    leader = world.leader()
    assert leader is not None
    with pytest.raises(RefusedError, match="c cannot apply level 2"):
        raise_level(world, leader.id)
    return recover(world)


POWER: tuple[Callable[[], World], ...] = (
    one_who_has_missed_a_voter,
    a_member_that_nobody_knows_any_more,
    a_newcomer_that_nobody_knows_any_more,
    an_epoch_of_which_nobody_has_heard,
    a_leader_that_lacked_something,
    a_release_that_is_taken_back_does_not_lead,
    a_snapshot_that_a_release_cannot_read,
    a_level_that_only_the_former_one_could_apply,
)
