"""Connections are handed on as they come, also once there were no files left for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from peers.accepting import Accepting
from peers.listening import listen
from tests.running import PATIENCE_S, run, until

PAUSE_S = 0.2  # much longer than `until` sleeps


def a_socket() -> socket.socket:
    found = socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)
    return listen(found[0], backlog=16)


@contextlib.contextmanager
def no_file_left() -> Iterator[None]:
    """This process can open nothing: all numbers up to its bound are taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as taken:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def test_where_no_file_is_free_it_is_said_and_tried_again() -> None:
    async def scenario() -> None:
        said: list[str] = []
        accepted: list[socket.socket] = []
        door = a_socket()
        accepting = Accepting(door, accepted.append, said.append)
        with socket.create_connection(door.getsockname(), PATIENCE_S) as client:
            with no_file_left():
                await until(lambda: said)
                assert not accepted
            await until(lambda: accepted)
            assert accepted[0].getpeername() == client.getsockname()
            accepted[0].close()
        accepting.close()
        assert len(said) == 1, "not once for every turn of the loop"
        assert said[0].startswith("no connection can be accepted: ")

    run(scenario())


def test_who_is_closed_while_it_waits_for_a_file_does_not_begin_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("peers.accepting.PAUSE_S", PAUSE_S)

    async def scenario() -> None:
        wrong: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: wrong.append(told))
        said: list[str] = []
        accepted: list[socket.socket] = []
        door = a_socket()
        accepting = Accepting(door, accepted.append, said.append)
        with socket.create_connection(door.getsockname(), PATIENCE_S):
            with no_file_left():
                await until(lambda: said)
                accepting.close()
            await asyncio.sleep(2 * PAUSE_S)  # a timer that is due before goes off before
        assert not accepted
        assert not wrong
        assert door.fileno() == -1

    run(scenario())


def test_many_who_come_at_once_are_all_handed_on_in_their_order() -> None:
    async def scenario() -> None:
        accepted: list[socket.socket] = []
        door = a_socket()
        with contextlib.ExitStack() as clients:
            came = [
                clients.enter_context(socket.create_connection(door.getsockname(), PATIENCE_S))
                for _ in range(10)
            ]
            accepting = Accepting(door, accepted.append, lambda _: None)
            await until(lambda: len(accepted) == len(came))
            assert [a.getpeername() for a in accepted] == [c.getsockname() for c in came]
            assert not any(each.getblocking() for each in accepted)
            for each in accepted:
                each.close()
        accepting.close()

    run(scenario())
