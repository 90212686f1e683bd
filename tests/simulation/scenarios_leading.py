"""The hard cases of leading and replicating, each staged by hand: who is cut off, who stops, when.

A scenario takes no random harm; it steers the network and the nodes to the one place where a rule
is needed, says so by its asserts, and gives back the world for the last look. The planted faults
run through them too: there it shows what each rule prevents.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from peers.core.messages import (
    Append,
    AppendAnswer,
    Envelope,
    PreVoteAnswer,
    Progress,
    RecoverAnswer,
    Vote,
)
from peers.core.outcomes import Ack, Settled
from peers.core.output import Barrier
from peers.errors import RefusedError
from tests.simulation.staging import (
    FOREVER_MS,
    HOUR_MS,
    STAGED,
    apart,
    at_rest,
    holds,
    leads,
    no_entries,
    only_a_still_has_x,
    recover,
    recover_without_a_leader_meanwhile,
    stage,
    write,
)
from tests.simulation.world import World


def a_new_leader_that_is_asked_at_once() -> World:
    """`b` has x, and does not know that it is committed; `a`, which said so to a client, is gone.
    Whoever asks `b` as of when to read is not told before an entry of its own term is committed,
    although `c` has long said that it follows.
    """
    world = stage(3)
    b, c = world.nodes["b"], world.nodes["c"]

    def no_news(envelope: Envelope) -> int:
        message = envelope.message
        news = isinstance(message, Progress) or (
            isinstance(message, Append) and not message.batches
        )
        return FOREVER_MS if news and envelope.sender.id == "a" else 0

    world.hold = no_news
    told = write(world, "a", "x")
    assert world.run(1_000, told.answered)
    assert told.result is not None
    assert b.replica.state.commit < told.result["version"], "nobody has said so to it"
    world.crash("a")
    c.disk.slow_ms = 3_000
    world.hold = None
    assert world.run(5_000, lambda: b.replica.leads)
    answers: list[Barrier] = []
    b.barrier(answers.append, world.now)
    world.run(1_000)
    c.disk.slow_ms = 0
    assert world.run(5_000, lambda: bool(answers))
    (answer,) = answers
    assert answer.index is None or answer.index >= told.result["version"]
    return recover(world)


def figure_8() -> World:
    """An entry of an earlier term on a majority is not committed by that: another may replace it.

    `a` has given x to `b` alone and stops. `c` leads, writes an entry that nobody gets, and stops.
    `a` leads again and gives x to a majority, but no entry of its new term. Now `c`, whose last
    entry is of a later term than x, may be elected, and x goes.
    """
    world = stage(5)
    apart(world, "ab", "cde")
    write(world, "a", "x")
    assert world.run(400, lambda: holds(world.nodes["b"], "x"))
    world.crash("a")
    world.hold = lambda envelope: (
        FOREVER_MS
        if envelope.sender.id == "c"
        and isinstance(envelope.message, Append)
        and envelope.message.batches
        else 0
    )
    assert world.run(5_000, lambda: world.nodes["c"].replica.leads)
    assert world.run(200, lambda: world.nodes["c"].disk.synced_index() == len_log(world, "c"))
    world.crash("c")

    def no_new_entry(envelope: Envelope) -> int:
        message = envelope.message
        if not isinstance(message, Append) or envelope.sender.id != "a":
            return 0
        return FOREVER_MS if any(b.last.term > 1 for b in message.batches) else 0

    world.hold = no_new_entry
    apart(world, "ade", "bc")
    world.restart("a")
    assert world.run(8_000, lambda: world.nodes["a"].replica.leads)
    assert world.run(2_000, lambda: holds(world.nodes["d"], "x") and holds(world.nodes["e"], "x"))
    world.run(200)
    for id in "ab":
        world.crash(id)
    apart(world, "cde")
    world.hold = None
    world.restart("c")
    # c has the newest log; who of the three leads took it from there.
    assert world.run(8_000, lambda: any(leads(world, id) for id in "cde"))
    assert not any(holds(world.nodes[id], "x") for id in "cde")
    return recover(world)


def len_log(world: World, id: str) -> int:
    """The index at which a node's log ends."""
    return world.nodes[id].replica.state.log.last.index


