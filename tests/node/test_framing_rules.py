"""What RFC 6455 says must end a connection ends it, with the code that it names; and what strangers
write on the shared port is never read as two different things."""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
import weakref
from importlib import resources
from pathlib import Path

import pytest

from tests.node.http.visiting import exchange, get, request
from tests.node.test_hostile import frame, shaken
from tests.running import a_node, run, talking, until
from tlru.node.http import connection, scripts
from tlru.node.http import request as requests
from tlru.node.websocket import EMPTY_FRAGMENTS_MAX

CONT, TEXT, CLOSE, PING = 0x0, 0x1, 0x8, 0x9


def unfinished(opcode: int, payload: bytes) -> bytes:
    """A frame that others are to follow."""
    made = bytearray(frame(opcode, payload))
    made[0] &= 0x7F
    return bytes(made)


PUT = b"PUT /v1/keys/a HTTP/1.1\r\nHost: localhost\r\n"


def first_byte(byte: int) -> bytes:
    """A frame that begins so."""
    return bytes([byte, 0x80]) + bytes(4)


MUST_CLOSE = {
    "reserved bit 1": (first_byte(0xC1), 1002),
    "reserved bit 2": (first_byte(0xA1), 1002),
    "reserved bit 3": (first_byte(0x91), 1002),
    **{f"opcode {n:#x}": (first_byte(0x80 | n), 1002) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "unmasked": (b"\x81\x02{}", 1002),
    "long ping": (frame(PING, b"p" * 126), 1002),
    "fragmented ping": (unfinished(PING, b"p"), 1002),
    "text that is not UTF-8": (frame(TEXT, b'{"id":1,"op":"get","key":"\xff"}'), 1007),
    "fragmented text that is not UTF-8": (
        unfinished(TEXT, b'{"id":1,"op":"get","key":"\xce') + frame(CONT, b'x"}'),
        1007,
    ),
    "reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close code {n}": (frame(CLOSE, n.to_bytes(2, "big")), 1002)
        for n in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
    },
    "continuation of nothing": (frame(CONT, b"x"), 1002),
    "message within a message": (unfinished(TEXT, b"[") + frame(TEXT, b"[]"), 1002),
    "fragments of nothing without end": (
        unfinished(TEXT, b"[") + unfinished(CONT, b"") * (EMPTY_FRAGMENTS_MAX + 1),
        1008,
    ),
    "fragments over the limit": (
        unfinished(TEXT, b"[" * 4000) + unfinished(CONT, b"[" * 4000),
        1009,
    ),
}


def test_what_must_end_a_connection_ends_it() -> None:
    """One table, one node, which serves another client all the while."""

    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=1000) as node, talking(node) as other:
            ended = {}
            for name, (sent, _) in MUST_CLOSE.items():
                reader, writer = await shaken(node.port)
                writer.write(sent)
                async with asyncio.timeout(10):
                    head = await reader.readexactly(2)
                    told = await reader.readexactly(head[1])
                ended[name] = int.from_bytes(told[:2], "big") if head[0] == 0x88 else head[0]
                writer.transport.abort()
            assert ended == {name: code for name, (_, code) in MUST_CLOSE.items()}
            assert (await other.ask("ping"))["ok"] is True

    run(scenario())


def test_a_connection_that_broke_the_rules_is_let_go_of_at_once() -> None:
    """What it sent was held until the collector came by: of many bombs, a hundred megabytes."""

    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=1000) as node:
            reader, writer = await shaken(node.port)
            (connection,) = node.connections
            protocol = weakref.ref(connection._protocol)
            gone = connection.gone
            del connection
            writer.write(frame(TEXT, b"x" * 5_000))
            assert (await reader.read())[2:4] == b"\x03\xf1"
            writer.close()
            await gone
            await until(lambda: protocol() is None, within_s=2)

    gc.disable()
    try:
        run(scenario())
    finally:
        gc.enable()


def test_as_many_empty_fragments_as_may_be_make_a_message() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for _ in range(2):
                reader, writer = await shaken(node.port)
                for _ in range(2):  # they are counted for each message
                    writer.write(unfinished(TEXT, b'{"id":1,'))
                    writer.write(unfinished(CONT, b"") * EMPTY_FRAGMENTS_MAX)
                    writer.write(frame(CONT, b'"op":"ping"}'))
                    assert b'"ok":true' in await reader.readuntil(b"}")
                writer.transport.abort()

    run(scenario())


