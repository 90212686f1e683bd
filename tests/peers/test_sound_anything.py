"""Whatever is said to a node in whichever part: no step fails, and what is committed stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.core.entry import Batch, Dot, Epoch, Origin, Position
from peers.core.membership import Member, Membership, Role
from peers.core.messages import Envelope
from peers.core.sound import why_unsound
from peers.core.state import TERMS_AHEAD_MAX
from peers.errors import WireError
from peers.wire import CODES, decode, encode
from peers.wire_fields import INT_MAX
from tests.peers.sound_stage import (
    AT,
    EPOCH,
    LAST,
    LIFE,
    LIVES,
    NOW,
    PARTS,
    STRANGER,
    TERM,
    A,
    B,
    C,
    batch,
    founding,
    vector_at,
)
from tests.peers.wire_samples import values
from tests.simulation.hostile import Watched

NUMBERS = st.sampled_from(
    [
        *(
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            LIFE,
            AT,
            AT + 900,
            AT + 10_000,
            NOW,
            40,
            INT_MAX,
            INT_MAX - 1,
        ),
        *(1 << 62, 1 << 44, TERMS_AHEAD_MAX, 5 * TERMS_AHEAD_MAX),
    ]
) | st.integers(0, INT_MAX)
TEXTS = st.sampled_from(["a", "b", "c", "z", A.birth, B.birth, C.birth, "", EPOCH.random, "two"])
ORIGINS = st.sampled_from([A, B, C, STRANGER])
EPOCHS = st.sampled_from([EPOCH, Epoch(4, "four", "three"), Epoch(0, ""), Epoch(INT_MAX, "x")])
TIMES = [AT, AT, AT + 5, AT + 900, AT + 90_000, AT - 1, 1 << 50]
POSITIONS = st.sampled_from([LAST, Position(TERM, 4), Position(TERM, 2), Position(0, 0)]) | (
    st.builds(Position, NUMBERS, NUMBERS)
)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    """Some of those who may belong, in whatever role."""
    names = sorted(draw(st.sets(st.sampled_from("abcz"))))
    roles = st.sampled_from(list(Role))
    return Membership(tuple(Member(id, f"birth of {id}", 100, draw(roles)) for id in names))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, ...]:
    """Entries that may well follow what there is, but for what chance has put into them."""
    first = draw(st.sampled_from([7, 7, 7, 5, 3, 2, 1]))
    vector, made = vector_at(first - 1), list[Batch]()
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.integers(0, 9)) == 0:
            made.append(founding(draw(memberships()), first, draw(st.integers(1, 3))))
            first += 1
            continue
        rows = []
        for _ in range(draw(st.integers(1, 3))):
            origin = draw(ORIGINS)
            life, sequence = vector.of(origin)
            dot = Dot(origin, life, sequence + draw(st.sampled_from([1, 1, 1, 1, 0, 2])))
            rows.append((draw(st.sampled_from([dot, None])), b""))
        term, at = draw(st.sampled_from([TERM, TERM, TERM + 1, 1])), draw(st.sampled_from(TIMES))
        made.append(batch(first, vector, *rows, term=term, at=at))
        first += len(rows)
    return tuple(made)


KNOWN: dict[Any, st.SearchStrategy[Any]] = {
    int: NUMBERS,
    bool: st.booleans(),
    str: TEXTS,
    bytes: st.binary(max_size=9),
    Origin: ORIGINS,
    Epoch: EPOCHS,
    Position: POSITIONS,
    Role: st.sampled_from(Role),
    Membership: memberships(),
    tuple[Batch, ...]: batches(),
}
MESSAGES = st.sampled_from(list(CODES)).flatmap(lambda kind: values(kind, KNOWN))


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Of a member or a stranger, mostly to the present life, and in the present epoch."""
    sender = draw(st.sampled_from([A, A, C, C, STRANGER, Origin("c", "another birth")]))
    epoch = draw(st.sampled_from([EPOCH] * 5 + [Epoch(4, "four", EPOCH.random), Epoch(0, "")]))
    life = draw(st.sampled_from([LIFE] * 5 + [0, 1, LIFE + 1]))
    incarnation = draw(st.sampled_from([LIVES.get(sender, 1)] * 5 + [0, 9, INT_MAX]))
    birth = draw(st.sampled_from([B.birth] * 5 + ["", "of another"]))
    return Envelope(sender, incarnation, epoch, B.id, birth, life, draw(MESSAGES))


SAID = st.lists(st.tuples(envelopes(), st.sampled_from([0, 1, 200, 3_000])), max_size=6)


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(said=SAID)
def test_no_step_fails_whatever_is_said(part: str, said: list[tuple[Envelope, int]]) -> None:
    replica, watched, now = PARTS[part](), Watched(), NOW + 60_000
    watched.look(replica)
    for envelope, later in said:
        try:
            come = decode(encode(envelope))
        except (AssertionError, WireError):
            continue  # it cannot be said at all
        now += later
        outputs = [replica.tick(now)]
        if why_unsound(come, replica, now) is None:
            outputs.append(replica.receive(come, now))
        outputs.append(replica.tick(now))
        watched.look(replica)
        for output in outputs:
            for to, birth, life, message in output.send:
                answer = Envelope(B, LIFE, replica.state.epoch, to, birth, life, message)
                assert decode(encode(answer)) == answer, "others could not read that"