def isolated_leader_with_a_client() -> World:
    """What a leader takes while it does not know yet that it is alone is not lost in silence: its
    client hears after an election timeout that this is not known, and it is done once at the most.
    Once it knows, it refuses."""
    world = stage(3)
    apart(world, "a", "bc")
    told = write(world, "a", "x")
    assert world.run(STAGED.election_timeout_ms + 50, lambda: bool(told.settled))
    assert world.run(5_000, lambda: leads(world, "b"))
    assert not told.answered()
    assert told.settled == [Settled.UNKNOWN], "once"
    with pytest.raises(RefusedError, match="isolated"):
        write(world, "a", "y")
    other = write(world, "b", "x")
    assert world.run(1_000, lambda: other.answered())
    recover(world)
    assert told.answered(), "sent again to the new leader under its dot"
    return world


def two_changes_of_leader_with_a_write_in_flight() -> World:
    """A follower's write outlives the leader that got it, and the next one too."""
    world = stage(5)
    world.hold = no_entries
    told = write(world, "e", "x")
    world.run(300)
    world.crash("a")
    assert world.run(5_000, lambda: world.nodes["b"].replica.leads)
    world.run(300)
    world.crash("b")
    world.hold = None
    assert world.run(5_000, lambda: leads(world, "c"))
    assert world.run(3_000, lambda: told.answered())
    assert told.result is not None
    assert told.result["applied"]
    return recover(world)


def star_whose_hub_lags() -> World:
    """Only the hub is heard by everybody, and its log is behind: it takes what it lacks from one
    that refuses it for that, and leads."""
    world = stage(5)
    apart(world, "abcd", "e")
    told = write(world, "a", "x")
    assert world.run(1_000, lambda: told.answered())
    world.crash("a")
    world.network.heal()
    for id in "bcd":
        world.network.cut({id}, set("bcd") - {id})
    assert world.run(10_000, lambda: leads(world, "e")), "e is the only one who hears a majority"
    assert holds(world.nodes["e"], "x")
    return recover(world)


def two_voters_one_without_its_log() -> World:
    """Of two, one comes back with its promises alone: the other's word brings it back, nobody's
    hand."""
    world = stage(2)
    told = write(world, "a", "x", Ack.ALL)
    assert world.run(1_000, lambda: Settled.HELD_BY_ALL in told.settled)
    world.crash("b", lose_log=True)
    world.run(2_000)
    world.restart("b")
    assert world.run(5_000, lambda: not world.nodes["b"].impaired)
    assert holds(world.nodes["b"], "x")
    return recover(world)


def four_voters_two_without_their_logs() -> World:
    """Two of four have lost their logs: the leader hears a majority, though only two hold."""
    world = stage(4)
    told = write(world, "a", "x")
    assert world.run(1_000, lambda: told.answered() and at_rest(world))
    for id in "cd":
        world.crash(id, lose_log=True)
        world.restart(id)
    assert world.run(8_000, lambda: not any(world.nodes[id].impaired for id in "cd"))
    return recover(world)


def a_voter_remembers_its_vote() -> World:
    """Two stand in one term. Who voted for the first, and stopped right after it, comes back before
    the second asks, and does not give its vote again.

    It takes seven: the second must learn of the voter's new life before it stands, since what is
    meant for an earlier life is not read; so it stands by the answers of three others.
    """
    world = stage(7)
    world.network.cut({"b"}, {"c"})

    def hold(envelope: Envelope) -> int:
        message = envelope.message
        if isinstance(message, Append) and message.batches:
            return FOREVER_MS  # so that b's log does not become the newer one
        if isinstance(message, Vote) and envelope.sender.id == "b":
            return 150
        return 1_400 if isinstance(message, PreVoteAnswer) and envelope.to == "c" else 0

    world.hold = hold
    world.crash("a")
    assert world.run(5_000, lambda: world.nodes["b"].replica.leads)
    world.crash("d")
    world.restart("d")
    assert world.run(3_000, lambda: world.nodes["c"].replica.state.term == 2)
    assert world.nodes["c"].replica.state.vote == world.nodes["c"].origin, "it stands, late"
    world.run(200)
    return recover(world)


