"""The hard cases of state: snapshots, digests that differ, clocks that are wrong."""

from __future__ import annotations

from collections.abc import Callable

from peers.core.messages import Append, Envelope, Noted, SnapshotPiece
from peers.core.outcomes import NodeStatus
from peers.core.timing import Bounds
from tests.simulation.node import Node
from tests.simulation.staging import (
    FOREVER_MS,
    SHORT,
    all_active,
    apart,
    at_rest,
    holds,
    leads,
    no_entries,
    recover,
    stage,
    write,
    write_many,
)
from tests.simulation.world import World


def behind_the_window() -> World:
    """`c` was away for longer than anybody keeps the log: it takes a snapshot, and what came
    meanwhile from the log behind it. It serves nobody until then."""
    world = stage(3, bounds=SHORT)
    world.network.cut({"c"}, set("ab"))
    write_many(world, "a", 30)
    world.network.heal()
    c = world.nodes["c"]
    assert world.run(3_000, lambda: c.status(world.now) is NodeStatus.SYNCING)
    write_many(world, "a", 12)
    assert world.run(3_000, lambda: at_rest(world))
    assert world.counts["snapshots installed"] == 1
    assert world.nodes["c"].replica.state.log.base.position.index > 10
    return recover(world)


def a_place_that_the_window_has_left() -> World:
    """The leader knows how far a follower was; by the time that it can send again it has let go of
    what follows there. It does not send what follows its window as if it did.

    Found by a random run: a log whose entry 72 stood behind entry 9."""
    world = stage(3, bounds=SHORT)
    world.network.cut({"c"}, {"a"}, both=False)  # c hears a, and is not heard
    write_many(world, "a", 30)
    world.network.heal()
    assert world.run(3_000, lambda: at_rest(world))
    return recover(world)


def a_window_of_no_use() -> World:
    """`c` comes back with nothing, and its snapshot is long on its way. What the window has follows
    nothing of `c`'s: it is not sent again with each of the answers that say so.

    Found by a random run: a hundred thousand messages, and the whole window again in each turn."""
    world = stage(3, bounds=SHORT)
    write_many(world, "a", 30)
    world.crash("c", lose_log=True)
    sent = 0

    def count(envelope: Envelope) -> None:
        nonlocal sent
        message = envelope.message
        sent += isinstance(message, Append) and envelope.to == "c" and bool(message.batches)

    world.after_sending = count
    world.hold = lambda envelope: 1_000 if isinstance(envelope.message, SnapshotPiece) else 0
    world.restart("c")
    world.run(1_000)
    assert world.nodes["c"].replica.taking.under_way
    assert sent <= 2 * SHORT.window_entries, f"{sent} times entries of the window"
    world.after_sending = None
    return recover(world)


def a_stale_snapshot() -> World:
    """`c` takes a snapshot and its disk is slow; meanwhile another leads who still has the log that
    `c` lacks, and `c` comes further by that. When the snapshot is there it is of no use: nothing
    goes back."""
    world = stage(3, bounds=SHORT)
    world.nodes["b"].replica.state.bounds = Bounds(append_bytes=1)
    world.network.cut({"c"}, set("ab"))
    write_many(world, "a", 30)
    world.network.heal()
    world.nodes["c"].disk.slow_ms = 3_000
    last: list[int] = []
    world.after_sending = lambda e: (
        last.append(1) if isinstance(e.message, SnapshotPiece) and e.message.last else None
    )
    assert world.run(3_000, lambda: bool(last))
    write_many(world, "a", 12)
    world.crash("a")
    assert world.run(2_000, lambda: world.nodes["b"].replica.leads)
    assert world.run(1_000, lambda: world.nodes["c"].replica.state.commit > 40)
    before = world.nodes["c"].replica.state.commit
    world.run(4_000)
    assert world.counts["snapshots installed"] == 0
    assert world.nodes["c"].machine.index >= before
    world.nodes["c"].disk.slow_ms = 0
    return recover(world)


def whoever_gives_a_snapshot_fails() -> World:
    """In the middle of it. What was taken is of no use, and nothing of what there was is touched;
    another one gives it from its beginning."""
    world = stage(3, bounds=SHORT)
    world.run(100)  # what is under way arrives
    world.network.cut({"c"}, set("ab"))
    write_many(world, "a", 30)
    given: list[int] = []
    world.after_sending = lambda e: (
        given.append(e.message.piece) if isinstance(e.message, SnapshotPiece) else None
    )
    had = world.nodes["c"].machine.index
    world.network.heal()
    assert world.run(3_000, lambda: 1 in given)
    world.crash("a")
    world.run(100)
    assert world.nodes["c"].machine.index == had
    world.crash("c")
    world.restart("c")
    assert not world.nodes["c"].impaired
    assert world.run(12_000, lambda: leads(world, "b") and at_rest(world))
    return recover(world)


