"""Stdout for commands that go on: written to as fast as it is read, never faster.

Decides how long a command waits for whoever reads its output. The event loop stays free meanwhile,
so that a reader who takes his time (`| less`) does not cost the connection to the cache; and that
the reader has gone is noticed at once, not with the next line, which may never come.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Final

# What a pipe that is ready takes without making us wait.
PIECE_BYTES: Final = select.PIPE_BUF


class Outflow:
    """Stdout, as a context manager; within it nothing else may print there."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._file = sys.stdout.fileno()
        self._loop = asyncio.get_running_loop()
        self._is_pipe = stat.S_ISFIFO(os.fstat(self._file).st_mode)
        self.gone = self._loop.create_future()
        """Done once nobody can read what is written any more."""

    def __enter__(self) -> Outflow:
        # A pipe's writing end has nothing to read: it only ever wakes us when it is broken.
        if self._is_pipe:
            self._loop.add_reader(self._file, self._on_broken)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_pipe:
            self._loop.remove_reader(self._file)

    async def write(self, text: str) -> None:
        """Write all of it. BrokenPipeError where nobody is there to read it."""
        encoding = sys.stdout.encoding or "utf-8"
        left = memoryview(text.encode(encoding, sys.stdout.errors or "backslashreplace"))
        while left:
            await self._until_ready()
            left = left[os.write(self._file, left[:PIECE_BYTES]) :]

    async def _until_ready(self) -> None:
        ready = self._loop.create_future()
        with self._noticing(ready) as can_tell:
            if can_tell:
                await ready

    @contextlib.contextmanager
    def _noticing(self, ready: asyncio.Future[None]) -> Iterator[bool]:
        def came() -> None:
            if not ready.done():
                ready.set_result(None)

        try:
            self._loop.add_writer(self._file, came)
        except OSError:  # an ordinary file is always ready, and epoll will not hear of it
            yield False
            return
        try:
            yield True
        finally:
            self._loop.remove_writer(self._file)

    def _on_broken(self) -> None:
        self._loop.remove_reader(self._file)
        if not self.gone.done():
            self.gone.set_result(None)