def a_late_append_of_an_old_leader() -> World:
    """What a leader sent while it led arrives when another leads: it is not taken any more."""
    world = stage(3)
    end = len_log(world, "a")
    late: list[Envelope] = []

    def hold(envelope: Envelope) -> int:
        message, way = envelope.message, (envelope.sender.id, envelope.to)
        if not isinstance(message, Append):
            return 0
        if way == ("a", "c") and message.batches:
            late.append(envelope)
            return FOREVER_MS
        return FOREVER_MS if way == ("b", "c") and message.commit > end else 0

    world.hold = hold
    world.network.cut({"a"}, {"b"})
    write(world, "a", "x")
    world.run(40)
    world.network.cut({"a"}, {"c"})
    assert world.run(2_000, lambda: leads(world, "b")), "its first entry is on b and c"
    world.nodes["c"].receive(late[0], world.now)  # it was on the way for so long
    world.run(10)
    world.crash("b")
    world.network.heal()
    world.hold = None
    world.run(3_000)
    assert world.leader() is not None, "c knows of what b committed"
    return recover(world)


def a_lost_log_and_no_answer_yet() -> World:
    """A node that lost its log has a leader's word on how far it must come, and is not there yet:
    it does not vote, though that keeps the others waiting for the only one who has everything."""
    world = only_a_still_has_x()
    world.run(1_500)
    world.crash("a")
    return recover_without_a_leader_meanwhile(world)


def an_acknowledgement_of_an_earlier_life() -> World:
    """What a node held before it lost its log is not held any more, whatever it once said."""
    world = stage(5)
    for id in "cde":
        world.crash(id)
    write(world, "a", "x")
    assert world.run(400, lambda: holds(world.nodes["b"], "x"))
    world.run(20)  # b has said so
    world.crash("b", lose_log=True)

    def hold(envelope: Envelope) -> int:
        message = envelope.message
        stays = isinstance(message, Append) and message.batches and envelope.to == "b"
        return FOREVER_MS if stays else 0

    world.hold = hold
    world.restart("b")
    world.run(8_000)
    world.restart("c")
    world.run(3_000)
    return recover(world)


def a_recovery_that_is_interrupted() -> World:
    """A node loses its log, comes back, and stops before it has it again. What it finds then looks
    like a log without a hole; it still does not vote."""
    world = only_a_still_has_x()
    world.run(1_000)
    world.crash("b")
    world.crash("a")
    world.restart("b")
    return recover_without_a_leader_meanwhile(world)


def an_answer_to_an_earlier_life() -> World:
    """A node loses its log twice. What the leader answered to its first question arrives after the
    second, and says too little: much was acknowledged in between."""
    world = stage(3)
    late: list[Envelope] = []

    def keep_answers(envelope: Envelope) -> int:
        if isinstance(envelope.message, RecoverAnswer) and not late:
            late.append(envelope)
            return FOREVER_MS
        return 0

    world.hold = keep_answers
    world.network.cut({"c"}, set("ab"))
    world.crash("b", lose_log=True)
    world.restart("b")
    assert world.run(5_000, lambda: not world.nodes["b"].impaired)
    through = len_log(world, "a")
    told = write(world, "a", "x")
    assert world.run(1_000, lambda: told.answered())

    def only_what_is_old(envelope: Envelope) -> int:
        message = envelope.message
        if isinstance(message, RecoverAnswer):
            return FOREVER_MS
        new = isinstance(message, Append) and any(b.last.index > through for b in message.batches)
        return FOREVER_MS if new else 0

    world.hold = only_what_is_old
    world.crash("b", lose_log=True)
    world.restart("b")
    world.run(20)  # its first question has left, under the same number as that of the other life
    world.nodes["b"].receive(late[0], world.now)
    world.run(1_000)
    world.crash("a")
    return recover_without_a_leader_meanwhile(world)


