"""What a backup may cost a node: readers that are slow or gone, uploads that are too long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import tlru
from tests.node.http.visiting import visit
from tests.running import a_node, run, until
from tlru.backups import form
from tlru.node import Node, restoring
from tlru.node.http import connection, snapshots

ANEW = "/v1/snapshot?as_new_epoch=true"
VALUES, VALUE_CHARS = 160, 200_000  # far more than the buffers of a connection take
ALL_BYTES = VALUES * VALUE_CHARS
SMALL = 4_096  # of the reader's own buffer


@asynccontextmanager
async def full(**told: Any) -> AsyncIterator[Node]:
    """A node with much in it."""
    async with a_node(id="a", **told) as node, tlru.connect(node.url) as cache:
        for number in range(VALUES):
            await cache.set(f"k{number}", "x" * VALUE_CHARS)
        yield node


async def asking(node: Node, buffer_bytes: int = SMALL) -> socket.socket:
    """A connection that has asked for a backup, and read nothing of it."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    reader.setblocking(False)
    host, _, port = node.url.removeprefix("ws://").removesuffix("/ws").rpartition(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, (host, int(port)))
    await loop.sock_sendall(reader, b"GET /v1/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n")
    service = node.services["default"]
    await until(lambda: service.backups_open == 1)
    return reader


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long each chunk was that a backup over HTTP came to."""
    lengths: list[int] = []

    def framed(chunk: bytes) -> bytes:
        lengths.append(len(chunk))
        return real(chunk)

    real = form.framed
    monkeypatch.setattr(snapshots, "framed", framed)
    return lengths


async def until_over(node: Node) -> None:
    """Wait until nothing is left of any backup."""
    service = node.services["default"]
    await until(lambda: service.backups_open == 0 and not service.machine.items.observers)


def test_who_does_not_read_a_backup_is_given_up_and_costs_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more of the state is put together than the buffers between the two take."""
    monkeypatch.setattr(connection, "UNREAD_S", 0.3)
    made = counting(monkeypatch)

    async def test() -> None:
        async with full() as node:
            with await asking(node):
                await until_over(node)
            assert 0 < sum(made) < ALL_BYTES / 2

    run(test())


def test_who_reads_a_backup_now_and_then_is_given_up_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never silent for long, and would hold a backup open for hours."""
    monkeypatch.setattr(snapshots, "UNREAD_S", 0.3)
    monkeypatch.setattr(snapshots, "PACE_BYTES_S_MIN", ALL_BYTES)

    async def test() -> None:
        async with full() as node:
            service, loop = node.services["default"], asyncio.get_running_loop()
            with await asking(node, 1 << 20) as reader:
                while service.backups_open:
                    try:
                        await loop.sock_recv(reader, 1 << 16)
                    except ConnectionResetError:
                        break
                    await asyncio.sleep(0.02)
            await until_over(node)

    run(test())
    assert "of it were read in" in caplog.text


def test_who_goes_away_in_the_middle_leaves_nothing_open() -> None:
    async def test() -> None:
        async with full() as node:
            (await asking(node)).close()
            await until_over(node)

    run(test())


def test_what_is_set_aside_for_a_backup_is_bounded_whatever_is_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While its reader stands still, and not only between two chunks."""
    most = 10 * VALUE_CHARS
    monkeypatch.setattr(restoring, "ASIDE_BYTES_MAX", most)
    begun: list[restoring.Backup] = []

    def begin(*args: Any, **more: Any) -> restoring.Backup:
        begun.append(real(*args, **more))
        return begun[-1]

    real = restoring.begin
    monkeypatch.setattr(restoring, "begin", begin)

    async def test() -> None:
        async with full() as node, tlru.connect(node.url) as cache:
            loop = asyncio.get_running_loop()
            with await asking(node) as reader:
                (backup,) = begun
                highest = 0
                for number in reversed(range(VALUES)):
                    await cache.set(f"k{number}", "y" * VALUE_CHARS)
                    highest = max(highest, backup.capture.aside_bytes)
                assert backup.capture.overrun
                assert most / 2 < highest <= most
                assert backup.capture.aside_bytes == 0
                taken = 0
                with contextlib.suppress(ConnectionResetError):
                    while piece := await loop.sock_recv(reader, 1 << 20):
                        taken += len(piece)
                assert taken < ALL_BYTES
            await until_over(node)

    run(test())
    assert "changes faster than its backup is taken" in caplog.text


def test_clients_that_hold_backups_open_keep_no_node_from_making_its_own(tmp_path: Any) -> None:
    async def test() -> None:
        async with a_node(id="a", backup_dir=tmp_path, backup_interval=1.0) as node:
            service = node.services["default"]
            held = [restoring.begin(node, service) for _ in range(restoring.AT_ONCE_MAX)]
            made = node.backups.records["default"].made
            await until(lambda: node.backups.records["default"].made > made)
            assert node.backups.records["default"].failed == 0
            for each in held:
                each.close()

    run(test())


def test_a_backup_that_is_too_long_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By what its head says, or as soon as more came than the cache could hold."""
    monkeypatch.setattr(restoring, "REST_BYTES_MAX", 1_000)

    async def test() -> None:
        async with a_node(id="a", max_bytes=10_000) as node:
            heard = await visit(node, "POST", ANEW, body=bytes(11_001))
            assert (heard.status, heard.code) == (413, "too_large")
            assert "at most 11000" in heard.json["detail"]
            host, _, port = node.url.removeprefix("ws://").removesuffix("/ws").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {ANEW} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            frame = form.FRAME.pack(12_000, 0)
            body = b"%x\r\ntlru-backup\n%b%b\r\n" % (11_012 + len(frame), frame, bytes(11_000))
            writer.write(head.encode() + body)
            said = await reader.readuntil(b"\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 413 "), said
            writer.close()
            await writer.wait_closed()

    run(test())


def test_a_backup_of_more_than_the_cache_may_hold_says_what_to_set() -> None:
    """Else what is restored would be evicted at once."""

    async def test() -> None:
        async with a_node(id="a") as node, tlru.connect(node.url) as cache:
            for number in range(20):
                await cache.set(f"k{number}", "x" * 1_000)
            whole = (await visit(node, "GET", "/v1/snapshot")).body
            size = node.services["default"].machine.items.bytes
        async with a_node(id="b", max_bytes=size - 1) as node:
            heard = await visit(node, "POST", ANEW, body=whole)
            assert (heard.status, f"set max_bytes to {size}" in heard.json["detail"]) == (413, True)
        async with a_node(id="b", max_bytes=size) as node:
            assert (await visit(node, "POST", ANEW, body=whole)).json["keys"] == 20

    run(test())
