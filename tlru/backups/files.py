"""Files of backups: written beside their name, synced, and only then called by it.

Blocking. This module decides when a file counts: a crash, a full disk or a signal in the middle
leaves a `.part` and never a file of the name that was asked for.

Invariant: what has the name of a backup was whole when it got it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from tlru.backups.form import BackupError, Head, Reading
from tlru.engine.snapshot import SnapshotError
from tlru.engine.state import State

PART: Final = ".part"
PIECE_BYTES: Final = 256 << 10
SYNC_BYTES: Final = 16 << 20  # so much is synced at once, so that the end is not one long wait
SUFFIX: Final = ".tlru"


class Draft:
    """A backup that is being written. Leave it without `keep`, and nothing remains."""

    def __init__(self, target: Path, *, replace: bool) -> None:
        """FileExistsError where there is one of that name, and it is not to be replaced."""
        if not replace and target.exists():
            raise FileExistsError(f"there is a file {target}; choose another name, or say --force")
        self._target, self._replace = target, replace
        self._part = target.with_name(target.name + PART)
        self._unsynced = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self._part.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                self._part.unlink()

    def write(self, piece: bytes) -> None:
        """Add a piece. OSError where the disk does not take it."""
        assert self._file is not None, "it is open"
        self._file.write(piece)
        self._unsynced += len(piece)
        if self._unsynced >= SYNC_BYTES:
            self._sync()

    def keep(self) -> None:
        """All of it is there: sync it, and give it its name."""
        assert self._file is not None, "it is open"
        self._sync()
        self._file.close()
        if self._replace:
            self._part.replace(self._target)
        else:
            # A link, unlike a rename, does not take the place of what came there meanwhile.
            os.link(self._part, self._target)
            self._part.unlink()
        self._file = None
        directory = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _sync(self) -> None:
        assert self._file is not None, "it is open"
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0


def pieces(path: Path, told: Callable[[int], object] = lambda done: None) -> Iterator[bytes]:
    """A file piece by piece. `told`: how many bytes were read."""
    done = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            done += len(piece)
            told(done)


def verify(
    path: Path, level: int, told: Callable[[int], object] = lambda done: None
) -> tuple[Head, State]:
    """What a file is of, and the state in it: all of it is read, put together, and compared with
    its digest. BackupError at anything wrong."""
    reading, state = Reading(str(path), level), State()
    loader = state.loader()
    try:
        for piece in pieces(path, told):
            for chunk in reading.take(piece):
                loader.take(chunk)
        reading.finish()
        loader.finish()
    except SnapshotError as exc:
        raise BackupError(f"{path} cannot be used: {exc}; take another copy") from exc
    check_is_of(reading.head, state)
    return reading.head, state


def read_through(path: Path, level: int) -> Head:
    """What a file is of: all of it is read, and every checksum compared, but nothing is put
    together. BackupError at anything wrong."""
    reading = Reading(str(path), level)
    for piece in pieces(path):
        for _ in reading.take(piece):
            pass
    reading.finish()
    return reading.head


def check_is_of(head: Head, state: State) -> None:
    """BackupError where head and state do not belong together."""
    said = (head.index, head.term, head.items)
    if said != (state.index, state.term, state.items.count):
        raise BackupError("the backup cannot be used: its head is not that of its state")


# -- those that a node makes by itself


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup of a node's in its directory."""

    path: Path
    wall_s: int


def name_of(cache: str, node: str, head: Head) -> str:
    """The name of a backup that a node makes by itself; names sort by time."""
    return f"{cache}-{node}-{head.wall // 1000:011}-{head.index}{SUFFIX}"


def kept_in(directory: Path, cache: str, node: str) -> list[Kept]:
    """The backups of a cache that a node has made, the oldest first."""
    form = re.compile(re.escape(f"{cache}-{node}-") + r"(\d{11})-\d+" + re.escape(SUFFIX))
    names = os.listdir(directory) if directory.is_dir() else []
    found = [Kept(directory / name, int(m[1])) for name in names if (m := form.fullmatch(name))]
    return sorted(found, key=lambda each: (each.wall_s, each.path.name))


def sweep(directory: Path, cache: str, node: str) -> None:
    """Remove what a crash of this node has left half written."""
    start = f"{cache}-{node}-"
    for name in os.listdir(directory):
        if name.startswith(start) and name.endswith(SUFFIX + PART):
            with contextlib.suppress(OSError):
                (directory / name).unlink()
