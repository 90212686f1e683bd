"""What a node tells in its log: slow operations, where a line belongs, and never a secret."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.node.clusters import three
from tests.node.http.visiting import exchange, visit
from tests.running import Talker, a_node, run, talking, until
from tlru import errors, logs
from tlru.node import Node
from tlru.node.slow import LINES_MAX, SlowLog

VALUE = "marker-of-a-value"
KEY = "marker-of-a-key"
TOKEN = "marker-of-a-token-of-enough-letters"
STRANGE = "marker-of-a-strange-field"
MARKERS = ("marker", TOKEN, VALUE.encode().hex())


@contextlib.contextmanager
def heard(form: str = "text") -> Iterator[io.StringIO]:
    """All that every logger of ours says, at every level."""
    page = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, {n: logging.getLogger(n).level for n in logs.OWN}
    logs.setup("debug", form, page)
    root.setLevel(logging.DEBUG)
    # The test's own client is no node.
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
    try:
        yield page
    finally:
        logging.captureWarnings(False)
        root.handlers[:], level, own = before
        root.setLevel(level)
        logging.getLogger("websockets.client").setLevel(logging.NOTSET)
        for name, each in own.items():
            logging.getLogger(name).setLevel(each)


async def talk(client: Talker) -> None:
    """Everything that takes a value, well and badly."""
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("set", {"value": VALUE}),
        ("set", {"value": VALUE, "if": "absent"}),
        ("set", {"value": VALUE, "old": True}),
        ("set", {"value": VALUE, STRANGE: VALUE}),
        ("get", {}),
        ("incr", {}),
        ("delete", {"if": VALUE}),
    )
    for op, fields in asked:
        await ask(client, op, key=KEY, **fields)
    await ask(client, "hello", token=TOKEN)
    await ask(client, "subscribe", prefix=KEY)
    await ask(client, "publish", channel=KEY, value=VALUE)


async def ask(client: Talker, op: str, **fields: Any) -> None:
    """Ask, and wait for the answer among what else the node says."""
    number = next(client.numbers)
    if "value" in fields:
        fields["value"] = client.value(fields["value"])
    await client.send({"id": number, "op": op, **fields})
    while (await client.receive()).get("id") != number:
        pass


async def visits(node: Node) -> None:
    """The same over HTTP, where tokens come in headers."""
    sent = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"t={TOKEN}", "Tlru-Cache": "default"}
    asked: tuple[tuple[str, str, Any], ...] = (
        ("PUT", f"/v1/keys/{KEY}", VALUE),
        ("GET", f"/v1/keys/{KEY}", None),
        ("POST", "/v1/batch", [{"op": "set", "key": KEY, "value": VALUE}, {"op": VALUE}]),
        ("GET", f"/v1/events?pattern={KEY}&ticket={TOKEN}", None),
        ("GET", f"/nothing/{KEY}?token={TOKEN}", None),
        ("PATCH", "/v1/settings", {"max_entries": VALUE, STRANGE: TOKEN}),
        ("POST", "/v1/nodes", {"id": "n9", "token": TOKEN}),
    )
    for method, path, body in asked:
        await visit(node, method, path, headers=sent, json=... if body is None else body)
    for raw in (
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {TOKEN}\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\n{TOKEN} {TOKEN}\r\n\r\n",
        f"{TOKEN}\r\n\r\n",
        f"PUT /v1/keys/a HTTP/1.1\r\nHost: a\r\nContent-Length: {VALUE}\r\n\r\n{VALUE}",
    ):
        await exchange(node, raw.encode())


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_key_or_token_is_in_any_line(form: str) -> None:
    async def scenario() -> None:
        async with three(token=TOKEN, slow_op=1e-6) as made:
            for id in ("n1", "n3"):
                for codec in ("tlru.v1.json", "tlru.v1.msgpack"):
                    async with talking(made[id], codec) as client:
                        await talk(client)
                await visits(made[id])
            await made.stop("n3")

    with heard(form) as page:
        run(scenario())
    said = page.getvalue()
    assert "connection opened" in said
    assert "slow" in said
    assert "http request" in said
    assert "a request could not be read" in said
    assert "admin" in said
    for marker in MARKERS:
        assert marker not in said, next(line for line in said.splitlines() if marker in line)


def test_a_slow_operation_is_told_with_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with a_node(slow_op=0.02) as node, talking(node) as first, talking(node) as second:
            held = await first.ask("lock", name="l", ttl=5)
            waiting = asyncio.ensure_future(second.ask("lock", name="l", ttl=5, wait=5))
            service = node.services["default"]
            await until(lambda: service.writes_waiting)
            await asyncio.sleep(0.03)  # so long is what is slow here
            await first.ask("unlock", name="l", fence=held["fence"])
            assert (await waiting)["held"]
            await second.ask("get", key="a")

    run(scenario())
    (line,) = [record for record in caplog.records if record.name == "tlru.slow"]
    told = vars(line)
    assert (told["op"], told["count"], told["connection"], told["cache"]) == (
        "lock",
        1,
        2,
        "default",
    )
    assert told["ms"] >= 20


def test_slow_lines_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    slow = SlowLog()
    for _ in range(LINES_MAX * 3):
        slow.tell("default", "get", 1.0, 1, {})
    assert len(caplog.records) == LINES_MAX
    slow._window -= 2  # a window later
    slow.tell("default", "get", 1.0, 1, {})
    assert vars(caplog.records[-1])["left_out"] == LINES_MAX * 2


def test_a_line_of_a_request_says_which(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:

            def fails(*_: object) -> None:
                raise RuntimeError("a defect, planted")

            monkeypatch.setattr(node.services["default"], "handle", fails)
            reply = await client.ask("get", key="a")
            assert reply["error"]["code"] == errors.Internal.code

    run(scenario())
    (line,) = [record for record in caplog.records if record.name == "tlru.node.session"]
    assert (vars(line)["connection"], vars(line)["request"]) == (1, 1)
