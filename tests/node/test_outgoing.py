"""Late answers, since other nodes had to be asked, cost a node little where nobody reads them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import a_node, run, talking, until
from tlru.node.outgoing import OUT_BYTES_MAX, SLICE_BYTES, Outgoing
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
        """There are none."""

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
