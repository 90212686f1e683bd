"""Parts of a turn of the loop: the turn is ended by hand, and real sessions wait for theirs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.node.access.holders import token_file
from tests.running import a_node, run, talking, until
from tlru.node.turns import PART_S, REQUESTS, Turns


class Loop:
    """Keeps what it is to call back."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def end_turn(self) -> None:
        """What was asked for is called back."""
        later, self.later = self.later, []
        for each in later:
            each()


def test_a_rank_that_has_had_its_part_waits_for_the_next_turn_and_the_others_do_not() -> None:
    loop = Loop()
    turns = Turns(loop.later.append)
    turns.took(2, PART_S[2] / 2)
    assert turns.open(2)
    turns.took(2, PART_S[2])
    assert [turns.open(rank) for rank in range(3)] == [True, True, False]
    assert len(loop.later) == 1
    loop.end_turn()
    assert turns.open(2)


def test_the_most_important_rank_never_waits() -> None:
    turns = Turns(Loop().later.append)
    turns.took(0, 1_000.0)
    assert turns.open(0)


def test_what_is_left_of_a_turn_is_not_kept_for_the_next() -> None:
    loop = Loop()
    turns = Turns(loop.later.append)
    turns.took(1, PART_S[1] / 10)
    loop.end_turn()
    turns.took(1, PART_S[1])
    assert not turns.open(1)


def test_the_longest_wait_is_told_once() -> None:
    turns = Turns(Loop().later.append)
    now = time.perf_counter()
    turns.waited(2, now - 1.0)
    turns.waited(2, now - 0.5)
    waits = turns.take_waits()
    assert waits[:2] == [0.0, 0.0]
    assert 1.0 <= waits[2] < 2.0
    assert turns.take_waits() == [0.0] * 3


def test_whoever_waits_for_a_turn_is_answered_wholly_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many more requests than one turn takes, of two sessions of the lesser class."""
    monkeypatch.setattr("tlru.node.turns.PART_S", (float("inf"), PART_S[1], 1e-9))
    asked = REQUESTS[2] * 8
    file, tokens = token_file(tmp_path, bulk={"client_class": "bulk", "write": ("",)})

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as one, talking(node) as two:
            turns = node.strain.turns
            node.strain.stop()  # else the waits are taken up, and some may be refused
            for talker in (one, two):
                await talker.ask("hello", token=tokens["bulk"])
            for talker, name in ((one, "one"), (two, "two")):
                ids = range(1, asked + 1)
                await talker.send(
                    *({"id": -n, "op": "set", "key": name, "value": n} for n in ids[:1_000])
                )
                await talker.send(
                    *({"id": -n, "op": "set", "key": name, "value": n} for n in ids[1_000:])
                )
            for talker in (one, two):
                replies = [await talker.receive() for _ in range(asked)]
                assert all(reply["ok"] for reply in replies)
                assert [reply["id"] for reply in replies] == [-n for n in range(1, asked + 1)]
            assert turns.waited_s[2] > 0
            await until(lambda: turns.open(2))

    run(scenario())
