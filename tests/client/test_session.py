"""How far a client has seen, and the names of its writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tlru.client.session import OnceNames, Session


def test_another_epoch_is_forgotten_for() -> None:
    session = Session()
    assert not session.enter("1-a"), "the first epoch is no change"
    session.saw("1-a", pos=10, time=1000, now=0)
    assert not session.enter("1-a")
    assert session.minimum() == {"epoch": "1-a", "pos": 10, "time": 1000}
    assert session.enter("2-b")
    assert session.minimum() == {"epoch": "2-b", "pos": 0, "time": 0}


def test_the_last_words_of_another_epoch_count_for_nothing() -> None:
    session = Session()
    session.enter("2-b")
    session.saw("1-a", pos=99, time=99, now=0)
    assert (session.pos, session.time) == (0, 0)


def test_a_node_may_be_behind_in_position_or_in_time() -> None:
    session = Session()
    session.enter("e")
    session.saw("e", pos=5, time=500, now=0)
    assert not session.ahead_of(5, 500)
    assert session.ahead_of(4, 900)
    assert session.ahead_of(9, 499)


def test_cluster_time_runs_on_from_the_highest_that_was_told() -> None:
    session = Session()
    session.enter("e")
    session.saw("e", pos=1, time=10_000, now=50.0)
    session.saw("e", pos=1, time=9_000, now=51.0)
    assert session.cluster_ms(now=50.0) == 10_000
    assert session.cluster_ms(now=52.5) == 12_500
    assert session.cluster_ms(now=49.0) == 10_000


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_what_was_seen_never_goes_back(seen: list[tuple[int, int]]) -> None:
    session = Session()
    session.enter("e")
    for pos, time in seen:
        before = session.pos, session.time
        session.saw("e", pos, time, now=0)
        assert session.pos >= before[0]
        assert session.time >= before[1]
        assert not session.ahead_of(session.pos, session.time)


def test_a_name_is_22_characters_and_of_this_client_alone() -> None:
    first, second = OnceNames(), OnceNames()
    assert len(first.session) == 22
    assert first.session != second.session


def test_names_count_up_and_say_what_is_done_with() -> None:
    names = OnceNames("s")
    assert names.give(7) == (1, {"session": "s", "n": 1, "at": 7, "done": 0})
    assert names.give(8) == (2, {"session": "s", "n": 2, "at": 8, "done": 0})
    names.finish(2)
    assert names.give(9)[1]["done"] == 0, "1 may still be sent again"
    names.finish(1)
    assert names.give(10)[1]["done"] == 2
    names.finish(3)
    names.finish(4)
    assert names.give(11)[1]["done"] == 4


@given(st.lists(st.integers(0, 7), max_size=100))
def test_nothing_that_may_be_sent_again_is_ever_called_done(picks: list[int]) -> None:
    """The node drops the results up to `done`: one repeat below it would be `too_old`."""
    names = OnceNames()
    open_numbers: list[int] = []
    for pick in picks:
        if pick < len(open_numbers):
            names.finish(open_numbers.pop(pick))
        else:
            number, name = names.give(0)
            done = name["done"]
            assert done < number
            assert all(done < each for each in open_numbers)
            assert done + 1 in [*open_numbers, number], "and everything else is"
            open_numbers.append(number)
