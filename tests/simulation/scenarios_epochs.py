"""The hard cases of how an epoch begins: a fresh cluster, and one whose logs are gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from peers.core.membership import Role
from peers.core.messages import Append, EpochPropose, HandOver, Hello, Probe
from peers.core.outcomes import NodeStatus
from tests.simulation.staging import (
    FOREVER_MS,
    SINGLE,
    STAGED,
    all_active,
    apart,
    at_rest,
    leads,
    no_entries,
    recover,
    stage,
    write,
)
from tests.simulation.world import EPOCH, World

OPENING = (EpochPropose, Hello)
WAIT_MS = STAGED.cold_start_wait_ms


def epochs(world: World) -> set[str]:
    """In which epochs the nodes are."""
    return {str(node.disk.promise.epoch) for node in world.nodes.values()}


def a_fresh_cluster() -> World:
    """Nobody has anything. When the last of them has come they open the first epoch, and not
    before: who is there alone founds nothing."""
    world = World(1, 3, timing=STAGED, bounds=SINGLE, forming=True)
    world.crash("c")
    world.run(20_000)
    assert world.leader() is None
    assert all(world.nodes[id].status(world.now) is NodeStatus.STARTING for id in "ab")
    world.restart("c")
    assert world.run(5_000, lambda: leads(world, "a")), "the highest priority leads at once"
    assert world.run(3_000, lambda: all_active(world))
    told = write(world, "c", "x")
    assert world.run(1_000, told.answered)
    assert len(epochs(world)) == 1
    return recover(world)


def a_founder_that_fails_at_once() -> World:
    """It has opened the first epoch and led it for a moment. The others go on in it."""
    world = World(1, 3, timing=STAGED, bounds=SINGLE, forming=True)
    assert world.run(5_000, lambda: world.nodes["a"].replica.leads)
    world.run(8)
    world.crash("a")
    world.run(6_000)
    world.restart("a")
    assert world.run(10_000, lambda: all_active(world) and at_rest(world))
    assert len(epochs(world)) == 1
    return recover(world)


def a_lead_that_is_handed_over_right_after_the_founding() -> World:
    """Everybody has just started, and votes for nobody; but for whom its leader wants it votes. So
    the lead goes where it is to go, and there is no election."""
    world = World(1, 3, timing=STAGED, bounds=SINGLE, forming=True)
    assert world.run(5_000, lambda: leads(world, "a"))
    assert world.run(200, lambda: at_rest(world))
    a, c = world.nodes["a"], world.nodes["c"]
    term, began = a.replica.state.term, world.now
    a.hear(HandOver("c"), world.now)
    young = [n.clock.read(world.now) - n.replica.state.started for n in world.nodes.values()]
    assert max(young) < STAGED.election_timeout_ms // 2
    assert world.run(STAGED.election_timeout_ms // 2, lambda: leads(world, "c")), "at once"
    assert c.replica.state.term == term + 1
    assert world.now - began < 100
    return recover(world)


def a_founder_that_is_late() -> World:
    """Two have founded their cluster with a third, which stopped right after it had accepted. It
    comes back, and belongs."""
    world = World(1, 3, timing=STAGED, bounds=SINGLE, forming=True)
    c = world.nodes["c"]
    assert world.run(5_000, lambda: c.disk.promise.accepted is not None)
    world.run(4)
    world.crash("c")
    assert world.run(8_000, lambda: leads(world, "a") or leads(world, "b"))
    world.restart("c")
    assert world.run(8_000, lambda: all_active(world) and at_rest(world))
    return recover(world)


def power_cut(world: World) -> None:
    """All stop, and of what nobody had synced some have lost more, some less; `b` has lost
    nothing, but it cannot know that."""
    for id in world.nodes:
        world.crash(id)
    for id in "ac":
        disk = world.nodes[id].disk
        disk.cut(disk.batches[len(disk.batches) // 2].last.index)
    for node in world.nodes.values():
        node.disk.damaged = True


def without_power() -> World:
    """A cluster that had an x, and stands still."""
    world = stage(3)
    told = write(world, "a", "x")
    assert world.run(1_000, told.answered)
    world.run(500)
    power_cut(world)
    return world


def a_full_power_cut() -> World:
    """Nobody knows whether it has all that it promised, so nobody can vote. When all of them are
    there, and only then, they go on from the newest log, in an epoch of its own."""
    world = without_power()
    for id in "bc":
        world.restart(id)
    world.run(3 * WAIT_MS)
    assert epochs(world) == {str(EPOCH)}, "one is missing: it may have more than they"
    world.restart("a")
    assert world.run(WAIT_MS + 5_000, lambda: leads(world, "b")), "its log is the newest"
    assert world.run(5_000, lambda: all_active(world) and at_rest(world))
    (epoch,) = {node.disk.promise.epoch for node in world.nodes.values()}
    assert (epoch.number, epoch.parent) == (2, EPOCH.random)
    now = world.nodes["c"].cluster_ms(world.now)
    assert world.nodes["c"].machine.read("x", now) is not None
    return recover(world)


def a_cold_start_that_one_does_not_accept() -> World:
    """All are there, and one never hears the proposal. It may have good reasons to refuse it: there
    is no new epoch without it."""
    world = without_power()
    world.hold = lambda envelope: (
        FOREVER_MS if isinstance(envelope.message, EpochPropose) and envelope.to == "c" else 0
    )
    for id in "abc":
        world.restart(id)
    world.run(3 * WAIT_MS)
    assert epochs(world) == {str(EPOCH)}
    world.hold = None
    assert world.run(WAIT_MS + 5_000, lambda: all_active(world) and at_rest(world))
    return recover(world)


def a_leader_that_was_taking_itself_out() -> World:
    """The power fails before anybody else has the entry that takes `a` out, and of all logs its own
    is the newest. By that `a` does not belong any more; nobody else may begin without it.

    Found by a random run: two nodes that waited for each other, each for another reason."""
    world = stage(3)
    world.hold = no_entries
    a = world.nodes["a"]
    now = a.clock.read(world.now)
    a.change(lambda changing: changing.remove("a", now), world.now)
    world.run(100)
    assert not a.replica.state.membership.has(a.origin)
    for id in "abc":
        world.crash(id)
        world.nodes[id].disk.damaged = True
    world.hold = None
    for id in "abc":
        world.restart(id)
    assert world.run(WAIT_MS + 8_000, lambda: leads(world, "a"))
    assert world.run(5_000, lambda: all_active(world) and at_rest(world))
    return recover(world)


def a_newest_log_that_is_an_observers() -> World:
    """`c` is an observer, and votes no more by its own log; the voters have lost theirs from before
    that on. They wait for `c`, whose log is newer than theirs, so it is `c` that has to begin.

    Found by a random run: two nodes that waited for each other, each for another reason."""
    world = stage(3)
    a, c = world.nodes["a"], world.nodes["c"]
    before = a.replica.state.log.last.index
    now, observer = a.clock.read(world.now), replace(c.member, role=Role.OBSERVER)
    a.change(lambda changing: changing.alter(observer, now), world.now)
    assert world.run(1_000, lambda: world.membership.voters == ("a", "b"))
    told = write(world, "a", "x")
    assert world.run(1_000, lambda: told.answered() and at_rest(world))
    for node in world.nodes.values():
        node.crash()
        node.disk.damaged = True
    for id in "ab":
        world.nodes[id].disk.cut(before)
    for id in "abc":
        world.restart(id)
    assert world.run(WAIT_MS + 8_000, lambda: leads(world, "c"))
    assert world.run(5_000, lambda: all_active(world) and at_rest(world))
    assert world.nodes["a"].machine.read("x", world.nodes["a"].cluster_ms(world.now)) is not None
    return recover(world)


def an_epoch_whose_opener_fails_at_once() -> World:
    """`c` has accepted it, and hears of its opening from nobody; those who are in it fail, and lack
    again what they promised. They need `c`, to begin the next one; it hears that they are in.

    Found by a random run: three who were in it waited for a fourth, and that for a leader's word.
    """
    world = without_power()
    world.hold = lambda envelope: (
        FOREVER_MS
        if envelope.to == "c"
        and (envelope.epoch.number == 2 or not isinstance(envelope.message, OPENING))
        else 0
    )
    for id in "abc":
        world.restart(id)
    a, b, c = (world.nodes[id] for id in "abc")
    assert world.run(WAIT_MS + 5_000, lambda: b.replica.leads and a.disk.promise.epoch.number == 2)
    assert c.disk.promise.accepted == b.disk.promise.epoch
    for node in (a, b):
        world.crash(node.id)
        node.disk.damaged = True
    world.hold = None
    for id in "ab":
        world.restart(id)
    assert world.run(2 * WAIT_MS + 5_000, lambda: all_active(world) and at_rest(world))
    assert {node.disk.promise.epoch.number for node in world.nodes.values()} == {3}
    return recover(world)


def an_epoch_that_is_entered_by_a_greeting() -> World:
    """Who opened it is heard to be in it, and nothing else of it, until it is suspended. Then it
    probes, in a term that the others do not know yet.

    Found by a random run: each answer to a probe was of no term that the leader cared for."""
    world = without_power()
    world.hold = lambda envelope: (
        FOREVER_MS
        if envelope.epoch.number == 2 and isinstance(envelope.message, Append | Probe)
        else 0
    )
    for id in "abc":
        world.restart(id)
    nodes = world.nodes.values()
    assert world.run(
        WAIT_MS + 8_000, lambda: all(node.disk.promise.epoch.number == 2 for node in nodes)
    )
    world.run(2 * STAGED.election_timeout_ms)
    world.hold = None
    assert world.run(5_000, lambda: all_active(world) and at_rest(world))
    assert {node.disk.promise.epoch.number for node in nodes} == {2}
    return recover(world)


def a_majority_that_is_only_away() -> World:
    """One node is left that hears nobody. That is no reason for an epoch of its own, however long
    it lasts: the others go on without it."""
    world = stage(3)
    apart(world, "a", "bc")
    told = write(world, "b", "x")
    world.run(4 * WAIT_MS)
    assert told.answered()
    assert epochs(world) == {str(EPOCH)}
    return recover(world)


EPOCHS: tuple[Callable[[], World], ...] = (
    a_fresh_cluster,
    a_founder_that_fails_at_once,
    a_founder_that_is_late,
    a_lead_that_is_handed_over_right_after_the_founding,
    a_full_power_cut,
    a_cold_start_that_one_does_not_accept,
    a_leader_that_was_taking_itself_out,
    a_newest_log_that_is_an_observers,
    an_epoch_whose_opener_fails_at_once,
    an_epoch_that_is_entered_by_a_greeting,
    a_majority_that_is_only_away,
)
