"""A file system in memory that forgets on a crash what was not synced, or tears it.

It can fail, or crash, at any of its steps: each call that changes something is one. What was synced
survives; of the rest a part does, chance says which. Names and contents are synced apart, as by
POSIX: a file's content does not survive because its name does.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO

SECTOR = 512


class CrashError(BaseException):
    """The machine stops here: nobody is to catch it."""


@dataclass
class File:
    """A file. Of what is behind `synced` nothing is sure; nor that a cut is not undone."""

    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    dropped: list[tuple[int, int]] = field(default_factory=list)

    def drop_unsynced(self) -> None:
        """A sync failed, and the next one will say that all is well: as Linux does, which marks the
        pages that it could not write as written."""
        self.dropped.append((len(self.synced), len(self.content)))

    def sync(self) -> None:
        """What is written is safe, but for what was dropped."""
        safe = bytearray(self.content)
        for start, end in self.dropped:
            end = min(end, len(safe))
            safe[start:end] = bytes(max(0, end - start))
        self.synced = bytes(safe)


Names = dict[str, File]


@dataclass
class Directory:
    """Names, as they are, and as they are sure to be; and what happened to them since."""

    names: Names = field(default_factory=dict)
    synced: Names = field(default_factory=dict)
    changes: list[Callable[[Names], None]] = field(default_factory=list)

    def change(self, how: Callable[[Names], None]) -> None:
        how(self.names)
        self.changes.append(how)


class ForgetfulFiles:
    """A `Files`."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.directories: dict[Path, Directory] = {}
        self.steps = 0
        self.crash_at: int | None = None  # the step that is not done, nor any after it
        self.fails: Callable[[str, Path], int | None] = lambda what, path: None  # an errno
        self.room: int | None = None  # bytes that may still be written
        self.syncs = 0
        self._open: dict[int, tuple[Path, File]] = {}
        self._locked: dict[Path, int] = {}
        self._next = 3

    # -- faults

    def _step(self, what: str, path: Path) -> None:
        if self.crash_at is not None and self.steps >= self.crash_at:
            raise CrashError
        self.steps += 1
        error = self.fails(what, path)
        if error is not None:
            raise OSError(error, f"no {what}")

    def crash(self) -> None:
        """The power was cut: what was not synced is there in part, or not at all."""
        self.crash_at = None
        self._open.clear()
        self._locked.clear()
        files: dict[int, File] = {}
        for directory in self.directories.values():
            self._crash_names(directory)
            files |= {id(file): file for file in directory.names.values()}
        for file in files.values():
            self._crash_content(file)

    def _crash_names(self, directory: Directory) -> None:
        # A journal keeps changes in their order, and as a whole.
        names = dict(directory.synced)
        for how in directory.changes[: self.random.randint(0, len(directory.changes))]:
            how(names)
        directory.names, directory.synced, directory.changes = names, dict(names), []

    def _crash_content(self, file: File) -> None:
        content, synced = bytes(file.content), file.synced
        if content == synced:
            return
        kept = content
        if content.startswith(synced):  # it grew
            kept = content[: self.random.randint(len(synced), len(content))]
            if self.random.random() < 0.3:  # the size is there, and not what was written
                hole = -(-len(kept) // SECTOR) * SECTOR
                kept += bytes(max(0, min(hole, len(content)) - len(kept)))
        elif self.random.random() < 0.5:
            kept = synced
        file.content, file.synced = bytearray(kept), kept

    def kill(self) -> None:
        """The process was ended: all that it wrote is there."""
        self.crash_at = None
        self._open.clear()
        self._locked.clear()

    # -- files

    def _directory(self, path: Path) -> Directory:
        try:
            return self.directories[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory") from None

    def _file(self, path: Path) -> File:
        try:
            return self._directory(path.parent).names[path.name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory") from None

    def content(self, path: Path) -> bytes:
        """What is in a file."""
        return bytes(self._file(path).content)

    def put(self, path: Path, content: bytes) -> None:
        """Somebody else writes a file."""
        file = File(bytearray(content), content)
        directory = self._directory(path.parent)
        directory.names[path.name] = directory.synced[path.name] = file

    def make_directory(self, path: Path) -> None:
        self.directories.setdefault(path, Directory())

    def names(self, path: Path) -> list[str]:
        return sorted(self._directory(path).names)

    def reader(self, path: Path) -> IO[bytes]:
        error = self.fails("read", path)
        if error is not None:
            raise OSError(error, "no read")
        return io.BytesIO(self._file(path).content)

    def create(self, path: Path) -> int:
        self._step("create", path)
        file = File()
        self._directory(path.parent).change(lambda names: names.update({path.name: file}))
        return self._handle(path, file)

    def extend(self, path: Path) -> int:
        return self._handle(path, self._file(path))

    def _handle(self, path: Path, file: File) -> int:
        self._next += 1
        self._open[self._next] = (path, file)
        return self._next

    def write(self, handle: int, data: bytes | memoryview) -> int:
        path, file = self._open[handle]
        taken = len(data) if self.room is None else min(self.room, len(data))
        if taken < len(data) and not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.crash_at is not None and self.steps >= self.crash_at:
            file.content += data[: self.random.randint(0, taken)]
        self._step("write", path)
        file.content += data[:taken]
        if self.room is not None:
            self.room -= taken
        return taken

    def truncate(self, handle: int, size: int) -> None:
        path, file = self._open[handle]
        self._step("truncate", path)
        if self.room is not None:
            self.room += len(file.content) - size
        del file.content[size:]

    def sync(self, handle: int) -> None:
        path, file = self._open[handle]
        try:
            self._step("sync", path)
        except OSError:
            file.drop_unsynced()
            raise
        self.syncs += 1
        file.sync()

    def close(self, handle: int) -> None:
        self._open.pop(handle, None)
        self._locked = {path: held for path, held in self._locked.items() if held != handle}

    def lock(self, path: Path) -> int:
        if path in self._locked:
            raise BlockingIOError
        self._directory(path.parent).names.setdefault(path.name, File())
        handle = self._handle(path, File())
        self._locked[path] = handle
        return handle

    def link(self, path: Path, other: Path) -> None:
        file = self._file(path)
        self._step("link", other)
        self._directory(other.parent).change(lambda names: names.update({other.name: file}))

    def rename(self, path: Path, other: Path) -> None:
        self._file(path)
        self._step("rename", other)

        def move(names: Names) -> None:
            if path.name in names:
                names[other.name] = names.pop(path.name)

        self._directory(path.parent).change(move)

    def remove(self, path: Path) -> None:
        self._step("remove", path)

        def take(names: Names) -> None:
            names.pop(path.name, None)

        self._directory(path.parent).change(take)

    def sync_directory(self, path: Path) -> None:
        self._step("sync", path)
        self.syncs += 1
        directory = self._directory(path)
        directory.synced, directory.changes = dict(directory.names), []
