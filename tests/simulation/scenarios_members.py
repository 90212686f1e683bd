"""The hard cases of who belongs: newcomers, removals, state directories that are lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from peers.core.entry import NO_EPOCH
from peers.core.membership import Role
from peers.core.messages import (
    Append,
    BarrierAnswer,
    Envelope,
    Hello,
    JoinAnswer,
    JoinAsk,
    Removed,
    SnapshotPiece,
    VoteAnswer,
)
from peers.core.outcomes import NodeStatus
from peers.core.output import Barrier
from peers.errors import RefusedError
from tests.simulation.staging import (
    FOREVER_MS,
    SHORT,
    SINGLE,
    STAGED,
    all_active,
    apart,
    at_rest,
    leads,
    stage,
    write,
    write_many,
)
from tests.simulation.world import World


def now_of(world: World, id: str) -> int:
    """What time it is for a node."""
    return world.nodes[id].clock.read(world.now)


def remove(world: World, by: str, id: str) -> None:
    """An operator has one leader take one out."""
    now = now_of(world, by)
    world.nodes[by].change(lambda changing: changing.remove(id, now), world.now)


def raise_level(world: World, by: str) -> None:
    """An operator has one leader put feature level 2 in force."""
    now = now_of(world, by)
    world.nodes[by].change(lambda changing: changing.raise_level(2, now), world.now)


def upgrade(world: World, ids: str) -> None:
    """These get, one after another, a release that can apply feature level 2."""
    for id in ids:
        world.nodes[id].level = 2
        world.crash(id)
        world.restart(id)
        world.run(3_000)


def settle(world: World, *voters: str) -> World:
    """No more harm: these are the voters, they serve, and the others know that they are out."""
    world.network.heal()
    world.hold = None
    for id in world.nodes:
        world.restart(id)
    assert world.run(30_000, lambda: world.membership.voters == voters), world.membership.voters
    members = [world.nodes[id] for id in voters]
    out = [node for node in world.nodes.values() if node not in members]
    assert world.run(
        20_000,
        lambda: (
            all(node.status(world.now) is NodeStatus.ACTIVE for node in members)
            and all(node.status(world.now) is NodeStatus.REMOVED for node in out)
            and all(node.machine.index == len(world.invariants.committed) for node in members)
        ),
    )
    return world


def a_newcomer_that_is_far_behind() -> World:
    """What happened before it came is in nobody's log any more: it takes a snapshot, follows, and
    is made a voter. Nobody else notices anything."""
    world = stage(3, bounds=SHORT)
    write_many(world, "a", 30)
    world.join("d")
    write_many(world, "b", 10)
    assert world.counts["snapshots installed"] == 1 or world.run(
        5_000, lambda: world.counts["snapshots installed"] == 1
    )
    assert world.leader() is world.nodes["a"]
    return settle(world, "a", "b", "c", "d")


def a_newcomer_asks_one_who_does_not_lead() -> World:
    """It is told who does, and asks there. The leader fails in between: it asks on."""
    world = stage(3)
    world.join("d")
    world.nodes["d"].replica.joining._contacts[:] = ["b", "c"]
    world.crash("a")
    assert world.run(15_000, lambda: "d" in world.membership.voters)
    return settle(world, "a", "b", "c", "d")


def the_single_server_bug() -> World:
    """Two leaders change who belongs, each from the same list. `a` takes out `b`, which nobody
    hears of; `b`, elected next, takes out `a`. Each list has a majority without the other's.

    It cannot come to that: before `b` may change anything it has to have an entry of its own term
    on a majority of the old list; then that majority knows better than to follow `a`."""
    world = stage(4)
    apart(world, "a", "bcd")
    remove(world, "a", "b")
    world.hold = lambda e: (
        FOREVER_MS
        if isinstance(e.message, Append)
        and e.sender.id == "b"
        and e.to == "d"
        and e.message.batches
        else 0
    )
    assert world.run(5_000, lambda: world.nodes["b"].replica.leads)
    with contextlib.suppress(RefusedError):
        remove(world, "b", "a")
    world.run(300)
    world.hold = None
    apart(world, "ad", "bc")
    world.run(6_000)
    return settle(world, *"abcd") if "b" in world.membership.voters else settle(world, *"acd")


def a_reader_at_a_node_that_is_removed() -> World:
    """`c` is taken out while somebody there waits for the leader's word: it hears at once that
    there will be none, and asks elsewhere."""
    world = stage(3)
    world.hold = lambda e: FOREVER_MS if isinstance(e.message, BarrierAnswer) else 0
    told: list[Barrier] = []
    world.nodes["c"].barrier(told.append, world.now)
    world.run(60)
    assert told == [], "the answer is on its way"
    remove(world, "a", "c")
    assert world.run(2_000, lambda: world.nodes["c"].status(world.now) is NodeStatus.REMOVED)
    assert [barrier.index for barrier in told] == [None]
    return settle(world, *"ab")


def a_wiped_node_and_its_old_vote() -> World:
    """`c` votes for `b`, and the vote is long on its way. Then `c` loses everything, and comes
    back. It is another one now, which nobody asks for a vote: its old one may still be counted."""
    world = stage(3)
    votes: list[Envelope] = []

    def after_sending(envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, VoteAnswer) and message.granted and envelope.sender.id == "c":
            votes.append(envelope)

    world.after_sending = after_sending
    world.crash("a")
    assert world.run(5_000, lambda: bool(votes))
    world.nodes["b"].paused_until = world.now + 3_000
    world.replace("c")
    world.restart("c")
    world.restart("a")
    world.run(2_900)
    world.run(3_000)
    return settle(world, "a", "b", "c")


def two_of_which_one_loses_everything() -> World:
    """The other one leads, and alone it is no majority. It may take out who is known to be gone,
    and is a majority then; whoever comes back is a newcomer under an old name."""
    world = stage(2)
    told = write(world, "a", "x")
    assert world.run(1_000, told.answered)
    birth = world.nodes["b"].origin.birth
    world.replace("b")
    world.run(2_000)
    assert world.nodes["a"].status(world.now) is NodeStatus.ISOLATED
    world.restart("b")
    assert world.run(10_000, lambda: world.membership.voters == ("a", "b"))
    assert world.nodes["b"].origin.birth != birth
    return settle(world, "a", "b")


def two_under_one_name() -> World:
    """A node is started with the name of one that is there and answers: it is refused, and told
    why."""
    world = stage(3)
    told: list[Envelope] = []
    world.after_sending = told.append
    other = replace(world.nodes["c"].member, birth="another birth")
    ask = Envelope(other.origin, 1, NO_EPOCH, "a", "", 0, JoinAsk(other, 1))
    world.nodes["a"].receive(ask, world.now)
    (answer,) = [each for each in told if isinstance(each.message, JoinAnswer)]
    assert isinstance(answer.message, JoinAnswer)
    assert "answers" in answer.message.refused
    assert (answer.to, answer.birth) == ("c", "another birth"), "and not to the one who is there"
    world.run(2_000)
    assert world.membership.voters == ("a", "b", "c")
    return settle(world, "a", "b", "c")


def a_leader_that_removes_itself() -> World:
    """It leads until that is committed, and then another does, at once. It stays out, whatever it
    has on its disk."""
    world = stage(3)
    remove(world, "a", "a")
    assert world.run(1_000, lambda: leads(world, "b") or leads(world, "c")), "nobody had to wait"
    assert world.nodes["a"].status(world.now) is NodeStatus.REMOVED
    world.crash("a")
    world.restart("a")
    world.run(3_000)
    assert world.nodes["a"].status(world.now) is NodeStatus.REMOVED
    return settle(world, "b", "c")


def a_removal_that_one_does_not_hear_of() -> World:
    """`c` is cut off when it is taken out, and nobody sends it that entry. It hears of it when it
    greets the others."""
    world = stage(3)
    apart(world, "ab", "c")
    remove(world, "a", "c")
    assert world.run(2_000, lambda: world.membership.voters == ("a", "b"))
    world.run(2_000)
    world.network.heal()
    assert world.run(3_000, lambda: world.nodes["c"].status(world.now) is NodeStatus.REMOVED)
    return settle(world, "a", "b")


def a_member_that_nobody_could_read() -> World:
    """An operator gives a member a priority below nothing: that is refused, and never enters the
    log, where every follower would stumble over it."""
    world = stage(3)
    now = now_of(world, "a")
    wrong = replace(world.nodes["b"].member, priority=-1)
    with pytest.raises(RefusedError, match="could not read"):
        world.nodes["a"].change(lambda changing: changing.alter(wrong, now), world.now)
    told = write(world, "a", "x")
    assert world.run(1_000, told.answered)
    return settle(world, "a", "b", "c")


def a_late_word_of_who_had_the_name() -> World:
    """`c` is replaced, and something that the former one had said comes late. It is told that it
    does not belong; the one who has its name now, and has not heard yet of a later list, is not."""
    world = stage(3)
    former = world.nodes["c"].origin

    def hold(envelope: Envelope) -> int:
        message = envelope.message
        if envelope.sender == former and isinstance(message, Hello):
            return 6_000
        news = isinstance(message, Append | SnapshotPiece) or "d" in world.nodes
        return FOREVER_MS if envelope.to == "c" and news and not isinstance(message, Removed) else 0

    world.hold = hold
    world.run(300)
    world.replace("c")
    world.restart("c")
    c = world.nodes["c"]
    assert world.run(4_000, lambda: c.replica.state.added is not None)
    world.join("d")
    assert world.run(6_000, lambda: "d" in world.membership.voters)
    world.run(6_000)
    assert c.status(world.now) is not NodeStatus.REMOVED
    return settle(world, "a", "b", "c", "d")


def a_question_that_comes_after_the_removal() -> World:
    """`d` has asked to be let in, was, and is taken out; what it asked comes once more. It is not
    let in again: it knows that it is out, and would be silent for ever.

    Found by a random run."""
    world = stage(3)
    world.join("d")
    assert world.run(6_000, lambda: "d" in world.membership.voters)
    d = world.nodes["d"]
    remove(world, "a", "d")
    assert world.run(3_000, lambda: d.status(world.now) is NodeStatus.REMOVED)
    a = world.nodes["a"]
    ask = Envelope(d.origin, 1, a.replica.state.epoch, "a", "", 0, JoinAsk(d.member, 1))
    told: list[Envelope] = []
    world.after_sending = told.append
    a.receive(ask, world.now)
    (answer,) = [each.message for each in told if isinstance(each.message, JoinAnswer)]
    assert 0 < answer.index < a.replica.state.log.membership_at(a.replica.state.commit)[0]
    world.after_sending = None
    world.run(3_000)
    assert world.membership.voters == ("a", "b", "c")
    assert not world.membership.has(d.origin)
    return settle(world, "a", "b", "c")


def a_level_that_one_cannot_apply() -> World:
    """A feature level is put in force once every member can apply it. One that is started with an
    older release then stops before it, and serves nothing; a newcomer with one is refused."""
    world = stage(3)
    upgrade(world, "ba")
    assert world.run(10_000, lambda: all_active(world) and world.leader() is not None)
    leader = world.leader()
    assert leader is not None
    with pytest.raises(RefusedError, match="c cannot apply level 2"):
        raise_level(world, leader.id)
    world.nodes["c"].level = 2
    world.crash("c")
    world.restart("c")
    assert world.run(10_000, lambda: all_active(world))
    leader = world.leader()
    assert leader is not None
    raise_level(world, leader.id)
    assert world.run(2_000, lambda: world.membership.level == 2)
    world.nodes["c"].level = 1
    world.crash("c")
    world.restart("c")
    world.join("d")
    world.run(3_000)
    assert world.nodes["c"].status(world.now) is NodeStatus.OUTDATED
    assert "level 2" in world.nodes["d"].replica.joining.refused
    world.nodes.pop("d").crash()
    world.nodes["c"].level = 2
    world.crash("c")
    return settle(world, "a", "b", "c")


def a_level_that_is_raised_by_itself() -> World:
    """Where that is wished, once all have been able to apply it for so long, and not before."""
    world = World(1, 3, timing=replace(STAGED, finalize_after_ms=3_000), bounds=SINGLE)
    upgrade(world, "ba")
    world.run(6_000)
    assert world.membership.level == 1, "c cannot apply it"
    world.nodes["c"].level = 2
    world.crash("c")
    world.restart("c")
    assert world.run(5_000, lambda: all_active(world))
    world.run(1_000)
    assert world.membership.level == 1, "it may be that c goes back"
    assert world.run(5_000, lambda: world.membership.level == 2)
    return settle(world, "a", "b", "c")


def an_observer_is_no_majority() -> World:
    """Two voters and an observer, and one voter fails: two of three are there, and nobody leads."""
    world = stage(2)
    world.join("c", role=Role.OBSERVER)
    assert world.run(5_000, lambda: len(world.membership.members) == 3)
    assert world.run(5_000, lambda: all_active(world) and at_rest(world))
    world.crash("b")
    world.run(3_000)
    assert world.nodes["a"].status(world.now) is NodeStatus.ISOLATED
    with pytest.raises(RefusedError):
        write(world, "a", "x")
    world.restart("b")
    assert world.run(5_000, lambda: all_active(world))
    return world


MEMBERS: tuple[Callable[[], World], ...] = (
    a_newcomer_that_is_far_behind,
    a_newcomer_asks_one_who_does_not_lead,
    the_single_server_bug,
    a_reader_at_a_node_that_is_removed,
    a_wiped_node_and_its_old_vote,
    two_of_which_one_loses_everything,
    two_under_one_name,
    a_leader_that_removes_itself,
    a_removal_that_one_does_not_hear_of,
    a_member_that_nobody_could_read,
    a_late_word_of_who_had_the_name,
    a_question_that_comes_after_the_removal,
    a_level_that_one_cannot_apply,
    a_level_that_is_raised_by_itself,
    an_observer_is_no_majority,
)
