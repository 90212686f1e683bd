"""Whether the other side is still there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tlru.client.pulse import Pulse, Verdict

ASK_AFTER, WITHIN = 15.0, 10.0


def test_a_silence_is_asked_about_and_then_given_up() -> None:
    pulse = Pulse(ASK_AFTER, WITHIN)
    assert pulse.look(heard=0, now=0) == (Verdict.WAIT, 15)
    assert pulse.look(heard=0, now=15) == (Verdict.ASK, 10)
    assert pulse.look(heard=0, now=20) == (Verdict.WAIT, 5)
    assert pulse.look(heard=0, now=25) == (Verdict.GIVE_UP, 0)


def test_any_word_is_an_answer() -> None:
    pulse = Pulse(ASK_AFTER, WITHIN)
    assert pulse.look(heard=0, now=15) == (Verdict.ASK, 10)
    assert pulse.look(heard=16, now=25) == (Verdict.WAIT, 6)
    assert pulse.look(heard=16, now=31) == (Verdict.ASK, 10)


def test_doubt_asks_at_once_and_waits_less() -> None:
    pulse = Pulse(ASK_AFTER, WITHIN)
    assert pulse.ask(within=2, heard=0, now=3) == (Verdict.ASK, 2)
    assert pulse.ask(within=2, heard=0, now=4) == (Verdict.WAIT, 1)
    assert pulse.look(heard=0, now=5) == (Verdict.GIVE_UP, 0)


def test_doubt_never_waits_longer_than_usual() -> None:
    assert Pulse(ASK_AFTER, WITHIN).ask(within=99, heard=0, now=0) == (Verdict.ASK, WITHIN)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pass", "hear", "look", "doubt"]),
            st.floats(0.001, 12),
        ),
        max_size=60,
    )
)
def test_nobody_is_given_up_who_was_heard_or_not_asked(steps: list[tuple[str, float]]) -> None:
    pulse = Pulse(ASK_AFTER, WITHIN)
    now = heard = 0.0
    asked: float | None = None
    for what, amount in steps:
        now += amount
        if what == "hear":
            heard, asked = now, None
        elif what in ("look", "doubt"):
            verdict, wait = pulse.look(heard, now) if what == "look" else pulse.ask(5, heard, now)
            assert wait >= 0
            if verdict is Verdict.ASK:
                asked = now if asked is None else asked
            if verdict is Verdict.GIVE_UP:
                assert asked is not None, "given up without having been asked"
                assert now - asked >= 5
                return
