"""Who comes to a listening socket is handed on here, one accepted connection after another.

A server of asyncio's own is not used: it tells of a connection only once it is set up, so one that
ends a handshake never is counted nowhere; and closed between the two, it forgets a connection that
it has accepted, without a word to whoever waits at the other end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

AT_ONCE_MAX: Final = 128  # connections that are accepted in one turn of the loop
PAUSE_S: Final = 0.5  # where no file is free for a connection, the next try waits so long


class Accepting:
    """A listening socket at work, from now on until it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        begin: Callable[[socket.socket], None],
        complain: Callable[[str], None],
    ) -> None:
        self._sock, self._begin, self._complain = sock, begin, complain
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._watch()

    def close(self) -> None:
        """Let nobody in any more; who was handed on stays."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _watch(self) -> None:
        # Not a task that waits for the next one: to cancel that could lose one that is there.
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE_MAX):
            try:
                accepted, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                self._complain(f"no connection can be accepted: {exc}")
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE_S, self._watch)
                return
            accepted.setblocking(False)
            self._begin(accepted)
