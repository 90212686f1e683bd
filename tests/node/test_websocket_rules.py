"""What RFC 6455 and RFC 7692 oblige a server to, by our own reading of them: a table of what must
be taken, one of goodbyes, one of handshakes, and one of what compression may be asked for.

What must end a connection is in `test_framing_rules.py`; what may be offered, in `test_deflate.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping

import pytest

from tests.node.test_framing_rules import CLOSE, CONT, PING, TEXT, unfinished
from tests.node.test_hostile import frame, shaken
from tests.running import PATIENCE_S, a_node, run

PONG = 0xA
ASK = b'{"id":1,"op":"ping"}'
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# 4.2.2: what is hashed with the key.
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def heard(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The node's next frame: its opcode and payload. None of a server's is masked (5.1)."""
    async with asyncio.timeout(PATIENCE_S):
        first, second = await reader.readexactly(2)
        assert first & 0x70 == 0, "a reserved bit without an extension"
        assert not second & 0x80, "a server's frame with a mask"
        size = second
        if second == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        return first & 0x0F, await reader.readexactly(size)


# 5.4, 5.5, 5.6: what is sent, and the opcodes that must come back for it.
TAKEN = {
    "whole": (frame(TEXT, ASK), [TEXT]),
    "in fragments": (unfinished(TEXT, ASK[:5]) + frame(CONT, ASK[5:]), [TEXT]),
    "an empty fragment at either end": (
        unfinished(TEXT, b"") + unfinished(CONT, ASK) + frame(CONT, b""),
        [TEXT],
    ),
    "a ping between fragments": (
        unfinished(TEXT, ASK[:5]) + frame(PING, b"now") + frame(CONT, ASK[5:]),
        [PONG, TEXT],
    ),
    "a pong that nobody asked for": (frame(PONG, b"?") + frame(TEXT, ASK), [TEXT]),
    "a ping as long as may be": (frame(PING, b"p" * 125), [PONG]),
    "a ping of nothing": (frame(PING, b""), [PONG]),
    "a letter in two fragments": (
        unfinished(TEXT, b'{"id":1,"op":"ping","x":"\xc3') + frame(CONT, b'\xbc"}'),
        [TEXT],
    ),
    "a character beyond 16 bits": (frame(TEXT, '{"id":1,"op":"get","key":"𝄞"}'.encode()), [TEXT]),
    "a length of two bytes": (frame(TEXT, ASK + b" " * 200), [TEXT]),
}


def test_what_must_be_taken_is_taken() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for name, (sent, opcodes) in TAKEN.items():
                reader, writer = await shaken(node.port)
                # Byte by byte as well as in one piece: a frame begins wherever TCP likes.
                for pieces in ([sent], [sent[at : at + 1] for at in range(len(sent))]):
                    for piece in pieces:
                        writer.write(piece)
                        await writer.drain()
                    found = [await heard(reader) for _ in opcodes]
                    assert [opcode for opcode, _ in found] == opcodes, name
                    if sent.startswith(b"\x89"):
                        assert found[0][1] == sent[6:], "a pong says what the ping said (5.5.3)"
                writer.transport.abort()

    run(scenario())


def code(number: int, reason: bytes = b"") -> bytes:
    """The payload of a close frame."""
    return number.to_bytes(2, "big") + reason


# 5.5.1, 7.4: what may be said at the end, and what is said to it.
GOODBYES = {
    "nothing": (b"", b""),
    **{f"{n}": (code(n), code(n)) for n in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011)},
    **{f"{n}": (code(n), code(n)) for n in (1012, 1013, 1014, 3000, 3999, 4000, 4999)},
    "a reason": (code(1000, "später".encode()), code(1000, "später".encode())),
    "a reason as long as may be": (code(1000, b"r" * 123), code(1000, b"r" * 123)),
}


