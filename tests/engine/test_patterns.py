"""Patterns: what they match, and that whoever asked is found, nobody else, and each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tlru.engine.events import Event, EventType
from tlru.engine.items import RESERVED
from tlru.engine.patterns import Kind, Pattern, Watched

TEXTS = st.text("ab", max_size=3) | st.sampled_from(
    [RESERVED, "_tlru", "_", "ä", "aä", "\U0001f600"]
)
PATTERNS = st.builds(Pattern, st.sampled_from(Kind), TEXTS)
EVENTS = st.builds(
    lambda kind, key: Event(kind, key, 1, 1), st.sampled_from(list(EventType)), TEXTS
)


class Watching(RuleBasedStateMachine):
    """Some come and go; after each, everything that may happen is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: Watched[int] = Watched()
        self.who: list[tuple[Pattern, int]] = []
        self.came = 0

    @rule(pattern=PATTERNS)
    def come(self, pattern: Pattern) -> None:
        """Also one who asks for the same as another."""
        self.came += 1
        self.who.append((pattern, self.came))
        self.watched.add(*self.who[-1])

    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        if self.who:
            place = data.draw(st.integers(0, len(self.who) - 1))
            self.watched.remove(*self.who.pop(place))

    @rule(event=EVENTS)
    def happen(self, event: Event) -> None:
        wanted = sorted(number for pattern, number in self.who if pattern.matches(event))
        assert sorted(self.watched.of(event)) == wanted

    @invariant()
    def nothing_is_kept_of_those_who_left(self) -> None:
        for index in (self.watched._keys, self.watched._channels):
            kept = {len(text) for text in index._prefixes}
            assert set(index._lengths) == kept
            assert all(index._prefixes.values())
            assert all(index._whole.values())


test_whoever_asked_is_found = Watching.TestCase


KEYS = [a + b + c for a in ("", "a", "b") for b in ("", "a", "b") for c in ("", "a", "b")]


@given(st.sampled_from(KEYS), st.sampled_from(KEYS), st.booleans())
def test_a_clear_goes_to_every_pattern_that_may_overlap(
    cleared: str, text: str, whole: bool
) -> None:
    pattern = Pattern(Kind.KEY if whole else Kind.PREFIX, text)
    ends = ("", "a", "b", "aa", "ab", "ba", "bb", "aaa")
    mine = [text] if whole else [text + end for end in ends] + [cleared + end for end in ends]
    mine = [key for key in mine if key == text or (not whole and key.startswith(text))]
    overlaps = any(key.startswith(cleared) for key in mine)
    assert pattern.matches(Event(EventType.CLEAR, cleared, 1, 1)) is overlaps


@pytest.mark.parametrize(
    ("short", "pattern"),
    [
        ("price:EUR", Pattern(Kind.KEY, "price:EUR")),
        ("price:*", Pattern(Kind.PREFIX, "price:")),
        ("*", Pattern(Kind.PREFIX, "")),
        ("#news", Pattern(Kind.CHANNEL, "news")),
        ("#news:*", Pattern(Kind.CHANNEL_PREFIX, "news:")),
        ("#*", Pattern(Kind.CHANNEL_PREFIX, "")),
        ("a*b", Pattern(Kind.KEY, "a*b")),
        ("a#b", Pattern(Kind.KEY, "a#b")),
        ("##", Pattern(Kind.CHANNEL, "#")),
        ("**", Pattern(Kind.PREFIX, "*")),
    ],
)
def test_the_shorthand_says_the_pattern_and_back(short: str, pattern: Pattern) -> None:
    assert Pattern.parse(short) == pattern
    assert str(pattern) == short


@given(EVENTS)
def test_what_the_cluster_keeps_for_itself_concerns_nobody(event: Event) -> None:
    event = event._replace(key=RESERVED + event.key)
    watched: Watched[int] = Watched()
    everything = (
        Pattern(Kind.PREFIX, ""),
        Pattern(Kind.PREFIX, RESERVED),
        Pattern(Kind.KEY, event.key),
    )
    for number, pattern in enumerate(everything):
        watched.add(pattern, number)
        assert not pattern.matches(event)
    assert list(watched.of(event)) == []


def test_a_message_and_a_key_of_one_name_are_two_things() -> None:
    key, channel = Pattern.parse("a"), Pattern.parse("#a")
    message, written = Event(EventType.MESSAGE, "a", 1, 1), Event(EventType.SET, "a", 1, 1)
    assert (key.matches(written), channel.matches(written)) == (True, False)
    assert (key.matches(message), channel.matches(message)) == (False, True)
