"""The least application that a log can drive: it writes down what it is told.

Run as a program it is a node that can be killed: it writes without end, and says what it applied.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from peers.core.entry import Dot, Entry, Epoch
from peers.errors import OutdatedError
from peers.ordered_log import Checked, Settled, put_together
from peers.single import SingleLog

CHUNK_LINES = 20

Line = tuple[int, str]


class Copy:
    """The notebook at one index, a few lines a chunk."""

    def __init__(self, notebook: Notebook) -> None:
        self.index = notebook.index
        self.closed = False
        self._lines = list(notebook.lines)
        self._notebook = notebook

    def chunks(self) -> Iterator[bytes]:
        yield json.dumps(self.index).encode()
        for start in range(0, len(self._lines), CHUNK_LINES):
            self._notebook.on_chunk()
            yield json.dumps(self._lines[start : start + CHUNK_LINES]).encode()

    def close(self) -> None:
        self.closed = True
        self._notebook.on_close()


class Notebook:
    """An application."""

    def __init__(self) -> None:
        self.index = 0
        self.at = 0
        self.lines: list[Line] = []
        self.story: list[object] = []  # what the log called, in order
        self.copies: list[Copy] = []
        self.on_chunk: Callable[[], None] = lambda: None
        self.on_close: Callable[[], None] = lambda: None
        self.on_apply: Callable[[Sequence[Entry]], None] = lambda entries: None

    def apply(self, entries: Sequence[Entry]) -> Checked | None:
        self.on_apply(entries)
        for entry in entries:
            assert entry.index == self.index + 1
            assert entry.at >= self.at
            if entry.operation == b"poison":
                self.index = entry.index  # half changed: the index, but not the lines
                raise RuntimeError("it was poison")
            if entry.operation == b"later":
                raise OutdatedError("an operation of a later release")
            self.index, self.at = entry.index, entry.at
            self.lines.append((entry.index, entry.operation.decode()))
        self.story.append([entry.index for entry in entries])
        return None

    def settle(self, dot: Dot, outcome: Settled) -> None:
        self.story.append((dot.sequence, outcome))

    def capture(self) -> Copy:
        self.copies.append(Copy(self))
        return self.copies[-1]

    def begin(self, epoch: Epoch) -> None:
        self.epoch = epoch

    def arriving(self) -> Arriving:
        return Arriving(self)

    def restore(self, chunks: Iterable[bytes]) -> int:
        arriving, index = put_together(self, chunks)
        arriving.install()
        return index


class Arriving:
    """The lines of a snapshot, until they are all there."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.parts: list[Any] = []

    def take(self, chunk: bytes) -> None:
        self.parts.append(json.loads(chunk))

    def finish(self) -> int:
        return int(self.parts[0])

    def install(self) -> None:
        self.notebook.index = self.parts[0] if self.parts else 0
        self.notebook.lines = [(index, text) for part in self.parts[1:] for index, text in part]


async def write_without_end(directory: Path) -> None:
    """Apply one entry a turn, and say so."""
    notebook = Notebook()
    log = SingleLog("n", directory, snapshot_interval_s=0.02)
    await log.start(notebook)
    print(log.epoch, flush=True)
    while True:
        log.propose(f"line {notebook.index + 1}".encode())
        await asyncio.sleep(0.001)
        print(notebook.index, flush=True)


async def fill_the_disk(directory: Path) -> None:
    """Stop in order, but with no more room than for small files."""
    notebook = Notebook()
    log = SingleLog("n", directory, snapshot_interval_s=0.02)
    await log.start(notebook)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    log.propose(b"x" * 100_000)
    tried = asyncio.Event()
    notebook.on_close = tried.set
    await tried.wait()
    await log.stop()


if __name__ == "__main__":
    program = {"write": write_without_end, "fill": fill_the_disk}[sys.argv[1]]
    asyncio.run(program(Path(sys.argv[2])))