@pytest.mark.parametrize("within", [b"", unfinished(TEXT, b'{"id"')], ids=["alone", "in a message"])
def test_a_goodbye_is_answered_and_the_server_closes_first(within: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            for name, (sent, answer) in GOODBYES.items():
                reader, writer = await shaken(node.port)
                writer.write(within + frame(CLOSE, sent) + frame(TEXT, ASK))
                opcode, payload = await heard(reader)
                assert (opcode, payload) == (CLOSE, answer), name
                async with asyncio.timeout(PATIENCE_S):
                    assert await reader.read() == b"", "nothing may follow (5.5.1)"
                writer.transport.abort()

    run(scenario())


def request(line: str = "GET /ws HTTP/1.1", **headers: str | None) -> bytes:
    """An opening handshake, some of whose headers are other ones, or none."""
    told: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    told |= {name.replace("_", "-"): text for name, text in headers.items()}
    lines = [f"{name}: {text}" for name, text in told.items() if text is not None]
    return "\r\n".join([line, *lines, "", ""]).encode()


async def answered(port: int, sent: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and what follows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): text.strip()
                for name, _, text in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body
    finally:
        writer.transport.abort()


# 4.2.1, 4.2.2, 4.4: openings, and the status that each gets.
OPENINGS = {
    "as it should be": (request(), 101),
    "in other cases": (request(Upgrade="WebSocket", Connection="keep-alive, upgrade"), 101),
    # Stricter than need be: which one is meant, two readers could see differently.
    "among other protocols": (request(Upgrade="h2c, websocket"), 426),
    "no key": (request(Sec_WebSocket_Key=None), 400),
    "a key of 15 bytes": (request(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAA"), 400),
    "a key that is no base64": (request(Sec_WebSocket_Key="?" * 24), 400),
    "two keys": (request(Sec_WebSocket_Key=f"{KEY}\r\nSec-WebSocket-Key: {KEY}"), 400),
    "no version": (request(Sec_WebSocket_Version=None), 400),
    "version 8": (request(Sec_WebSocket_Version="8"), 426),
    "a version that is no number": (request(Sec_WebSocket_Version="new"), 426),
    "no Upgrade": (request(Upgrade=None), 426),
    "no Connection: Upgrade": (request(Connection="close"), 426),
    "POST": (request("POST /ws HTTP/1.1"), 405),
    "HTTP/1.0": (request("GET /ws HTTP/1.0"), 505),
    "no Host": (request(Host=None), 400),
    "no subprotocol of ours": (request(Sec_WebSocket_Protocol="mqtt"), 400),
    "another path": (request("GET /other HTTP/1.1"), 404),
}


def test_each_opening_gets_its_status() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            found = {}
            for name, (sent, _) in OPENINGS.items():
                status, headers, body = await answered(node.port, sent)
                found[name] = status
                if status == 101:
                    key = hashlib.sha1((KEY + GUID).encode(), usedforsecurity=False).digest()
                    assert headers["sec-websocket-accept"] == base64.b64encode(key).decode()
                    assert "sec-websocket-protocol" not in headers, "none was offered (4.2.2)"
                    assert "sec-websocket-extensions" not in headers, "none was offered (9.1)"
                elif "version" in name and status == 426:
                    assert headers["sec-websocket-version"] == "13", f"{name} (4.4)"
                if status != 101:
                    assert headers["content-type"] == "application/problem+json", name
                    assert json.loads(body)["status"] == status, name
            assert found == {name: status for name, (_, status) in OPENINGS.items()}

    run(scenario())


# RFC 7692, 5.1, 7.1: offers, and what of them is taken.
DEFLATED = {
    "permessage-deflate": True,
    "permessage-deflate; client_max_window_bits": True,
    "permessage-deflate; server_no_context_takeover": True,
    "permessage-deflate; client_max_window_bits=8": True,
    "permessage-deflate; server_max_window_bits=7": False,
    "permessage-deflate; server_max_window_bits=16": False,
    "permessage-deflate; server_max_window_bits": False,
    "permessage-deflate; server_max_window_bits=010": False,
    "permessage-deflate; client_max_window_bits=7": False,
    "permessage-deflate; server_no_context_takeover=1": False,
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover": False,
    "permessage-deflate; unheard_of": False,
    "x-webkit-deflate-frame": False,
    "permessage-deflate; unheard_of, permessage-deflate": True,
}


def test_compression_is_agreed_on_as_it_is_offered_or_not_at_all() -> None:
    """An offer with anything wrong in it is declined; the connection goes on without (5.1)."""

    async def scenario() -> None:
        async with a_node() as node:
            found = {}
            for offer in DEFLATED:
                sent = request(Sec_WebSocket_Extensions=offer)
                status, headers, _ = await answered(node.port, sent)
                assert status == 101, offer
                found[offer] = "sec-websocket-extensions" in headers
            assert found == DEFLATED

    run(scenario())