def test_extensions_of_chunks_are_passed_over_and_end_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They count for no body's size: what bounds them is how long a body may take, and nothing of
    them is kept."""
    monkeypatch.setattr(requests, "BODY_WITHIN_S", 0.3)
    monkeypatch.setattr(connection, "LINGER_S", 0.01)
    chunked = PUT + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

    async def scenario() -> None:
        async with a_node() as node:
            answer = await exchange(node, chunked + b'1;a=b;c="d e"\r\n1\r\n0;x\r\n\r\n')
            assert b" 201 " in answer.partition(b"\r\n")[0]
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(chunked + b"1;a=")
            tracemalloc.start()
            try:
                for _ in range(100):  # five megabytes
                    writer.write(b"x" * 50_000)
                    await writer.drain()
                answer = await reader.read()
                assert tracemalloc.get_traced_memory()[1] < 4 << 20
            finally:
                tracemalloc.stop()
            assert answer.split(b" ")[1] == b"408"
            writer.transport.abort()

    run(scenario())


BODY = b"PUT /v1/keys/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    "head",
    [
        PUT + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        PUT + b"Content-Length: 0\r\nContent-Length: 99\r\n\r\n",
        PUT + b"Content-Length: 0, 99\r\n\r\n",
        PUT + b"Content-Length: +0\r\n\r\n",
        PUT + b"Content-Length : 0\r\n\r\n",
        PUT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        PUT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        PUT + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n",
        PUT + b"X: a\r\n Content-Length: 0\r\n\r\n",
        PUT + b"Content-Length: 0\nX: a\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n0\n\r\n",
    ],
)
def test_what_two_readers_could_end_in_two_places_ends_the_connection(head: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            answer = await exchange(node, head + BODY)
            assert answer.startswith(b"HTTP/1.0 400 ")  # which version it was is not known either
            assert answer.count(b"HTTP/1.") == 1
            assert (await get(node, "smuggled")).status == 404

    run(scenario())


UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)


@pytest.mark.parametrize(
    ("path", "more", "answered"),
    [
        (b"/nothing", b"", b"HTTP/1.1 404 "),
        (b"/ws", b"Origin: https://elsewhere.example\r\n", b"HTTP/1.1 403 "),
        (b"/ws", b"Content-Length: %d\r\n" % len(BODY), b"HTTP/1.1 400 "),  # it has a body
        (b"/ws", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 400 "),
        (b"/ws", b"No colon\r\n", b"HTTP/1.1 400 "),
        (b"/ws", b"X: " + b"x" * 9_000 + b"\r\n", b"HTTP/1.1 431 "),
    ],
)
def test_what_follows_a_refused_upgrade_is_read_by_nobody(
    path: bytes, more: bytes, answered: bytes
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            answer = await exchange(node, UPGRADE % (path, more) + BODY)
            assert answer[:13] == answered
            assert answer.count(b"HTTP/1.") == 1
            assert b"application/problem+json" in answer
            assert (await get(node, "smuggled")).status == 404

    run(scenario())


@pytest.mark.parametrize("root", ["/dashboard/", "/js/"])
@pytest.mark.parametrize(
    "path",
    [
        *("../__init__.py", "%2e%2e%2f__init__.py", "%252e%252e%252f__init__.py"),
        *(
            "..%5c__init__.py",
            "..\\__init__.py",
            "index.html%00.css",
            "tlru.js%00",
            "%2fetc%2fpasswd",
        ),
    ],
)
def test_no_path_leads_out_of_the_table_of_files(root: str, path: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            asked = f"GET {root}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer = await exchange(node, asked.encode())
            assert answer.split(b" ")[1] in (b"400", b"404")
            assert b"root:" not in answer

    run(scenario())


def test_a_link_beside_the_files_is_not_followed(tmp_path: Path) -> None:
    """Nor is a file that is put there served: what is, is a table that was read at the start."""
    folder = Path(str(resources.files("tlru") / "js"))
    outside = tmp_path / "outside.js"
    outside.write_text("secret")
    link = folder / f"link-of-a-test-{os.getpid()}.js"

    async def scenario() -> None:
        async with a_node() as node:
            link.symlink_to(outside)
            answer = await exchange(node, request("GET", f"/js/{link.name}"))
            assert answer.split(b" ")[1] == b"404"
            assert b"secret" not in answer
            assert link.name not in scripts.SCRIPTS

    try:
        run(scenario())
    finally:
        link.unlink(missing_ok=True)
