"""A backup goes on no longer than its asker may have it; the audit log says how it ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import tlru
from tests.node.access.holders import bearer, token_file, write_tokens
from tests.node.http.visiting import parse, request
from tests.running import a_node, run, until
from tlru.access import static
from tlru.node import Node
from tlru.node.access.access import read
from tlru.node.http import connection

VALUES, VALUE_CHARS = 60, 200_000  # far more than the buffers of a connection take
ADMIN: dict[str, Any] = {"admin": True, "write": ("",)}
EXCHANGE_S = 20


@asynccontextmanager
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[Node, Path, dict[str, str], Path]]:
    """A node with much in it, that asks who it is: its tokens' file and its audit log."""
    file, tokens = token_file(tmp_path, ops=ADMIN, other=ADMIN)
    audit = tmp_path / "audit.jsonl"
    async with a_node(id="a", tokens_file=file, audit_file=audit) as node:
        async with tlru.connect(node.url, token=tokens["other"]) as cache:
            for number in range(VALUES):
                await cache.set(f"k{number}", "x" * VALUE_CHARS)
        yield node, file, tokens, audit


@asynccontextmanager
async def reading(node: Node, token: str) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that has asked for a backup, and reads no more than its buffer takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1 << 12)
    try:
        writer.write(request("GET", "/v1/snapshot", headers=bearer(token)))
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert node.services["default"].backups_open == 1
        yield reader
    finally:
        writer.transport.abort()


def look_again(node: Node) -> None:
    """Go by what the files say now, as after a reload."""
    node.access.go_by(node.config, read(node.config))


async def until_over(node: Node) -> None:
    """Wait until nothing is left of any backup."""
    await until(lambda: not node.services["default"].backups_open and not node.http.backups)


def told(audit: Path) -> list[tuple[str, str, str]]:
    """Who did what, and how it ended."""
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    return [(line["who"], line["action"], line["outcome"]) for line in lines]


def revoke(file: Path, tokens: dict[str, str]) -> None:
    """Take the line of `ops` out."""
    write_tokens(file, tokens, other=ADMIN)


def narrow(file: Path, tokens: dict[str, str]) -> None:
    """Take the right from it."""
    write_tokens(file, tokens, other=ADMIN, ops={"read": ("",)})


@pytest.mark.parametrize(
    ("change", "outcome"), [(revoke, "unauthenticated"), (narrow, "forbidden")]
)
def test_a_backup_ends_with_the_token_it_was_asked_for_with(
    tmp_path: Path, change: Callable[[Path, dict[str, str]], None], outcome: str
) -> None:
    """Also while its reader reads nothing, and within a tick."""

    async def scenario() -> None:
        async with guarded(tmp_path) as (node, file, tokens, audit):
            async with reading(node, tokens["ops"]) as reader:
                change(file, tokens)
                look_again(node)
                async with asyncio.timeout(3):
                    await until_over(node)
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readexactly(VALUES * VALUE_CHARS)
            assert told(audit) == [("ops", "snapshot", "begun"), ("ops", "snapshot", outcome)]
            line = json.loads(audit.read_text().splitlines()[-1])
            assert 0 < line["bytes"] < VALUES * VALUE_CHARS

    run(scenario())


def test_a_token_that_runs_out_ends_a_backup(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path) as (node, file, tokens, audit):
            loop = asyncio.get_running_loop()
            write_tokens(file, tokens, other=ADMIN, ops={**ADMIN, "expires": time.time() + 1.5})
            look_again(node)
            began = loop.time()
            async with reading(node, tokens["ops"]), asyncio.timeout(5):
                await until_over(node)
            assert loop.time() - began < 4, "with the token, not when its reader is given up"
            assert told(audit)[-1] == ("ops", "snapshot", "unauthenticated")

    run(scenario())


def test_how_a_backup_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with guarded(tmp_path) as (node, _, tokens, audit):
            async with reading(node, tokens["ops"]) as reader:
                while await reader.read(1 << 20):
                    pass
            await until_over(node)
            async with reading(node, tokens["ops"]):
                pass
            await until_over(node)
            monkeypatch.setattr(connection, "UNREAD_S", 0.2)
            async with reading(node, tokens["ops"]):  # and nothing of it is read
                await until_over(node)
            ends = [outcome for _, _, outcome in told(audit) if outcome != "begun"]
            assert ends == ["ok", "gone", "gone"]

    run(scenario())


def test_what_is_uploaded_with_a_token_that_is_no_good_any_more_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.01)

    async def scenario() -> None:
        async with guarded(tmp_path) as (node, file, tokens, audit):
            epoch = node.services["default"].log.epoch
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            headers = {**bearer(tokens["ops"]), "Content-Length": "1000000"}
            writer.write(request("POST", "/v1/snapshot?as_new_epoch=true", headers=headers))
            await until(lambda: node.http.connections == 1)
            writer.write(b"x" * 10)
            await writer.drain()
            revoke(file, tokens)
            look_again(node)
            writer.write(b"x" * 10)
            async with asyncio.timeout(EXCHANGE_S):
                refused = parse(await reader.read(), "POST")
            assert (refused.status, refused.code) == (401, "unauthenticated")
            assert node.services["default"].log.epoch == epoch
            assert told(audit) == [("ops", "begin anew", refused.code)]
            writer.close()

    run(scenario())


def test_the_hash_alone_ends_it_too(tmp_path: Path) -> None:
    """As an operator does it who has no more than `tlru token inspect` told."""
    revoked = tmp_path / "revoked"
    revoked.write_text("")

    async def scenario() -> None:
        file, tokens = token_file(tmp_path, ops=ADMIN)
        async with a_node(tokens_file=file, revoked_file=revoked) as node:
            async with tlru.connect(node.url, token=tokens["ops"]) as cache:
                for number in range(VALUES):
                    await cache.set(f"k{number}", "x" * VALUE_CHARS)
            async with reading(node, tokens["ops"]):
                revoked.write_text(static.hashed(tokens["ops"]))
                look_again(node)
                async with asyncio.timeout(3):
                    await until_over(node)

    run(scenario())
