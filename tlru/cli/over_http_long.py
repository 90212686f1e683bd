"""Backups between a file and a node: bodies that are too long to be held, sent and taken in pieces.

Decides how a transfer ends that somebody breaks off: the connection is cut, so that the thread that
waits for it comes back, and whatever it had begun to write is taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar
from urllib.parse import urlsplit

from tlru.cli.over_http import Facts, connection_to, headers_of, read_answer, unanswered
from tlru.cli.reach import reachable
from tlru.cli.target import Target
from tlru.errors import Retry, TlruError, Unavailable

PIECE_BYTES: Final = 256 << 10
SILENT_S: Final = 30.0  # for so long a node may say nothing in the middle of a backup
ENDING_S: Final = 600.0  # and for so long it may take to keep what it was sent

T = TypeVar("T")


async def take(target: Target, path: str, work: Callable[[Iterator[bytes]], T]) -> T:
    """Have `work` take the body of the first server's answer that gives one, piece by piece."""
    refused: TlruError | None = None
    for server in await reachable(target.servers, target.cache, target.timeout):
        connection = connection_to(target, server, SILENT_S)
        try:
            act = partial(_take, target, server, connection, path, work)
            return await _in_thread(connection, act)
        except TlruError as problem:
            if problem.retry is not Retry.OTHER:
                raise
            refused = problem
    assert refused is not None, "there is at least one server"
    raise refused


async def send(target: Target, path: str, pieces: Iterator[bytes], size: int, kind: str) -> Facts:
    """Send a body to the one server that is meant, piece by piece; its answer."""
    (server,) = await reachable(target.servers, target.cache, target.timeout)
    connection = connection_to(target, server, SILENT_S)
    headers = {**headers_of(target), "Content-Type": kind, "Content-Length": str(size)}
    return await _in_thread(connection, lambda: _send(server, connection, path, pieces, headers))


def _place(server: str, path: str) -> str:
    return urlsplit(server).path.removesuffix("/").removesuffix("/ws") + path


async def _in_thread(connection: http.client.HTTPConnection, act: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(act)
    except asyncio.CancelledError:
        if (sock := connection.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        raise


def _take(
    target: Target,
    server: str,
    connection: http.client.HTTPConnection,
    path: str,
    work: Callable[[Iterator[bytes]], T],
) -> T:
    try:
        try:
            connection.request("GET", _place(server, path), headers=headers_of(target))
            response = connection.getresponse()
            if response.status != 200:
                read_answer(server, response.status, response.read())
        except (OSError, http.client.HTTPException) as problem:
            raise unanswered("GET", server, problem) from problem
        return work(_pieces(server, response))
    finally:
        connection.close()


def _pieces(server: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = response.read1(PIECE_BYTES)
        except (OSError, http.client.HTTPException) as problem:
            raise Unavailable(
                f"{server} broke off in the middle: {str(problem) or type(problem).__name__}"
            ) from problem
        if not piece:
            return
        yield piece


def _send(
    server: str,
    connection: http.client.HTTPConnection,
    path: str,
    pieces: Iterator[bytes],
    headers: dict[str, str],
) -> Facts:
    try:
        try:
            connection.request("POST", _place(server, path), pieces, headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have said why before it cut us off
        except OSError as problem:
            raise unanswered("POST", server, problem) from problem
        try:
            if connection.sock is not None:
                connection.sock.settimeout(ENDING_S)
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException) as problem:
            raise unanswered("POST", server, problem) from problem
        return read_answer(server, response.status, said)
    finally:
        connection.close()
