"""The hard cases where a person decides, or where a state directory is not what it seems."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from peers.core.outcomes import NodeStatus
from peers.errors import RefusedError
from tests.simulation.scenarios_epochs import WAIT_MS, epochs, power_cut
from tests.simulation.scenarios_members import settle
from tests.simulation.staging import (
    SINGLE,
    STAGED,
    all_active,
    apart,
    at_rest,
    leads,
    stage,
    write,
)
from tests.simulation.world import EPOCH, World

MAJORITY = replace(STAGED, cold_start_majority=True)


def forked(world: World, id: str) -> bool:
    """Whether a node says that another epoch lives beside its own."""
    node = world.nodes[id]
    alarms = node.replica.alarms(node.clock.read(world.now))
    return any(alarm.startswith("forked") for alarm in alarms)


def a_revive_by_the_only_survivor() -> World:
    """Two of three are gone for good. A person says so, and the third goes on alone; two others
    come under the old names."""
    world = stage(3)
    told = write(world, "a", "x")
    assert world.run(1_000, told.answered)
    with pytest.raises(RefusedError, match="nothing to be revived"):
        world.revive("a", "a")
    for id in "bc":
        world.replace(id)
    world.run(5_000)
    a = world.nodes["a"]
    assert a.status(world.now) is NodeStatus.ISOLATED
    world.revive("a", "a")
    assert world.run(1_000, lambda: leads(world, "a"))
    assert a.machine.read("x", a.cluster_ms(world.now)) is not None
    told = write(world, "a", "y")
    assert world.run(1_000, told.answered)
    assert a.disk.promise.epoch.parent == EPOCH.random
    return settle(world, "a", "b", "c")


def a_revive_that_stops_at_once() -> World:
    """Before it has written into its log who belongs now. It goes on by what it promised."""
    world = stage(3)
    for id in "bc":
        world.replace(id)
    world.run(3_000)
    a = world.nodes["a"]
    world.revive("a", "a")
    assert a.replica.state.membership.voters == ("a",)
    a.disk.cut(a.disk.promise.named.index if a.disk.promise.named else 0)
    world.crash("a")
    world.restart("a")
    assert world.run(2_000, lambda: leads(world, "a"))
    return settle(world, "a", "b", "c")


def a_revive_with_one_who_comes_late() -> World:
    """Of five, three are gone. One is revived with another that is only switched off, and of which
    nobody knows whether it has more: it does not matter, and it takes what the new epoch has."""
    world = stage(5)
    told = write(world, "e", "x")
    assert world.run(1_000, told.answered)
    world.crash("b")
    for id in "cde":
        world.replace(id)
    world.run(3_000)
    world.revive("a", "a", "b")
    world.run(2_000)
    assert world.leader() is world.nodes["a"]
    assert not leads(world, "a"), "it needs the other's vote"
    world.restart("b")
    assert world.run(8_000, lambda: leads(world, "a") and all_ab(world))
    return settle(world, "a", "b", "c", "d", "e")


def all_ab(world: World) -> bool:
    """Whether the two who go on serve."""
    return all(world.nodes[id].status(world.now) is NodeStatus.ACTIVE for id in "ab")


def a_revive_while_the_majority_was_only_cut_off() -> World:
    """The person was wrong: the others had gone on without it. Now two epochs live, and neither
    takes anything from the other; both say so, until the person chooses."""
    world = stage(3)
    apart(world, "a", "bc")
    assert world.run(5_000, lambda: leads(world, "b"))
    told = write(world, "b", "theirs")
    assert world.run(1_000, told.answered)
    world.revive("a", "a")
    assert world.run(1_000, lambda: leads(world, "a"))
    told = write(world, "a", "its own")
    assert world.run(1_000, told.answered)
    world.network.heal()
    assert world.run(5_000, lambda: forked(world, "a") and forked(world, "b"))
    world.run(3 * WAIT_MS)
    assert leads(world, "a")
    assert leads(world, "b")
    assert all_active(world)
    assert world.nodes["c"].machine.read("theirs", 0) is not None
    world.invariants.histories.go_on_in(world.nodes["b"])  # the person's choice
    world.replace("a")
    world.restart("a")
    world = settle(world, "a", "b", "c")
    assert world.nodes["a"].machine.read("theirs", 0) is not None
    world.run(6_000)
    assert not any(forked(world, id) for id in "abc")
    return world


def a_cold_start_by_a_majority() -> World:
    """Where that is allowed, two of three go on after a power cut without the third, which may have
    had more than they. It hears that it is out when it comes."""
    world = World(1, 3, timing=MAJORITY, bounds=SINGLE)
    assert world.run(5_000, lambda: leads(world, "a") and all_active(world) and at_rest(world))
    told = write(world, "a", "x")
    assert world.run(1_000, told.answered)
    world.run(500)
    power_cut(world)
    world.restart("b")
    world.run(2 * WAIT_MS)
    assert epochs(world) == {str(EPOCH)}, "one alone is no majority"
    world.restart("a")
    assert world.run(WAIT_MS + 5_000, lambda: leads(world, "b") or leads(world, "a"))
    assert world.run(5_000, lambda: all_active(world))
    return settle(world, "a", "b")


def a_cluster_that_waits_for_one() -> World:
    """After a power cut all voters have to be there. The others say for whom they wait."""
    world = stage(3)
    power_cut(world)
    for id in "ab":
        world.restart(id)
    world.run(3 * WAIT_MS)
    for id in "ab":
        node = world.nodes[id]
        (alarm,) = node.replica.alarms(node.clock.read(world.now))
        assert "that c must be there too" in alarm
    return settle(world, "a", "b", "c")


def a_state_directory_that_was_restored() -> World:
    """From a copy that is older than what it was copied from: what it promised since, it does not
    know. The others do, and it comes as a newcomer under its old name."""
    world = stage(3)
    copy = deepcopy(world.nodes["c"].disk)
    for number in range(2):
        told = write(world, "c", f"x{number}")
        assert world.run(1_000, told.answered)
        world.crash("c")
        world.restart("c")
        assert world.run(3_000, lambda: all_active(world))
    world.crash("c")
    world.nodes["c"].disk = copy
    before = world.nodes["c"].origin
    world.restart("c")
    world = settle(world, "a", "b", "c")
    assert world.nodes["c"].origin != before
    assert world.counts["copies found"] == 1
    return world


def a_copy_that_the_others_do_not_remember() -> World:
    """They have started again since. It stands in the log which of its lives wrote last."""
    world = stage(3)
    copy = deepcopy(world.nodes["c"].disk)
    for _ in range(2):
        world.crash("c")
        world.restart("c")
        assert world.run(3_000, lambda: all_active(world))
    told = write(world, "c", "x")
    assert world.run(1_000, told.answered)
    world.crash("c")
    for id in "ab":
        world.crash(id)
        world.restart(id)
    assert world.run(5_000, lambda: leads(world, "a") or leads(world, "b"))
    world.nodes["c"].disk = copy
    world.restart("c")
    world = settle(world, "a", "b", "c")
    assert world.counts["copies found"] == 1
    return world


REVIVE: tuple[Callable[[], World], ...] = (
    a_revive_by_the_only_survivor,
    a_revive_that_stops_at_once,
    a_revive_with_one_who_comes_late,
    a_revive_while_the_majority_was_only_cut_off,
    a_cold_start_by_a_majority,
    a_cluster_that_waits_for_one,
    a_state_directory_that_was_restored,
    a_copy_that_the_others_do_not_remember,
)
