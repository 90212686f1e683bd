"""Late answers, since other nodes had to be asked, cost a node little where nobody reads them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.cluster.cluster import ClusterLog
from peers.core.entry import Dot
from tests.client.nodes import cluster_of
from tests.node.test_knocking import of_three_classes, welcomed
from tests.running import a_node, run, talking, until
from tlru.errors import TlruError, Unavailable
from tlru.node.asker import OneByOne
from tlru.node.outgoing import OUT_BYTES_MAX, SLICE_BYTES, Outgoing
from tlru.node.session import Session
from tlru.node.websocket import WebSocketConnection
from tlru.wire.codec import JsonCodec
from tlru.wire.limits import Limits
from tlru.wire.pushes import Push

LARGE = "x" * 300_000
ASKED = 60  # as many as may wait for other nodes at a time


class Line:
    """Carries so many bytes, and then nothing until it is emptied."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.full: Any = None

    def write(self, messages: list[bytes]) -> None:
        """Take them all, whatever they are; from now on it is full."""
        self.written += messages
        self.full()

    def write_push(self, push: Push) -> None:
        """Take that too."""
        self.written.append(push.message)

    def close(self, code: int, reason: str) -> None:
        """Nobody does."""

    def flush_later(self) -> None:
        """The test flushes."""

    def read_on(self, on: bool) -> None:
        """Nobody speaks."""


def test_what_nobody_reads_is_held_back_as_it_is_and_said_in_its_order() -> None:
    line = Line()
    outgoing = Outgoing(JsonCodec(Limits()), line, 1 << 18)

    def is_full() -> None:
        outgoing.blocked = True

    line.full = is_full
    for number in range(50):
        outgoing.say({"id": number, "value": LARGE})
    assert len(line.written) == 1
    assert outgoing.bytes == 0
    for _ in range(49):
        assert outgoing.held_back
        outgoing.blocked = False
        outgoing.say_one()
    assert [b'"id":%d,' % n in data for n, data in enumerate(line.written)] == [True] * 50
    assert not outgoing.held_back


def test_of_what_comes_out_of_turn_little_is_encoded_at_once() -> None:
    line = Line()
    outgoing = Outgoing(JsonCodec(Limits()), line, 1 << 18)
    line.full = lambda: None
    for number in range(10):
        outgoing.say({"id": number, "value": "x" * 20_000}, late=True)
    assert SLICE_BYTES <= outgoing.bytes < SLICE_BYTES + 20_100
    outgoing.write()
    said = 4
    while outgoing.held_back:
        outgoing.say({"id": 10, "value": ""}) if said == 6 else None
        outgoing.say_one()
        said += 1
    outgoing.write()
    assert [line.written[-1].count(b'"id"'), said] == [7, 11], "what came later goes after it"


@pytest.mark.parametrize("how", [{"read": "linear"}, {"touch": 60_000}])
def test_late_answers_that_are_not_read_are_not_made_and_come_once_they_are(
    how: dict[str, Any],
) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as writer, talking(node) as slow:
            assert (await writer.ask("set", key="large", value=LARGE))["ok"]
            slow.socket.transport.pause_reading()
            await slow.send(*({"id": n, "op": "get", "key": "large", **how} for n in range(ASKED)))
            sessions = [c.session for c in node.connections if c.session is not None]
            await until(lambda: any(s.stalled and s.waits == 0 for s in sessions))
            assert (await writer.ask("set", key="other", value=1))["ok"], "nobody else is held up"
            unsent = max(each.unsent for each in node.connections)
            assert unsent < 2 * len(LARGE) + OUT_BYTES_MAX
            slow.socket.transport.resume_reading()
            seen = [(await slow.receive())["id"] for _ in range(ASKED)]
            assert sorted(seen) == list(range(ASKED))
            assert not any(s.stalled for s in sessions)
            assert (await slow.ask("subscribe", key="other"))["ok"]

    run(scenario())


@pytest.mark.parametrize("client_class", ["critical", "default", "bulk"])
def test_more_late_answers_than_one_turn_takes_requests_are_all_given(
    client_class: str, tmp_path: Path
) -> None:
    """A message of more touching reads than a session may ask in a turn: none of its slices does
    nothing, and all are answered."""
    file, tokens = of_three_classes(tmp_path)
    idle: list[int] = []

    async def scenario() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as client:
            await welcomed(node, client, tokens[client_class])
            assert (await client.ask("set", key="large", value="x" * 70_000))["ok"]
            assert (await client.ask("set", key="small", value=1))["ok"]
            with _watching_slices(idle):
                await client.send(
                    *(
                        {"id": n, "op": "get", "key": "small" if n else "large", "touch": 60_000}
                        for n in range(700)
                    )
                )
                ids = [(await client.receive())["id"] for _ in range(700)]
            assert sorted(ids) == list(range(700))
            assert len(idle) < 100

    run(scenario())