def a_read_as_of_now_at_a_leader_that_was() -> World:
    """A leader hears answers that were long on the way, and another leads already: it does not say
    what is committed now, since nobody has answered what it sent after the question."""
    world = stage(3)
    world.hold = lambda e: 1_200 if isinstance(e.message, AppendAnswer) and e.to == "a" else 0
    world.run(4_000)
    assert leads(world, "a")
    world.network.cut({"a"}, set("bc"))
    assert world.run(1_100, lambda: leads(world, "b")), "a still hears what was under way"
    told = write(world, "b", "x")
    assert world.run(100, lambda: told.answered())
    answers: list[Barrier] = []
    world.nodes["a"].barrier(answers.append, world.now)
    world.run(2_000)
    assert [answer.index for answer in answers] == [None]
    return recover(world)


def links_that_break() -> World:
    """Who hears that the link with its leader broke asks the others at once. As long as they hear
    the leader nobody is unseated by that; where it is gone another leads in a moment."""
    world = stage(3)
    term = world.nodes["a"].replica.state.term
    world.lose_link("b", "a", 0)
    world.run(1_000)
    assert world.counts["links lost"] == 1
    assert leads(world, "a"), "it is heard by the others"
    assert world.nodes["b"].replica.state.term == term
    world.crash("a")
    for id in "bc":
        world.lose_link(id, "a", 5)
    assert world.run(STAGED.election_timeout_ms // 2, lambda: leads(world, "b"))
    return recover(world)


def time_over_a_change_of_leader() -> World:
    """The time goes on where the one who led had it, give or take what its voters may be behind."""
    world = stage(3)
    world.run(10_000)
    before, at = world.nodes["a"].cluster_ms(world.now), world.now
    world.crash("a")
    assert world.run(5_000, lambda: leads(world, "b"))
    world.run(2_000)
    behind = before + world.now - at - world.nodes["b"].cluster_ms(world.now)
    assert abs(behind) < 100, f"{behind} ms were lost"
    return recover(world)


def the_whole_cluster_down_for_an_hour() -> World:
    """Lives go on while nobody runs, by the wall clocks; one that was set back takes nothing."""
    world = stage(3)
    told = write(world, "a", "mortal", life_ms=80_000)
    kept = write(world, "a", "lasting", life_ms=4 * HOUR_MS)
    assert world.run(1_000, lambda: told.answered() and kept.answered())
    world.run(2_000)  # by now every node has noted the time
    before = world.nodes["a"].cluster_ms(world.now)
    for id in "abc":
        world.crash(id)
    world.run(HOUR_MS)
    world.nodes["b"].clock.wall_offset -= 5 * HOUR_MS
    for id in "abc":
        world.restart(id)
    assert world.run(5_000, lambda: leads(world, "a"))
    after = world.nodes["a"].cluster_ms(world.now)
    assert abs(after - before - HOUR_MS) < 10_000, f"{after - before} ms went by"
    recover(world)
    for node in world.nodes.values():
        now = node.cluster_ms(world.now)
        assert node.machine.read("mortal", now) is None
        assert node.machine.read("lasting", now) is not None
    return world


LEADING: tuple[Callable[[], World], ...] = (
    a_new_leader_that_is_asked_at_once,
    figure_8,
    isolated_leader_with_a_client,
    two_changes_of_leader_with_a_write_in_flight,
    star_whose_hub_lags,
    two_voters_one_without_its_log,
    four_voters_two_without_their_logs,
    a_voter_remembers_its_vote,
    a_late_append_of_an_old_leader,
    a_lost_log_and_no_answer_yet,
    an_acknowledgement_of_an_earlier_life,
    a_recovery_that_is_interrupted,
    an_answer_to_an_earlier_life,
    a_read_as_of_now_at_a_leader_that_was,
    links_that_break,
    time_over_a_change_of_leader,
    the_whole_cluster_down_for_an_hour,
)
