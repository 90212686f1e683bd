"""Folded events: less to tell, and the same known in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tlru.engine.events import Event, EventType
from tlru.engine.folding import fold

SET, TOUCH, DELETE = EventType.SET, EventType.TOUCH, EventType.DELETE
CLEAR, MESSAGE = EventType.CLEAR, EventType.MESSAGE

KEYS = st.sampled_from(["a", "ab", "abc", "b", "ba", ""])
KINDS = st.sampled_from(list(EventType))


def an_event(version: int, kind: EventType, key: str) -> Event:
    value = b"%d" % version if kind in (SET, MESSAGE) else None
    expires = version * 1_000 if kind in (SET, TOUCH) and version % 3 else None
    return Event(kind, key, version, version, value, expires)


EVENTS = st.lists(st.tuples(KINDS, KEYS), max_size=25).map(
    lambda rows: [an_event(version, *row) for version, row in enumerate(rows, 1)]
)

State = dict[str, tuple[bytes | None, int | None]]


def known_by(events: list[Event], before: State) -> tuple[State, list[Event]]:
    """What somebody knows who is told of these, and the messages that he got."""
    state, messages = dict(before), []
    for event in events:
        match event.type:
            case EventType.MESSAGE:
                messages.append(event)
            case EventType.SET:
                state[event.key] = (event.value, event.expires)
            case EventType.TOUCH if event.key in state:
                state[event.key] = (state[event.key][0], event.expires)
            case EventType.CLEAR:
                state = {k: v for k, v in state.items() if not k.startswith(event.key)}
            case EventType.DELETE | EventType.EXPIRE | EventType.EVICT:
                state.pop(event.key, None)
    return state, messages


@given(EVENTS, st.sets(KEYS))
def test_who_is_told_the_folded_ones_knows_as_much(events: list[Event], there: set[str]) -> None:
    """Whatever he knew before; and every message has come, in order."""
    before: State = dict.fromkeys(there, (b"before", None))
    folded = [event for event, _ in fold(events)]
    assert known_by(folded, before) == known_by(events, before)


@given(EVENTS)
def test_folded_ones_are_of_those_there_were_and_stand_for_all(events: list[Event]) -> None:
    folded = fold(events)
    places = [events.index(event) for event, _ in folded]
    assert places == sorted(set(places)), "in their order, each once"
    assert sum(count for _, count in folded) == len(events)
    assert all(count == 1 for event, count in folded if event.type is MESSAGE)


@given(EVENTS)
def test_of_a_key_no_more_is_left_than_what_it_holds_and_its_last_life(
    events: list[Event],
) -> None:
    left: dict[str, list[EventType]] = {}
    for event, _ in fold(events):
        if event.type not in (CLEAR, MESSAGE):
            left.setdefault(event.key, []).append(event.type)
    for kinds in left.values():
        assert len(kinds) <= 2
        assert TOUCH not in kinds[:-1], "a life that something follows is told of no more"
    assert all(kinds[0] is not TOUCH or len(kinds) == 1 for kinds in left.values())


@given(EVENTS)
def test_to_fold_again_changes_nothing(events: list[Event]) -> None:
    once = [event for event, _ in fold(events)]
    assert fold(once) == [(event, 1) for event in once]


def test_a_touch_takes_the_place_of_touches_only() -> None:
    events = [an_event(n, kind, "a") for n, kind in enumerate((SET, TOUCH, TOUCH), 1)]
    assert fold(events) == [(events[0], 1), (events[2], 2)]
    events.append(an_event(4, SET, "a"))
    assert fold(events) == [(events[3], 4)]


def test_a_clear_takes_in_what_it_has_removed_and_no_more() -> None:
    rows = ((SET, "a"), (TOUCH, "a"), (SET, "b"), (SET, "ab"), (CLEAR, "a"), (SET, "a"))
    events = [an_event(version, *row) for version, row in enumerate(rows, 1)]
    assert fold(events) == [(events[2], 1), (events[4], 4), (events[5], 1)]


def test_two_clears_both_stand() -> None:
    """The second takes in what the first had not: an earlier clear may be wider."""
    events = [an_event(1, CLEAR, ""), an_event(2, SET, "a"), an_event(3, CLEAR, "a")]
    assert fold(events) == [(events[0], 1), (events[2], 2)]
