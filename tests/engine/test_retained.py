"""The window of events, against a list of all that ever came."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.engine import retained
from tlru.engine.events import Event, EventType
from tlru.engine.retained import EVENT_OVERHEAD_BYTES, Retained

SIZE = EVENT_OVERHEAD_BYTES + 1  # of an event of these tests


def an_event(version: int, value: bytes | None = None) -> Event:
    return Event(EventType.SET, "k", version, version, value)


@dataclass
class Model:
    """All events of a life by their numbers; those before `first` are gone."""

    events: dict[int, Event] = field(default_factory=dict)
    first: int = 0
    end: int = 0
    base: int = 0

    def extend(self, events: list[Event]) -> None:
        for event in events:
            self.events[self.end] = event
            self.end += 1

    def begin_anew(self, base: int) -> None:
        self.end += 1  # the number of no event
        self.first, self.base = self.end, base

    def follow(self, window: Retained) -> None:
        """What was let go of is for the window to decide, in whole versions and oldest first."""
        assert self.first <= window.first <= self.end
        if window.first > self.first:
            last = self.events[window.first - 1].version
            assert self.events[window.first].version > last, "no version is split"
            self.first, self.base = window.first, last
        assert window.base == self.base

    def kept(self) -> list[Event]:
        return [self.events[number] for number in range(self.first, self.end)]

    def after(self, pos: int) -> int | None:
        if pos < self.base:
            return None
        later = (n for n in range(self.first, self.end) if self.events[n].version > pos)
        return next(later, self.end)


# Batches: how far the next entry is from the last, and how many events each of them makes.
BATCH = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), max_size=6)
STEPS = st.lists(st.one_of(BATCH, st.integers(0, 5)), max_size=25)


@given(STEPS, st.integers(1, 20), st.integers(1, 8))
def test_a_window_holds_the_newest_in_whole_versions(
    steps: list[list[tuple[int, int]] | int], room: int, cut_min: int
) -> None:
    """An integer: the state was replaced, so many entries further on."""
    window, model, version = Retained(room * SIZE), Model(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retained, "CUT_MIN", cut_min)
        for step in steps:
            if isinstance(step, int):
                version += step
                window.begin_anew(version)
                model.begin_anew(version)
            else:
                events = []
                for further, count in step:
                    version += further
                    events += [an_event(version)] * count
                window.extend(events)
                model.extend(events)
            model.follow(window)
            agree(window, model, version)


def agree(window: Retained, model: Model, version: int) -> None:
    assert window.events == model.kept()
    assert window.end == model.end
    assert window.bytes == SIZE * len(window.events)
    if window.bytes > 2 * window.bytes_max:
        versions = {event.version for event in window.events}
        assert len(versions) == 1, "more is kept only where one version is so large"
    for pos in range(version + 2):
        assert window.after(pos) == model.after(pos)
    for number in range(-1, model.end + 2):
        assert window.has(number) is (number >= model.first)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(0, 3),
    st.data(),
)
def test_a_piece_is_as_long_as_wanted_and_the_last_version_whole(
    counts: list[int], limit: int, pending: int, data: st.DataObject
) -> None:
    """Walked from any event to `end`, which stands before what has not been told yet."""
    events = [an_event(version) for version, count in enumerate(counts) for _ in range(count)]
    window = Retained(1 << 20)
    window.begin_anew(0)
    window.extend(events + [an_event(len(counts))] * pending)
    end = window.end - pending
    number = data.draw(st.integers(window.first, end))
    walked: list[Event] = []
    while number < end:
        piece = window.some(number, end, limit)
        assert piece, "there is always more"
        number += len(piece)
        walked += piece
        assert len(piece) >= limit or number == end
        wanted = piece[:limit]
        assert all(event.version == wanted[-1].version for event in piece[limit:])
        if number < end:
            assert window.events[number - window.first].version > piece[-1].version
    assert walked == events[len(events) - len(walked) :]


def test_the_window_keeps_the_bytes_of_values_too() -> None:
    window = Retained(4 * SIZE)
    window.extend([an_event(1, b"x" * 9 * SIZE), an_event(2)])
    assert [event.version for event in window.events] == [2]
    assert (window.base, window.bytes) == (1, SIZE)


def test_a_version_that_is_larger_than_the_window_stays() -> None:
    window = Retained(2 * SIZE)
    window.extend([an_event(1)] + [an_event(2)] * 9)
    assert [event.version for event in window.events] == [2] * 9
    assert window.after(0) is None
    assert window.after(1) == window.first


def test_a_number_of_before_is_not_one_of_the_new_window() -> None:
    """Also that of a reader which had been given all there was."""
    window = Retained(1 << 20)
    window.extend([an_event(1)])
    end = window.end
    window.begin_anew(9)
    assert not window.has(end)
    assert window.after(8) is None
    assert window.after(9) == window.end
