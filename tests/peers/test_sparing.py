"""Whom a leader spares a message: what is little comes with the word that it is committed.

`a` leads, `b` is the next in line, and of three two are a majority.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from peers.core.due import gathers, rests
from peers.core.follower import Follower
from peers.core.messages import Append, HandOver, Progress
from peers.core.outcomes import Ack, Settled
from peers.core.sparing import BYTES_MAX
from peers.core.timing import GATHER_MS
from tests.peers.test_gathering import MEMBERS, TIMING, Trio, at_rest, said_to


def last(trio: Trio) -> dict[str, int]:
    """How far each one's log goes."""
    return {id: each.state.log.last.index for id, each in trio.replicas.items()}


def follower(trio: Trio, id: str) -> Follower:
    """What the leader knows of another."""
    leading = trio["a"].leading
    assert leading is not None
    return leading.followers[id]


def settle(trio: Trio, ms: int = 0) -> None:
    """A turn for the answers, after some time."""
    trio.now += ms
    trio.end_turn()
    trio.end_turn()


def test_who_is_spared_gets_the_entry_and_that_it_is_committed_in_one_message() -> None:
    trio = at_rest()
    trio.sent.clear()
    trio.write("a")
    settle(trio)
    assert last(trio) == {"a": 2, "b": 2, "c": 1}
    assert trio["a"].state.applied == 2, "a majority has it"
    assert gathers(trio["a"], trio.now), "a tick is due soon"
    assert rests(trio["a"], trio.now), "and none before"
    settle(trio, GATHER_MS)
    assert trio["c"].state.applied == trio["b"].state.applied == 2
    assert said_to(trio, "a", Append) == 2
    assert said_to(trio, "a", Progress) == 1, "to the other"


def test_many_lone_writes_reach_who_is_spared_together() -> None:
    trio = at_rest()
    trio.sent.clear()
    for _ in range(5):
        trio.write("a")
        settle(trio)
    settle(trio, GATHER_MS)
    assert {each.state.applied for each in trio.replicas.values()} == {6}
    assert said_to(trio, "a", Append) == 5 + 1


def test_where_another_is_under_way_everybody_is_told() -> None:
    """The one that was enough says nothing, so it takes both others; soon, and then at once."""
    trio = at_rest()
    trio.deaf = {"b"}
    trio.write("a")
    settle(trio)
    assert trio["a"].state.applied == 1
    settle(trio, GATHER_MS)
    assert trio["a"].state.applied == 2, "it has not waited longer than others gather"
    trio.deaf = {"b"}
    trio.write("a")
    settle(trio)
    assert last(trio) == {"a": 3, "b": 1, "c": 3}


def test_who_was_not_heard_lately_is_not_enough() -> None:
    trio = at_rest()
    trio.deaf = {"b"}
    trio.run(3 * TIMING.heartbeat_ms)
    trio.write("a")
    settle(trio)
    assert last(trio) == {"a": 2, "b": 1, "c": 2}
    assert trio["a"].state.applied == 2


def test_much_goes_to_everybody_at_once() -> None:
    trio = at_rest()
    trio.write("a", bytes(BYTES_MAX))
    settle(trio)
    assert set(last(trio).values()) == {2}


def test_whose_clients_wait_is_not_spared() -> None:
    trio = at_rest()
    trio.write("c")
    trio.end_turn()  # it is forwarded
    settle(trio)
    assert last(trio) == {"a": 2, "b": 2, "c": 2}


def test_where_somebody_waits_for_all_nobody_is_spared() -> None:
    trio = at_rest()
    dot = trio.write("a", ack=Ack.ALL)
    settle(trio)
    assert set(last(trio).values()) == {2}
    assert (dot, Settled.HELD_BY_ALL) in trio.settled
    trio.write("a")
    settle(trio)
    assert last(trio)["c"] == 2, "that was said of one batch alone"


def test_the_next_in_line_is_told_although_another_is_nearer() -> None:
    """It would stand first, and be refused for what it lacks."""
    trio = at_rest()
    follower(trio, "b").round_trip_ms = 80.0
    trio.write("a")
    settle(trio)
    assert set(last(trio).values()) == {2}


def test_of_those_that_are_enough_the_nearest_are_told() -> None:
    trio = at_rest()
    follower(trio, "c").round_trip_ms = 80.0
    trio.write("a")
    settle(trio)
    assert last(trio) == {"a": 2, "b": 2, "c": 1}


def test_the_round_trip_is_that_of_its_answers() -> None:
    trio = at_rest()
    assert follower(trio, "b").round_trip_ms == pytest.approx(0)
    follower(trio, "b").round_trip_ms = 8.0
    trio.write("a")
    settle(trio)
    assert follower(trio, "b").round_trip_ms == pytest.approx(7.0)


def test_a_change_of_the_members_goes_to_everybody_at_once() -> None:
    trio = at_rest()
    trio.write("a")
    member = replace(MEMBERS.members[2], priority=5)
    trio.put_out("a", trio["a"].change(lambda changing: changing.alter(member, trio.now), trio.now))
    settle(trio)
    assert set(last(trio).values()) == {3}


def test_nobody_is_spared_while_the_lead_is_handed_over() -> None:
    trio = at_rest()
    trio.write("a")
    settle(trio)
    trio.put_out("a", trio["a"].hear(HandOver("c"), trio.now))
    for _ in range(4):  # it gets what it lacks; is told; asks; leads
        trio.end_turn()
    assert trio["c"].leads, "without any time in between"