def a_leader_whose_state_is_corrupt() -> World:
    """Its digest is not the majority's: it lets another lead, replaces its state, and is the same
    as the others again. Its log was never wrong, and it goes on counting all the time."""
    world = stage(3)
    write_many(world, "a", 3)
    world.corrupt("a")
    write_many(world, "a", 3)
    a = world.nodes["a"]
    assert world.run(3_000, lambda: a.status(world.now) is NodeStatus.INCONSISTENT)
    assert world.run(1_000, lambda: leads(world, "b") or leads(world, "c")), "handed over"
    assert world.run(3_000, lambda: not world.nodes["a"].corrupted)
    assert not any(world.nodes[id].corrupted for id in "bc")
    return recover(world)


def a_right_state_that_noted_nothing() -> World:
    """`b` has its state from a snapshot that is newer than the last checkpoint, and `c` has a wrong
    one. Of those who noted a digest there no majority noted the same; nothing is written any more,
    and the wrong state is found all the same.

    Found by a random run: two wrong states of six were served for ever."""
    world = stage(3, bounds=SHORT)
    write_many(world, "a", 30)
    world.crash("b", lose_log=True)
    world.corrupt("c")
    write_many(world, "a", 3)
    a, b, c = (world.nodes[id] for id in "abc")
    assert world.run(3_000, lambda: noted_apart(a, c) and at_rest(world))
    world.run(3_000)
    world.hold = lambda e: FOREVER_MS if gives(e, "c") else 0
    world.restart("b")
    assert world.run(3_000, lambda: all_active(world) and at_rest(world))
    assert (b.machine.digest(), b.machine.noted) == (a.machine.digest(), None)
    assert world.run(4_000, lambda: c.status(world.now) is NodeStatus.INCONSISTENT)
    assert world.run(4_000, lambda: not world.nodes["c"].corrupted)
    return recover(world)


def noted_apart(one: Node, other: Node) -> bool:
    """Whether two have noted different digests at one checkpoint."""
    first, second = one.machine.noted, other.machine.noted
    if first is None or second is None:
        return False
    return first[0] == second[0] and first[1] != second[1]


def majority_noted(leader: Node) -> Noted | None:
    """What a majority has noted, as far as a leader knows."""
    assert leader.replica.digests is not None
    return leader.replica.digests.agreed()


def gives(envelope: Envelope, id: str) -> bool:
    """Whether it is a part of a snapshot of a node's."""
    return isinstance(envelope.message, SnapshotPiece) and envelope.sender.id == id


def nobody_has_what_is_named() -> World:
    """Two of three have a wrong state, and their digest is the majority's; before that is said in
    the log all of them start again, with the state of their logs."""
    world = stage(3)
    write_many(world, "a", 3)
    world.run(100)  # what is under way arrives
    for id in "bc":
        world.corrupt(id)
    world.invariants.spread += 1  # so who is found to be wrong need not be
    write_many(world, "a", 1)
    a = world.nodes["a"]
    assert world.run(3_000, lambda: majority_noted(a) not in (None, a.replica.state.noted))
    world.hold = no_entries
    end = a.disk.batches[-1].last.index
    assert world.run(3_000, lambda: a.disk.synced_index() > end), "it says so"
    for id in "abc":
        world.crash(id)
    world.hold = None
    for id in "abc":
        world.restart(id)
    return world


def all_inconsistent(world: World) -> bool:
    """Whether all that are up have found themselves to be wrong."""
    return all(node.status(world.now) is NodeStatus.INCONSISTENT for node in world.up())


def a_checkpoint_that_names_what_nobody_has() -> World:
    """None of them has what the log says that the majority had. They find that the majority has
    what they have.

    Found by a random run: three nodes with one state, and all of them refused everything."""
    world = nobody_has_what_is_named()
    assert world.run(8_000, lambda: all_inconsistent(world))
    return recover(world)


