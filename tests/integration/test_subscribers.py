"""Subscribers of nodes that are killed, stopped and paused are told of every change, once."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.following import Follower
from tests.integration.subscribers import Report, kill_the_leader, pause, play
from tests.running import run
from tests.simulation.following import Pushed, check_stream, concerns
from tlru.engine.patterns import Pattern

HAPPENS = (
    "events told",
    "fault: kill_the_leader",
    "fault: pause",
    "feeds reset",
    "feeds resumed",
    "marks told",
    "snapshots told",
    "subscribers moved",
    "writes done",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of a short run; its seed draws another one each time."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    folder = tmp_path_factory.mktemp("subscribers")
    return run(play(folder, 4, 24, random.Random(seed), faults=(pause, kill_the_leader)))


def test_each_was_told_of_every_change_in_order_and_once(report: Report) -> None:
    print("\n".join(report.lines()))
    assert report.violations == []
    assert [name for name in HAPPENS if not report.counts[name]] == []
    assert {event.type.value for event in report.made} >= {"set", "touch", "delete", "message"}


def drop(told: list[Pushed], place: int) -> None:
    told[place] = replace(told[place], events=told[place].events[1:])


def repeat(told: list[Pushed], place: int) -> None:
    told.insert(place, told[place])


def swap(told: list[Pushed], place: int) -> None:
    told[place], told[place + 1] = told[place + 1], told[place]


def say_too_much(told: list[Pushed], place: int) -> None:
    told[place] = replace(told[place], upto=told[place + 1].upto)


def lose(told: list[Pushed], place: int) -> None:
    del told[place]


@pytest.mark.parametrize("lie", [drop, repeat, swap, say_too_much, lose])
def test_a_lie_about_what_was_told_is_found_out(
    report: Report, lie: Callable[[list[Pushed], int], None]
) -> None:
    """In what one of them was told between two subscriptions."""
    follower, begins = a_long_reading(report)
    told = list(follower.told)
    of_it: list[Pushed] = []
    for each in told[begins:]:
        if not (isinstance(each, Pushed) and each.events):
            break
        of_it.append(each)
    ends = begins + len(of_it)
    lie(of_it, len(of_it) // 2)
    pattern = Pattern.parse(follower.kind.pattern)
    made = [event for event in report.made if concerns(pattern, event)]
    lies = [*told[:begins], *of_it, *told[ends:]]
    snapshot = follower.kind.snapshot
    assert check_stream(follower.name, told, made, snapshot=snapshot, whole=True) is None
    assert check_stream(follower.name, lies, made, snapshot=snapshot, whole=True) is not None


def a_long_reading(report: Report) -> tuple[Follower, int]:
    """Somebody who was told of events several times in a row, and from where on."""
    for follower in report.followers:
        row = 0
        for place, told in enumerate(follower.told):
            row = row + 1 if isinstance(told, Pushed) and told.events else 0
            if row == 8 and not follower.kind.fold:
                return follower, place - 7
    raise AssertionError("nobody was told of anything for long")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_hundred_are_told_for_two_minutes(tmp_path: Path) -> None:
    chance = random.Random(1)
    report = asyncio.run(play(tmp_path, seconds=120, count=200, chance=chance))
    print("\n".join(report.lines()))
    assert report.violations == []
