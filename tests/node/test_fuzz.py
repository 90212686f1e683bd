"""Whatever a client sends, it gets the protocol's answer, and the node goes on.

Requests are made from the table of operations and then bent; frames and bytes, from nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from tests.running import CODECS, Talker, a_node, run, talking
from tlru.node import Node
from tlru.wire.requests import OPS

CODES = {
    "already_subscribed",
    "bad_request",
    "forbidden",
    "no_quorum",
    "not_integer",
    "out_of_range",
    "overloaded",
    "syncing",
    "too_large",
    "too_old",
    "unknown_op",
    "wrong_epoch",
}
FRAMING = {1002, 1003, 1007, 1009}

fuzzing = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)

NAMES = sorted({name for op in OPS.values() for name in op.fields} | {"op", "id", "command", ""})
NUMBERS = st.integers(-(2**65), 2**65) | st.floats(allow_nan=True)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | st.just("k" * 2_000)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6)
SENSIBLE = st.fixed_dictionaries(
    {"op": st.sampled_from(sorted(OPS)), "key": st.sampled_from(["a", "b", "_tlru/x"])},
    optional={
        "value": ANYTHING,
        "ttl": st.sampled_from([0.001, 5, 1e9, -1]),
        "if": st.sampled_from(["absent", "present", 3, {"unchanged": 2}, {"unchanged": -1}]),
        "rev": st.sampled_from([1, 2, "a", "b", None, 1.5]),
        "once": st.sampled_from([{"session": "s", "n": 1, "at": 0}, {"session": "s"}]),
        "ack": st.sampled_from(["none", "leader", "quorum", "all", "most"]),
        "name": st.just("lock"),
        "by": st.sampled_from([1, -1, 2**52, 2**60]),
    },
)
REQUESTS = st.lists(SENSIBLE | FIELDS, min_size=1, max_size=12)


def as_json(message: Any) -> bytes:
    """JSON text of a message, with what strict JSON cannot say left to the node to refuse."""
    return json.dumps(message).encode()


def as_msgpack(message: Any) -> bytes:
    """msgpack of a message; integers that it cannot say become floats."""

    def bent(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: bent(each) for key, each in part.items()}
        if isinstance(part, list):
            return [bent(each) for each in part]
        if isinstance(part, int) and not -(2**63) <= part < 2**64:
            return float(part)
        return part

    data: bytes = msgpack.packb(bent(message))
    return data


async def still_serves(node: Node) -> None:
    """The node answers a newcomer."""
    async with talking(node) as newcomer:
        assert (await newcomer.ask("ping"))["ok"] is True


async def answers_until(client: Talker, number: int) -> list[Any]:
    """What comes, up to the reply with that id."""
    answers: list[Any] = []
    while True:
        answer = await client.receive()
        if answer.get("id") == number:
            return answers
        answers.append(answer)


@given(requests=REQUESTS, codec=st.sampled_from(CODECS))
@fuzzing
def test_every_request_gets_an_answer_of_the_protocol(requests: list[Any], codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            for number, request in enumerate(requests):
                if "id" not in request:
                    request["id"] = number
                if request.get("op") == "lock":
                    request.pop("wait", None)
                request.pop("timeout", None)
                request.pop("min", None)
            encode = as_msgpack if client.binary else as_json
            separator = b"" if client.binary else b"\n"
            await client.send_bytes(separator.join(map(encode, requests)))
            last = 2**52
            await client.send({"id": last, "op": "ping"})
            for answer in await answers_until(client, last):
                if "command" in answer:
                    continue
                assert isinstance(answer["ok"], bool)
                assert answer["id"] is None or isinstance(answer["id"], int)
                if not answer["ok"]:
                    error = answer["error"]
                    assert error["code"] in CODES, error
                    assert error["message"]
                    assert len(error["message"]) < 2_000
            await still_serves(node)

    run(scenario())


@given(data=st.binary(max_size=300), codec=st.sampled_from(CODECS))
@fuzzing
def test_any_bytes_in_a_frame_are_answered_or_close_the_connection(data: bytes, codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            await client.socket.send(data, text=not client.binary)
            last = 2**52
            try:
                await client.send({"id": last, "op": "ping"})
                answers = await answers_until(client, last)
            except ConnectionClosed:
                assert client.socket.close_code in FRAMING
            else:
                assert all(not answer["ok"] for answer in answers), "noise is no request"
            await still_serves(node)

    run(scenario())


@given(head=st.binary(max_size=40), tail=st.binary(max_size=200), upgrade=st.booleans())
@fuzzing
def test_any_bytes_on_the_port_leave_the_node_serving(
    head: bytes, tail: bytes, upgrade: bool
) -> None:
    async def scenario() -> None:
        async with a_node(hello_s=0.2) as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            if upgrade:
                writer.write(
                    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    b"Sec-WebSocket-Version: 13\r\n\r\n"
                )
            writer.write(head + b"\r\n\r\n" + tail)
            writer.write_eof()
            await reader.read()  # to the end: the node lets go of it by itself
            writer.close()
            await still_serves(node)

    run(scenario())


def test_a_frame_that_claims_four_gigabytes_allocates_nothing() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            before = _peak_kib()
            for opcode in (0x81, 0x82, 0x01):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                writer.write(
                    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    b"Sec-WebSocket-Version: 13\r\n\r\n"
                )
                await reader.readuntil(b"\r\n\r\n")
                writer.write(bytes([opcode, 0xFF]) + (2**32).to_bytes(8, "big") + bytes(4))
                frame = await reader.read(1024)
                assert frame[0] == 0x88, "a close frame"
                assert int.from_bytes(frame[2:4], "big") == 1009
                writer.close()
            assert _peak_kib() - before < 64 << 10
            await still_serves(node)

    run(scenario())


def _peak_kib() -> int:
    """The most memory that this process ever had, in KiB."""
    with open(f"/proc/{os.getpid()}/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1])
