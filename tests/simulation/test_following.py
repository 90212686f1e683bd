"""What a subscriber is told: what is whole and in order passes, and no lie about it does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.following import (
    Began,
    Held,
    Listed,
    Pushed,
    Reset,
    States,
    Told,
    carry_out,
    check_stream,
    concerns,
)
from tlru.engine.events import Event, EventType
from tlru.engine.patterns import Pattern

SET, TOUCH, DELETE = EventType.SET, EventType.TOUCH, EventType.DELETE
CLEAR, MESSAGE = EventType.CLEAR, EventType.MESSAGE


def a_set(key: str, version: int, value: bytes = b"v") -> Event:
    return Event(SET, key, version, version, value)


def held(key: str, version: int) -> tuple[str, Held]:
    return key, Held(b"v", version, version)


MADE = (
    a_set("a", 2),
    Event(TOUCH, "a", 3, 3, None, 90),
    a_set("a", 5),
    a_set("b", 5),
    Event(MESSAGE, "news", 6, 6, b"m"),
    Event(DELETE, "a", 8, 8),
    Event(CLEAR, "b", 9, 9),
)


STEPS = st.tuples(st.sampled_from(["events", "reset", "resumed"]), st.integers(0, 3))


@given(st.lists(STEPS, max_size=12))
def test_who_is_told_of_all_or_of_a_reset_passes(steps: list[tuple[str, int]]) -> None:
    """However the events are cut into messages, and wherever the subscriber goes on."""
    told: list[Told] = [Began(0)]
    upto = 0
    for kind, further in [*steps, ("events", 9)]:
        end = min(upto + further, 9)
        if kind == "resumed":
            told.append(Began(upto, upto, resumed=True))
            continue
        if kind == "reset":
            told += [Began(end, upto), Reset(end)]
        else:
            told.append(Pushed(end, tuple(e for e in MADE if upto < e.version <= end)))
        upto = end
    assert check_stream("s", told, MADE, whole=True) is None


def test_a_snapshot_and_what_follows_pass() -> None:
    """`a` had changed again when its part was made, so it is left out; `b` comes in a later one."""
    told: list[Told] = [
        Began(5),
        Listed(5, 5, (), last=False, as_of=8),
        Listed(5, 5, (held("b", 5),), last=True, as_of=8),
        Pushed(8, MADE[4:6]),
        Pushed(9, MADE[6:]),
    ]
    assert check_stream("s", told, MADE, snapshot=True, whole=True) is None


def test_what_was_touched_since_is_listed_with_its_new_life() -> None:
    """Its event brings no value, so that who is not told of it here would never be."""
    before, after = held("a", 2), ("a", Held(b"v", 2, 2, 90))
    for items, sentence in (
        ((after,), None),
        ((before,), None),  # as it was, which is as good
        ((), "'a' is not listed, though it has not changed after 2"),
    ):
        told: list[Told] = [Began(2), Listed(2, 2, items, last=True, as_of=3), Pushed(3, MADE[1:2])]
        violation = check_stream("s", told, MADE[:2], snapshot=True, whole=True)
        assert (violation and violation.sentence) == (sentence and f"subscriber s: {sentence}")


def test_what_was_touched_since_may_be_over_when_the_snapshot_comes_to_it() -> None:
    told: list[Told] = [Began(2), Listed(2, 90, (), last=True, as_of=3)]
    assert check_stream("s", told, MADE[:2], snapshot=True) is None
    told[1] = Listed(2, 89, (), last=True, as_of=3)
    assert check_stream("s", told, MADE[:2], snapshot=True) is not None


def test_folded_events_that_stand_for_all_pass() -> None:
    told: list[Told] = [Began(0), Pushed(9, (MADE[4], MADE[5], MADE[6]), (1, 4, 2))]
    assert check_stream("s", told, MADE, whole=True) is None


def test_what_a_folded_message_owes_may_come_with_the_next() -> None:
    told: list[Told] = [
        Began(0),
        Pushed(6, (MADE[3], MADE[4]), (1, 1), more=True),
        Pushed(8, (MADE[5],), (4,)),
    ]
    assert check_stream("s", told, MADE[:6], whole=True) is None


LIES: dict[str, tuple[list[Told], str]] = {
    "one is missing": (
        [Began(0), Pushed(5, (MADE[0], MADE[2], MADE[3]))],
        f"told of {MADE[2]}, but not of {MADE[1]} before it",
    ),
    "the last is missing": (
        [Began(0), Pushed(3, MADE[:1])],
        f"told that all up to 3 was told, but not of {MADE[1]}",
    ),
    "one comes twice": (
        [Began(0), Pushed(2, MADE[:1]), Pushed(3, MADE[:2])],
        f"told of {MADE[0]} again, or too late: it was told of all up to 2",
    ),
    "one comes twice in a message": (
        [Began(0), Pushed(2, (MADE[0], MADE[0]))],
        f"told of {MADE[0]} twice",
    ),
    "two change places": (
        [Began(3), Pushed(5, (MADE[3], MADE[2]))],
        f"told of {MADE[3]}, but not of {MADE[2]} before it",
    ),
    "it never happened": (
        [Began(0), Pushed(2, (a_set("a", 2, b"another"),))],
        f"told of {a_set('a', 2, b'another')}, which never happened",
    ),
    "a version is split": (
        [Began(3), Pushed(5, (MADE[2],))],
        f"told that all up to 5 was told, but not of {MADE[3]}",
    ),
    "the position is too low": (
        [Began(0), Pushed(1, MADE[:1])],
        f"told of {MADE[0]}, as of something up to 1",
    ),
    "the position goes back": (
        [Began(0), Pushed(3, MADE[:2]), Pushed(2)],
        "told of all up to 2 after 3",
    ),
    "a reset goes back": (
        [Began(0), Pushed(3, MADE[:2]), Reset(2)],
        "reset to 2, though it was told of all up to 3",
    ),
    "it goes on from elsewhere": (
        [Began(0), Pushed(3, MADE[:2]), Began(2, 3, resumed=True)],
        "goes on from 2, and was at 3",
    ),
    "no reset says that it does not go on": (
        [Began(0), Pushed(3, MADE[:2]), Began(6, 3), Pushed(8, MADE[5:6])],
        f"does not go on from where it was, and is not told so, but {Pushed(8, MADE[5:6])}",
    ),
    "it is answered from before": (
        [Began(0), Pushed(3, MADE[:2]), Began(2, 3)],
        "is answered from 2, and was at 3",
    ),
    "a message is folded away": (
        [Began(5), Pushed(8, (MADE[5],), (2,))],
        f"not told of the message {MADE[4]}",
    ),
    "what is folded stands for too few": (
        [Began(0), Pushed(3, (MADE[1],), (1,))],
        "folded events stand for 1 too few up to 3",
    ),
    "a touch has taken the place of a value": (
        [Began(0), Pushed(3, (MADE[1],), (2,))],
        "at 3 'a' is Held(value=b'v', version=2, at=2, expires=90, rev=None, mime=None), told None",
    ),
    "folded ones change places": (
        [Began(0), Pushed(6, (MADE[4], MADE[3]), (1, 4))],
        f"told of {MADE[3]} out of its place",
    ),
    "nothing comes any more": (
        [Began(0), Pushed(8, MADE[:6])],
        f"never told of {MADE[6]}",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_events_is_found_out(name: str) -> None:
    told, sentence = LIES[name]
    violation = check_stream("s", told, MADE, whole=True)
    assert violation is not None
    assert violation.sentence == f"subscriber s: {sentence}"


B = Held(b"v", 5, 5)
SNAPSHOTS: dict[str, tuple[list[Told], str]] = {
    "no snapshot comes": (
        [Began(5), Pushed(6, MADE[4:5])],
        f"told of events before all of the snapshot had come: {Pushed(6, MADE[4:5])}",
    ),
    "it is of another position": (
        [Began(5), Listed(6, 6, (), last=True)],
        "told of a snapshot at 6, having begun at 5",
    ),
    "one is not listed": (
        [Began(5), Listed(5, 5, (held("a", 5),), last=True, as_of=6)],
        "'b' is not listed, though it has not changed after 5",
    ),
    "one is listed as it was before": (
        [Began(5), Listed(5, 5, (held("a", 2),), last=False)],
        f"at 5 'a' is {B}, and listed as {Held(b'v', 2, 2)}",
    ),
    "one is listed that has changed since": (
        [Began(5), Listed(5, 5, (held("a", 5),), last=False, as_of=8)],
        "'a' is listed, though it has changed after 5",
    ),
    "one is listed twice": (
        [Began(5), *[Listed(5, 5, (held("a", 5),), last=False, as_of=6)] * 2],
        "'a' stands in the snapshot after 'a'",
    ),
    "a second one comes": (
        [
            Began(5),
            Listed(5, 5, (held("a", 5), held("b", 5)), last=True, as_of=5),
            Listed(5, 5, (), last=True, as_of=5),
        ],
        "told of a snapshot that it did not wait for: "
        "Listed(upto=5, now=5, items=(), last=True, as_of=5)",
    ),
    "the last part never comes": (
        [Began(5), Listed(5, 5, (held("a", 5),), last=False, as_of=5)],
        "its beginning never came",
    ),
}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_lie_about_what_there_is_is_found_out(name: str) -> None:
    told, sentence = SNAPSHOTS[name]
    violation = check_stream("s", told, MADE, snapshot=True, whole=True)
    assert violation is not None
    assert violation.sentence == f"subscriber s: {sentence}"


def test_what_was_over_need_not_be_listed_until_its_event_comes() -> None:
    made = (Event(SET, "t", 1, 1, b"v", 50), Event(EventType.EXPIRE, "t", 3, 60))
    told: list[Told] = [Began(1), Listed(1, 55, (), last=True, as_of=1)]
    assert check_stream("s", [*told, Pushed(3, made[1:])], made, snapshot=True, whole=True) is None
    early = check_stream("s", [Began(1), Listed(1, 45, (), True, 1)], made, snapshot=True)
    assert early is not None
    assert early.sentence == "subscriber s: 't' is not listed, though it has not changed after 1"


@given(st.text("ab", max_size=3), st.text("ab", max_size=3), st.booleans())
def test_a_clear_concerns_whoever_may_have_seen_a_key_of_it(
    cleared: str, text: str, whole: bool
) -> None:
    """Tried with all keys that are long enough to tell."""
    keys = [f"{text}{end}" for end in ("", "a", "b", "aa", "ab", "ba", "bb", "aaa", "bab")]
    keys += [f"{cleared}{end}" for end in ("", "a", "b")]
    mine = [key for key in keys if (key == text if whole else key.startswith(text))]
    seen = any(key.startswith(cleared) for key in mine)
    pattern = Pattern.parse(text if whole else f"{text}*")
    assert concerns(pattern, Event(CLEAR, cleared, 1, 1)) is seen


def test_who_carries_out_the_events_knows_what_there_is() -> None:
    known: States = {}
    carry_out(MADE[:4], known)
    assert known == {"a": B, "b": B}
    carry_out(MADE[4:], known)
    assert known == {}