def nobody_has_what_is_named_and_the_leader_fails() -> World:
    """Before the others could replace their states by the leader's. No state of those who are left
    is trusted; one of them leads all the same, and finds that theirs are alike."""
    world = nobody_has_what_is_named()
    world.hold = lambda e: FOREVER_MS if isinstance(e.message, SnapshotPiece) else 0
    assert world.run(8_000, lambda: all_inconsistent(world))
    world.hold = None
    leader = world.leader()
    assert leader is not None
    world.crash(leader.id)
    assert all_inconsistent(world)
    assert world.run(12_000, lambda: all_active(world)), "they are a majority"
    return recover(world)


def a_repair_behind_what_is_committed() -> World:
    """The snapshot that repairs a state is older than what this node has committed: the log fills
    the gap, and clients of this node that were answered before are not answered again.

    Found by a random run: operations that were done with were looked for among those that wait."""
    world = stage(3)
    write_many(world, "c", 3)
    world.corrupt("c")
    world.nodes["c"].disk.slow_ms = 1_500  # the snapshot is there at once, and kept late
    write_many(world, "c", 2)
    assert world.run(4_000, lambda: not world.nodes["c"].replica.state.intact)
    for number in range(5):
        write(world, "a", f"later{number}")
    assert world.run(8_000, lambda: not world.nodes["c"].corrupted)
    world.nodes["c"].disk.slow_ms = 0
    return recover(world)


def a_leader_whose_clock_leaps() -> World:
    """A minute at once. The others refuse its time, so it steps aside; whoever leads next, be it
    the same, goes on from where the time is by the others' clocks."""
    world = stage(3)
    told = write(world, "a", "mortal", life_ms=20_000)
    assert world.run(1_000, told.answered)
    before, at = world.nodes["b"].cluster_ms(world.now), world.now
    world.leap("a", 60_000)
    term = world.nodes["a"].replica.state.term
    assert world.run(5_000, lambda: any(leads(world, id) for id in "abc") and moved(world, term))
    world.run(2_000)
    for node in world.nodes.values():
        gained = node.cluster_ms(world.now) - before - (world.now - at)
        assert abs(gained) < 1_000, f"{node.id} is {gained} ms ahead of what has passed"
        assert node.machine.read("mortal", node.cluster_ms(world.now)) is not None
    return recover(world)


def moved(world: World, term: int) -> bool:
    """Whether there was an election."""
    return all(node.replica.state.term > term for node in world.nodes.values())


def half_of_them_hold_entries_of_a_wrong_time() -> World:
    """`c` has just started, and has no clock to refuse the leader's by, which has leapt; it takes
    an entry of that time, and only who has it can be elected. The other two refuse it for long,
    and not for ever.

    Found by a random run: four nodes that were refused, and elected, a hundred and sixty times."""
    world = stage(4, seed=2)  # in which `c` stands before `a`, which has taken its entry back
    world.crash("c")
    apart(world, "ac", "bd")
    world.leap("a", 60_000)
    world.restart("c")
    c = world.nodes["c"]
    assert world.run(200, lambda: c.replica.state.clock.runs)
    write(world, "a", "x")
    assert world.run(200, lambda: holds(c, "x"))
    world.network.heal()
    world.run(2_000)
    assert world.leader() is None or not all_active(world)
    return recover(world)


def a_voter_whose_clock_leaps() -> World:
    """The leader fails, and one of those who vote has a clock that has leapt. Its vote does not
    take the cluster's time along."""
    world = stage(3)
    told = write(world, "a", "mortal", life_ms=40_000)
    assert world.run(1_000, told.answered)
    before, at = world.nodes["b"].cluster_ms(world.now), world.now
    world.crash("a")
    world.leap("c", 60_000)
    assert world.run(8_000, lambda: leads(world, "b") or leads(world, "c"))
    world.run(500)
    gained = world.nodes["b"].running_ms(world.now) - before - (world.now - at)
    assert abs(gained) < 1_000, f"{gained} ms ahead of what has passed"
    return recover(world)


STATE: tuple[Callable[[], World], ...] = (
    behind_the_window,
    a_place_that_the_window_has_left,
    a_window_of_no_use,
    a_stale_snapshot,
    whoever_gives_a_snapshot_fails,
    a_leader_whose_state_is_corrupt,
    a_right_state_that_noted_nothing,
    a_checkpoint_that_names_what_nobody_has,
    nobody_has_what_is_named_and_the_leader_fails,
    a_repair_behind_what_is_committed,
    a_leader_whose_clock_leaps,
    half_of_them_hold_entries_of_a_wrong_time,
    a_voter_whose_clock_leaps,
)
