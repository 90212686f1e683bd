"""Large answers and large events let more important clients in between: judged by order alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.target import FINAL, Target, frame
from tests.node.http.streams import listening
from tests.node.test_knocking import _nobody_is_refused as _nobody_is_refused
from tests.node.test_knocking import of_three_classes, pytestmark, welcomed
from tests.running import Talker, a_node, run, talking, until
from tlru.engine.events import Event
from tlru.node.http.event_stream import EventStream
from tlru.node.outgoing import SLICE_BYTES
from tlru.node.server import Node
from tlru.node.session import Session
from tlru.node.turns import Turns
from tlru.node.websocket import WebSocketConnection

__all__ = ["pytestmark"]

LARGE = "x" * 100_000


def test_large_answers_leave_one_by_one_where_somebody_more_important_may_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, tokens = of_three_classes(tmp_path)
    seen: list[int] = []  # bytes that were written, 0 for a look whether somebody has come
    took, write = Turns.took, WebSocketConnection.write

    def look(self: Turns, rank: int, seconds: float, *, large: bool = False) -> None:
        seen.extend([0] * (rank == 2))
        took(self, rank, seconds, large=large)

    def written(self: WebSocketConnection, messages: list[bytes]) -> None:
        seen.append(sum(map(len, messages)))
        write(self, messages)

    async def test() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as bulk:
            await welcomed(node, bulk, tokens["bulk"])
            assert (await bulk.ask("set", key="large", value=LARGE))["ok"]
            asked: list[dict[str, Any]] = [
                {"id": n, "op": "get", "key": "large"} for n in range(20)
            ]
            async with talking(node) as critical:
                await welcomed(node, critical, tokens["critical"])
                monkeypatch.setattr(Turns, "took", look)
                monkeypatch.setattr(WebSocketConnection, "write", written)
                await bulk.send(*asked)
                assert [(await bulk.receive())["id"] for _ in asked] == list(range(20))
        assert sum(seen) > 20 * len(LARGE)
        assert max(seen) < SLICE_BYTES + len(LARGE) + 1_000
        large = [at for at, size in enumerate(seen) if size > SLICE_BYTES]
        assert [seen[at + 1 : at + 2] for at in large] == [[0]] * len(large), "then there is a look"

    run(test())


@contextlib.asynccontextmanager
async def _watched(node: Node, token: str) -> AsyncIterator[list[list[Any]]]:
    """Ten of the least class who watch everything, half of them by HTTP; what each was told."""
    told: list[list[Any]] = []

    async def by_socket(talker: Talker, mine: list[Any]) -> None:
        while True:
            mine += (await talker.receive()).get("events", ())

    async def by_stream(stream: Any, mine: list[Any]) -> None:
        while True:
            mine += await stream.events(1)

    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for number in range(10):
            told.append([])
            if number % 2:
                talker = await stack.enter_async_context(talking(node))
                await welcomed(node, talker, token)
                assert (await talker.ask("subscribe", pattern="*"))["ok"]
                tasks.append(asyncio.create_task(by_socket(talker, told[-1])))
            else:
                stream = await stack.enter_async_context(
                    listening(node, "pattern=*", Authorization=f"Bearer {token}")
                )
                tasks.append(asyncio.create_task(by_stream(stream, told[-1])))
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()


def test_a_large_event_is_told_to_the_less_important_after_whoever_knocked_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, tokens = of_three_classes(tmp_path)
    order: list[str] = []

    async def test() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as writer:
            await welcomed(node, writer, tokens["default"])
            critical = Target(node.port, tokens["critical"], 60.0)
            knock_in, knock_out = await critical.socket()
            async with _watched(node, tokens["bulk"]) as told:
                _note(monkeypatch, order)

                def knock(events: Sequence[Event]) -> None:
                    if any(event.key == "large" for event in events):
                        knock_out.write(frame(FINAL | 1, b'{"id":1,"op":"ping"}'))

                node.services["default"].listen(knock)
                assert (await writer.ask("set", key="large", value=LARGE))["ok"]
                assert (await writer.ask("set", key="small", value=1))["ok"]
                await until(lambda: all(len(each) >= 2 for each in told))
                await knock_in.readexactly(2)
                for each in told:
                    assert [event["key"] for event in each] == ["large", "small"]
                first = order.index("ping")
                assert order[:first].count("told") < 10, "the rest came after the knock"
                assert order.count("told") >= 10
            critical.drop_all()

    run(test())


def _note(monkeypatch: pytest.MonkeyPatch, order: list[str]) -> None:
    """Note in which order large events are told, and what was asked is taken."""
    for kind in (Session, EventStream):
        deliver = kind.deliver

        def told(self: Any, push: Any, deliver: Any = deliver) -> bool:
            if push.size > len(LARGE):
                order.append("told")
            return bool(deliver(self, push))

        monkeypatch.setattr(kind, "deliver", told)
    take = Session._take

    def taken(self: Session, message: Any) -> None:
        if isinstance(message, dict) and message.get("op") == "ping":
            order.append("ping")
        take(self, message)

    monkeypatch.setattr(Session, "_take", taken)
