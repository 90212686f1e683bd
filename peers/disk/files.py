"""What is asked of a file system, and how a file comes to its name: whole, or not at all.

A `Files` is the only way to the disk for whoever keeps something on it, so that a test can put one
in its place that forgets, tears, or is full.

Invariant: a file that is written by a `Draft` takes its name when all of it is synced, so a crash
leaves the old one or the new one, never a half.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Protocol, Self

from peers.errors import DamagedError, StorageError

DRAFT_SUFFIX: Final = ".new"
LOCK_NAME: Final = "lock"


class Files(Protocol):
    """A file system. What fails is an OSError."""

    def make_directory(self, path: Path) -> None:
        """Make it, and those above it, where they are missing."""

    def names(self, path: Path) -> list[str]:
        """What is in a directory, in order."""

    def reader(self, path: Path) -> IO[bytes]:
        """The file, to be read and closed."""

    def create(self, path: Path) -> int:
        """An empty file, to be written; what was there is gone."""

    def extend(self, path: Path) -> int:
        """A file that is there, to be written at its end."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Write at the end; how much was taken."""

    def truncate(self, handle: int, size: int) -> None:
        """Keep no more than this of it."""

    def sync(self, handle: int) -> None:
        """What was written survives a power cut from here on."""

    def close(self, handle: int) -> None:
        """Let go of it."""

    def lock(self, path: Path) -> int:
        """A handle that no other process has while it is open. BlockingIOError where one has."""

    def link(self, path: Path, other: Path) -> None:
        """Give the file a second name."""

    def rename(self, path: Path, other: Path) -> None:
        """Give it another name, whatever had that before."""

    def remove(self, path: Path) -> None:
        """Take the name away, if it is there."""

    def sync_directory(self, path: Path) -> None:
        """The names in it survive a power cut from here on."""


class OsFiles:
    """The file system of this machine."""

    def make_directory(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def names(self, path: Path) -> list[str]:
        return sorted(os.listdir(path))

    def reader(self, path: Path) -> IO[bytes]:
        return path.open("rb")

    def create(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)

    def extend(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return os.write(handle, data)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def lock(self, path: Path) -> int:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def link(self, path: Path, other: Path) -> None:
        os.link(path, other)

    def rename(self, path: Path, other: Path) -> None:
        path.rename(other)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


OS_FILES: Final = OsFiles()


# -- what is made of it


@contextmanager
def troubles(file: Path, what: str) -> Iterator[None]:
    """Say of which file the disk speaks."""
    try:
        yield
    except OSError as exc:
        raise StorageError(f"{file} {what}: {exc.strerror or exc}") from exc


def open_to_read(file: Path, files: Files = OS_FILES) -> IO[bytes] | None:
    """The file, opened to be read; None where there is none."""
    with troubles(file, "cannot be read"):
        try:
            return files.reader(file)
        except FileNotFoundError:
            return None


def read_whole(file: Path, bytes_max: int, files: Files = OS_FILES) -> bytes | None:
    """What is in a file, up to a bound; None where there is none."""
    source = open_to_read(file, files)
    if source is None:
        return None
    with source, troubles(file, "cannot be read"):
        return source.read(bytes_max)


def words_of(file: Path, exc: Exception) -> str:
    """What is wrong with a file, without advice."""
    return f"{file}: {exc.what}" if isinstance(exc, DamagedError) else f"{file}: {exc}"


def write_all(files: Files, handle: int, data: bytes) -> None:
    """Write all of it; a disk that is nearly full takes a part at first."""
    taken = files.write(handle, data)
    if taken < len(data):
        rest = memoryview(data)[taken:]
        while rest:
            rest = rest[files.write(handle, rest) :]


def lock_directory(directory: Path, files: Files = OS_FILES) -> int:
    """Have a directory for this process, until the handle is closed."""
    with troubles(directory, "cannot be used"):
        files.make_directory(directory)
        try:
            return files.lock(directory / LOCK_NAME)
        except BlockingIOError:
            raise StorageError(
                f"{directory} is in use by another running node; give each node its own directory"
            ) from None


def draft_of(target: Path) -> Path:
    """Where a file is written before it takes its name."""
    return target.with_name(target.name + DRAFT_SUFFIX)


class Draft:
    """A file that takes its name only when it is whole and synced; else nothing remains of it."""

    def __init__(self, target: Path, files: Files = OS_FILES, *, written_as: str = "") -> None:
        self._target = target
        self._draft = draft_of(target.with_name(written_as) if written_as else target)
        self._files = files
        self._handle: int | None = None
        self._kept = False

    def __enter__(self) -> Self:
        with troubles(self._draft, "cannot be written"):
            self._handle = self._files.create(self._draft)
        return self

    def write_bytes(self, data: bytes) -> None:
        """Add bytes."""
        assert self._handle is not None
        with troubles(self._draft, "cannot be written"):
            write_all(self._files, self._handle, data)

    def sync(self) -> None:
        """What there is of it survives a power cut. Blocks for as long as the disk takes."""
        assert self._handle is not None
        with troubles(self._draft, "cannot be written"):
            self._files.sync(self._handle)

    def keep(self) -> None:
        """Sync it and let it take its name. Blocks for as long as the disk takes."""
        self.sync()
        self.take_name()

    def take_name(self) -> None:
        """All of it is synced: it replaces what has its name."""
        self.rename()
        with troubles(self._draft, "cannot be written"):
            self._files.sync_directory(self._target.parent)

    def rename(self) -> None:
        """As `take_name`, but a power cut may yet undo that."""
        with troubles(self._draft, "cannot be written"):
            self._files.rename(self._draft, self._target)
            self._kept = True

    def hand_over(self) -> int:
        """The handle of a file that has its name, for whoever goes on writing. They close it."""
        assert self._kept
        assert self._handle is not None
        handle, self._handle = self._handle, None
        return handle

    def __exit__(self, *_: object) -> None:
        handle, self._handle = self._handle, None
        # A full disk may say so once more; and a draft that stays goes at the next start.
        if handle is not None:
            with suppress(OSError):
                self._files.close(handle)
        if not self._kept:
            with suppress(OSError):
                self._files.remove(self._draft)


def replace_file(target: Path, content: bytes, files: Files = OS_FILES) -> None:
    """Let a small file have this content, synced."""
    with Draft(target, files) as draft:
        draft.write_bytes(content)
        draft.keep()
