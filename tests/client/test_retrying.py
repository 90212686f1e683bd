"""Whether to ask again after a refusal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tlru.client.requests import Kind, Request, pack_get
from tlru.client.retrying import LOST_MAX, Retries
from tlru.client.settings import Timing
from tlru.errors import (
    Forbidden,
    Internal,
    NoQuorum,
    NotEnoughReplicas,
    RateLimited,
    Timeout,
    TlruError,
    TooOld,
    Unauthenticated,
    Unavailable,
)


def make_request(kind: Kind = Kind.READ, deadline: float = 2.0) -> Request:
    loop = asyncio.new_event_loop()
    try:
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
    finally:
        loop.close()
    return Request(1, future, pack_get(1, "k"), deadline, kind, None)


def make_retries(*, renewable: bool = False) -> Retries:
    return Retries(lambda: 1.0, Timing(), renewable=renewable)


@pytest.mark.parametrize(
    "error",
    [
        NoQuorum("x"),
        Unavailable("x", code="draining"),
        RateLimited("x", after=0.1),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_not_done_is_asked_again(error: TlruError, kind: Kind) -> None:
    assert make_retries().delay(make_request(kind), error, asked=1, now=0.0) is not None


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("x"),
        Internal("x"),
        NotEnoughReplicas("x"),
        TooOld("x"),
        Timeout("x", outcome_known=True),
        Unauthenticated("x"),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize("kind", list(Kind))
def test_what_would_be_the_same_again_or_unknown_is_told(error: TlruError, kind: Kind) -> None:
    assert make_retries().delay(make_request(kind), error, asked=1, now=0.0) is None


def test_only_a_name_can_find_out_what_became_of_a_late_write() -> None:
    late = Timeout("no word from the log in time")
    assert make_retries().delay(make_request(Kind.NAMED), late, asked=1, now=0.0) is not None
    assert make_retries().delay(make_request(Kind.PLAIN), late, asked=1, now=0.0) is None


def test_a_token_that_ran_out_is_renewed_once() -> None:
    retries, request = make_retries(renewable=True), make_request()
    assert retries.delay(request, Unauthenticated("x"), asked=1, now=0.0) is not None
    assert retries.delay(request, Unauthenticated("x"), asked=1, now=0.0) is None


def test_waits_grow_and_obey_after() -> None:
    retries, request = make_retries(), make_request(deadline=99)
    waits = [retries.delay(request, NoQuorum("x"), asked=1, now=0.0) for _ in range(3)]
    assert waits == pytest.approx([0.1, 0.2, 0.4])
    late = retries.delay(request, RateLimited("x", after=3), asked=1, now=0.0)
    assert late == pytest.approx(3.8)


def test_who_would_not_be_waiting_any_more_is_told_now() -> None:
    request = make_request(deadline=2.0)
    assert make_retries().delay(request, RateLimited("x", after=3), asked=1, now=0.0) is None


def test_retries_end_with_their_budget() -> None:
    retries = make_retries()
    granted = [
        retries.delay(make_request(), NoQuorum("x"), asked=20, now=0.0) is not None
        for _ in range(30)
    ]
    assert granted == [True] * 12 + [False] * 18, "ten to begin with, and a tenth of twenty"


def test_a_broken_connection_is_repeated_for_free_once() -> None:
    retries = make_retries()
    requests = [make_request() for _ in range(100)]
    assert all(retries.repeat(request, asked=0, now=0.0) for request in requests)
    again = [retries.repeat(request, asked=0, now=0.0) for request in requests]
    assert sum(again) == 10


def test_a_request_that_connections_die_of_is_given_up() -> None:
    retries, request = make_retries(), make_request()
    granted = [retries.repeat(request, asked=0, now=0.0) for _ in range(5)]
    assert granted == [True] * LOST_MAX + [False] * (5 - LOST_MAX)