@contextlib.contextmanager
def _watching_slices(idle: list[int]) -> Iterator[None]:
    """Note the slices in which nothing was taken or said."""
    take_slice = Session._take_slice

    def watched(self: Session, rank: int) -> bool:
        before = self.requests + self._outgoing.said_bytes
        more = take_slice(self, rank)
        if more and before == self.requests + self._outgoing.said_bytes:
            idle.append(rank)
            assert len(idle) < 1_000, "it goes round and round"
        return more

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_take_slice", watched)
        yield


def test_a_slice_ends_also_where_nobody_is_more_important_and_the_client_reads_fast() -> None:
    taken: list[int] = []
    take_slice = Session._take_slice

    def counted(self: Session, rank: int) -> bool:
        before = self.requests
        more = take_slice(self, rank)
        taken.append(self.requests - before)
        return more

    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            assert (await client.ask("set", key="large", value=LARGE))["ok"]
            await client.send(*({"id": n, "op": "get", "key": "large"} for n in range(100)))
            for _ in range(100):
                await client.receive()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_take_slice", counted)
        patch.setattr(WebSocketConnection, "pause_writing", lambda self: None)  # it reads fast
        run(scenario())
    assert sum(taken) >= 100
    assert max(taken) <= OUT_BYTES_MAX // len(LARGE) + 1


def test_small_late_answers_count_together() -> None:
    line = Line()
    line.full = lambda: None
    outgoing = Outgoing(JsonCodec(Limits()), line, 1 << 18)
    for number in range(1_000):
        outgoing.say({"id": number, "value": "x" * 1_000}, late=True)
    written = sum(map(len, line.written)) + outgoing.bytes
    assert SLICE_BYTES <= written < SLICE_BYTES + 1_100


def test_a_list_of_servers_and_a_goodbye_do_not_wait_for_answers() -> None:
    line = Line()
    line.full = lambda: None
    outgoing = Outgoing(JsonCodec(Limits()), line, 1 << 18)
    outgoing.blocked = True
    outgoing.say({"id": 1})
    outgoing.say({"push": "goaway"})
    outgoing.write()
    assert b"goaway" in line.written[0]
    assert outgoing.held_back


def test_the_end_of_a_feed_comes_after_the_answer_that_began_it() -> None:
    line = Line()
    line.full = lambda: None
    outgoing = Outgoing(JsonCodec(Limits()), line, 1 << 18)
    outgoing.blocked = True
    outgoing.say({"id": 1, "feed": 7})
    outgoing.hold(Push(b"the end", 1, final=True))
    outgoing.blocked = False
    outgoing.say_all()
    assert [b'"feed":7' in line.written[0], *line.written[1:]] == [True, b"the end"]


def test_linear_reads_of_who_is_gone_are_given_up_and_those_of_a_stopped_node_refused() -> None:
    async def scenario() -> None:
        async with cluster_of("n1", "n2", "n3") as nodes:
            node = nodes["n1"]
            reads = node.services["default"].reads
            with pytest.MonkeyPatch.context() as patch:
                never = asyncio.get_running_loop().create_future()
                patch.setattr(ClusterLog, "read_barrier", lambda self: asyncio.shield(never))
                async with talking(node) as gone:
                    await gone.send(
                        *({"id": n, "op": "get", "key": "k", "read": "linear"} for n in range(20))
                    )
                    await until(lambda: reads.waiting >= 20)
                await until(lambda: not reads.waiting)
                assert not reads._asking
                async with talking(node) as client:
                    await client.send({"id": 1, "op": "get", "key": "k", "read": "linear"})
                    await until(lambda: reads.waiting)
                    reads.refuse_all(Unavailable("the node stops", code="draining"))
                    assert (await client._reply())["error"]["code"] == "draining"
                    (session,) = [c.session for c in node.connections if c.session is not None]
                    await until(lambda: session.waits == 0)
                never.cancel()

    run(scenario())


def test_who_was_answered_just_now_is_not_refused_besides() -> None:
    """Between the end of a read and word of it to whoever counts them."""
    told: list[Any] = []

    class Answered(OneByOne):
        def __init__(self) -> None:
            self.waiting: dict[Dot, str] = {}
            self.waits = self.push_bytes = 0

        def refuse(self, request: int | None, error: TlruError) -> None:
            told.append((request, error))

    async def scenario() -> None:
        async with a_node() as node:
            reads = node.services["default"].reads
            done = asyncio.create_task(asyncio.sleep(0))
            await done
            reads._barriers[done] = Answered(), 1
            reads.refuse_all(Unavailable("the node stops", code="draining"))
            del reads._barriers[done]
            assert told == []

    run(scenario())
