"""What the next message holds: in order, within the limits, and nothing that nobody waits for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.client.connection import Connection, Limits
from tlru.client.framing import Framing
from tlru.client.opening import Greeter
from tlru.client.outbox import COMPACT_AT, MESSAGE_BYTES_MIN, Outbox
from tlru.client.requests import Kind, Rare, Request, pack_fields
from tlru.client.session import Session
from tlru.client.settings import Timing
from tlru.errors import TooLarge, UnknownOutcome, WrongEpoch


class Bench:
    """An outbox, and a connection that is never opened: only its limits and lists matter."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.session = Session()
        self.session.enter("1-a")
        self.outbox = Outbox(self.session)
        self.connection = self.connect()
        self.asked = 0

    def connect(self, **limits: int) -> Connection:
        framing = Framing("ws://127.0.0.1:1/ws", 1 << 20)
        greeter = Greeter(self.loop.create_future())
        connection = Connection("ws://x/ws", framing, greeter, self.loop, Timing())
        connection.limits = Limits(**limits)
        return connection

    def ask(self, size: int = 0, kind: Kind = Kind.READ, rare: Rare | None = None) -> Request:
        self.asked += 1
        fields = {"id": self.asked, "op": "x", "pad": bytes(size)}
        future: asyncio.Future[dict[str, Any]] = self.loop.create_future()
        request = Request(self.asked, future, pack_fields(fields), math.inf, kind, rare)
        self.outbox.queue.append(request)
        return request

    def take(self, connection: Connection | None = None) -> list[dict[str, Any]]:
        parts = self.outbox.take(connection or self.connection, now=0.0)
        return [msgpack.unpackb(part) for part in parts]

    def error(self, request: Request) -> BaseException | None:
        return request.future.exception()


@contextmanager
def bench() -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    try:
        yield Bench(loop)
    finally:
        loop.close()


@given(
    st.lists(st.integers(0, 3000), max_size=40),
    st.integers(1, 10),
    st.integers(1, 30),
    st.integers(1, 4000),
    st.sets(st.integers(0, 39)),
)
def test_every_request_leaves_once_in_order_within_the_limits(
    sizes: list[int], batch: int, in_flight: int, message_bytes: int, cancelled: set[int]
) -> None:
    with bench() as b:
        requests = [b.ask(size) for size in sizes]
        for index in cancelled & set(range(len(requests))):
            requests[index].future.cancel()
        connection = b.connect(batch=batch, in_flight=in_flight, message_bytes=message_bytes)
        left: list[int] = []
        while parts := b.outbox.take(connection, now=0.0):
            assert len(parts) <= batch
            assert sum(map(len, parts)) <= message_bytes
            assert len(connection.unanswered) <= in_flight
            numbers = [msgpack.unpackb(part)["id"] for part in parts]
            left += numbers
            for number in numbers:
                del connection.unanswered[number]
        expected = []
        for index, request in enumerate(requests):
            if index in cancelled:
                continue
            if len(request.payload) > message_bytes:
                assert isinstance(b.error(request), TooLarge)
            else:
                expected.append(request.number)
        assert left == expected
        assert not b.outbox.queue


def test_there_is_no_more_than_the_node_takes_at_once() -> None:
    with bench() as b:
        for _ in range(5):
            b.ask()
        connection = b.connect(in_flight=3)
        assert [each["id"] for each in b.take(connection)] == [1, 2, 3]
        assert b.take(connection) == []
        del connection.unanswered[2]
        assert [each["id"] for each in b.take(connection)] == [4]


def test_a_read_says_how_far_it_must_be_only_where_that_is_not_known() -> None:
    """A node that answered with a position is there; one that has not is told where to be."""
    with bench() as b:
        b.session.saw("1-a", pos=5, time=50, now=0)
        b.ask()
        (asked,) = b.take()
        assert asked["min"] == {"epoch": "1-a", "pos": 5, "time": 50}
        assert asked["timeout"] == 3600
        b.ask().deadline = 3.0
        assert b.take()[0]["timeout"] == 1.5, "the other half is for asking elsewhere"
        b.connection.pos, b.connection.time = 5, 50
        b.ask()
        b.ask(kind=Kind.ASK)
        assert all("min" not in each for each in b.take())
        b.connection.time = 49
        b.ask(kind=Kind.ASK)
        b.ask(kind=Kind.PLAIN)
        assert all("min" not in each for each in b.take()), "there is none to these"


def test_a_named_write_keeps_its_name_when_it_is_sent_again() -> None:
    with bench() as b:
        request = b.ask(kind=Kind.NAMED)
        b.session.saw("1-a", pos=1, time=1000, now=0)
        (first,) = b.take()
        assert first["once"]["n"] == 1
        assert first["once"]["at"] == 1000
        b.session.saw("1-a", pos=1, time=9000, now=0)
        b.outbox.put_back([request])
        assert b.take(b.connect()) == [first]
        b.outbox.let_go(request)
        b.ask(kind=Kind.NAMED)
        assert b.take()[0]["once"] == {**first["once"], "n": 2, "at": 9000, "done": 1}


def test_what_was_sent_in_vain_comes_before_what_was_not_sent() -> None:
    with bench() as b:
        first, second = b.ask(), b.ask()
        b.take()
        b.ask()
        b.outbox.put_back([first, second])
        assert [each["id"] for each in b.take(b.connect())] == [1, 2, 3]


def test_a_condition_of_another_epoch_is_not_sent() -> None:
    with bench() as b:
        request = b.ask(kind=Kind.PLAIN, rare=Rare("1-a", bound=True))
        b.session.enter("2-b")
        assert b.take() == []
        assert isinstance(b.error(request), WrongEpoch)


def test_a_named_write_does_not_cross_into_another_epoch() -> None:
    """It was sent in the other one, so what became of it there is not known."""
    with bench() as b:
        request = b.ask(kind=Kind.NAMED)
        b.take()
        request.history().lost += 1
        b.outbox.put_back([request])
        b.session.enter("2-b")
        assert b.take(b.connect()) == []
        assert isinstance(b.error(request), UnknownOutcome)


def test_a_write_that_never_left_may_go_to_any_epoch() -> None:
    with bench() as b:
        b.ask(kind=Kind.NAMED)
        b.ask(kind=Kind.PLAIN)
        b.session.enter("2-b")
        assert len(b.take()) == 2


def test_a_message_that_was_too_large_for_somebody_is_split() -> None:
    with bench() as b:
        for _ in range(4):
            b.ask(size=3000)
        assert len(b.take(b.connect())) == 4
        b.outbox.split(sent_largest=12_000)
        for _ in range(4):
            b.ask(size=3000)
        connection = b.connect()
        assert [len(b.take(connection)) for _ in range(4)] == [1, 1, 1, 1]
        b.outbox.split(sent_largest=10)
        b.ask(size=MESSAGE_BYTES_MIN + 1)
        assert len(b.take(connection)) == 1, "one request is never split"


@pytest.mark.parametrize("alive", [0, 1, COMPACT_AT])
def test_a_long_outage_does_not_collect_the_departed(alive: int) -> None:
    with bench() as b:
        waiting = [b.ask() for _ in range(alive)]
        for _ in range(3 * COMPACT_AT):
            b.ask().future.cancel()
            b.outbox.compact()
        assert len(b.outbox.queue) <= max(COMPACT_AT, 2 * alive + COMPACT_AT)
        assert [each["id"] for each in b.take()] == [request.number for request in waiting][:1024]
