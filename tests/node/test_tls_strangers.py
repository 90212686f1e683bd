"""TLS in the hands of strangers: handshakes that are asked for again, and what is none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.authority import Authority, shown
from tests.running import Talker, a_node, run, until
from tlru.node import Node

OPENSSL = shutil.which("openssl")
GARBAGE = (os.urandom(2_000), b"\x16\x03\x01" + os.urandom(500), b"GET / HTTP/1.1\r\n\r\n", b"\x80")


@contextlib.asynccontextmanager
async def by_tls(tmp_path: Path) -> AsyncIterator[tuple[Node, Authority]]:
    """A node that speaks TLS."""
    authority = Authority(tmp_path)
    async with a_node(**shown(authority.node("n1")), hello_s=0.5) as node:
        yield node, authority


@pytest.mark.skipif(OPENSSL is None, reason="nothing here can ask for another handshake")
def test_no_second_handshake_is_made_on_a_connection(tmp_path: Path) -> None:
    """It costs the node ten times what it costs the client, and as often as he likes."""

    async def scenario() -> None:
        async with by_tls(tmp_path) as (node, authority):
            process = await asyncio.create_subprocess_exec(
                *(str(OPENSSL), "s_client", "-connect", f"127.0.0.1:{node.port}", "-tls1_2"),
                *("-CAfile", str(authority.ca)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                told = await process.stdout.readuntil(b"Verify return code: 0 (ok)")
                assert b"Secure Renegotiation IS supported" in told, "it would try"
                process.stdin.write(b"R\n")
                async with asyncio.timeout(10):
                    after = await process.stdout.read()
                assert b"RENEGOTIATING" in after
                assert b"no renegotiation" in after
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    run(scenario())


def test_garbage_and_half_a_hello_leave_nothing_behind(tmp_path: Path) -> None:
    """While another is served; and what is sent after a handshake is as little believed."""

    async def scenario() -> None:
        async with by_tls(tmp_path) as (node, authority):
            trusting = authority.trusting()
            writers = []
            for _ in range(10):
                for garbage in GARBAGE:
                    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
                    writer.write(garbage)
                    writers.append(writer)
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port, ssl=trusting)
            writer.write(os.urandom(100) + b"\r\n\r\n")
            assert b" 400 " in await reader.read(1 << 16)
            writers.append(writer)
            async with connect(node.url, ssl=trusting, proxy=None) as socket:
                assert (await Talker(socket, binary=False).ask("ping"))["ok"]
                await until(lambda: node.gate.shaking == 0 and len(node.doors) == 0)
                assert len(node.connections) == 1
            for each in writers:
                each.transport.abort()

    run(scenario())


def test_the_context_takes_nothing_that_is_old(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with by_tls(tmp_path) as (node, _):
            context = node.gate.context
            assert context is not None
            assert context.options & ssl.OP_NO_RENEGOTIATION
            assert context.options & ssl.OP_NO_COMPRESSION
            assert context.minimum_version >= ssl.TLSVersion.TLSv1_2

    run(scenario())
