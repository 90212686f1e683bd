"""What survives a restart: who this node is, and snapshots of the application's state.

A state directory holds `state.json` (birth, incarnation, epoch, cluster time), `snapshot` (framed,
checksummed chunks) and `lock`. Both files are written beside their names, synced, and renamed, so
that a crash leaves the old one or the new one, never a half. Damage is reported, never trusted and
never removed: whoever runs the node decides what becomes of it.

This module decides how bytes are kept; what they mean is decided by its callers. Whatever the disk
does arrives as a StorageError that names the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Self

import xxhash

from peers.core.entry import Epoch
from peers.errors import StorageError

MAGIC: Final = b"tlru-snapshot 1\n"
FRAME: Final = struct.Struct(">IQ")  # length of the chunk, its xxh3 checksum; (0, 0) ends the file
CHUNK_BYTES_MAX = 256 << 20
STATE_BYTES_MAX = 64 << 10
DRAFT_SUFFIX: Final = ".new"


@dataclass(frozen=True, slots=True)
class State:
    """The promises of a node; synced before anything relies on them."""

    birth: str
    incarnation: int
    epoch: Epoch | None = None
    clean: bool = False  # the snapshot of `index` is the log's last word: the epoch may go on
    index: int = 0
    cluster_ms: int = 0
    wall_ms: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Where and when a snapshot was taken."""

    epoch: Epoch
    index: int
    cluster_ms: int
    wall_ms: int


def next_life(state: State | None) -> State:
    """The state of a node that starts now: a birth of its own, and one incarnation more."""
    if state is None:
        return State(birth=secrets.token_hex(8), incarnation=1)
    return replace(state, incarnation=state.incarnation + 1, clean=False)


class StateDirectory:
    """A directory that one running node has for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state_file = path / "state.json"
        self._snapshot_file = path / "snapshot"
        self._lock: IO[str] | None = None

    # -- having it

    def open(self) -> State | None:
        """Take the directory for this process; the state on it, or None where it is new."""
        try:
            with _troubles(self.path, "cannot be used"):
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = (self.path / "lock").open("w")
                self._lock_it()
                for file in (self._state_file, self._snapshot_file):
                    _draft_of(file).unlink(missing_ok=True)  # a crash cut its writing short
            return self._read_state()
        except BaseException:
            self.close()
            raise

    def _lock_it(self) -> None:
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"{self.path} is in use by another running node; give each node its own directory"
            ) from None

    def close(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # -- the state

    def _read_state(self) -> State | None:
        source = _open(self._state_file)
        if source is None:
            self._refuse_orphan()
            return None
        with source, _troubles(self._state_file, "cannot be read"):
            raw = source.read(STATE_BYTES_MAX)
        try:
            return _state_from(raw)
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise StorageError(
                f"{self._state_file} is damaged or of another release ({exc}); restore it from a "
                f"copy, or move {self.path} away to start empty"
            ) from exc

    def _refuse_orphan(self) -> None:
        # Starting empty beside it would let the next snapshot overwrite what is kept.
        if self._snapshot_file.exists():
            raise StorageError(
                f"{self.path} holds a snapshot but no {self._state_file.name}; restore that file, "
                f"or move {self._snapshot_file} away to start empty"
            )

    def write_state(self, state: State) -> None:
        """Keep `state`, synced to the disk."""
        with _Draft(self._state_file) as draft:
            draft.write_bytes(_state_bytes(state))
            draft.keep()

    # -- the snapshot

    def replace_snapshot(self, mark: Mark) -> SnapshotDraft:
        """A new snapshot to be written chunk by chunk; the one before stays until it is kept."""
        return SnapshotDraft(self._snapshot_file, mark)

    def read_snapshot(self) -> StoredSnapshot | None:
        """The snapshot that is kept, None where there is none. To be closed."""
        source = _open(self._snapshot_file)
        if source is None:
            return None
        try:
            return StoredSnapshot(self._snapshot_file, source)
        except BaseException:
            source.close()
            raise


class StoredSnapshot:
    """A snapshot on the disk. StorageError at any damage."""

    def __init__(self, file: Path, source: IO[bytes]) -> None:
        self._file = file
        self._source = source
        if self._read(len(MAGIC)) != MAGIC:
            raise self._damaged("it does not begin as a snapshot of this release")
        try:
            fields = json.loads(self._next_chunk() or b"")
            self.mark = Mark(**{**fields, "epoch": Epoch(*fields["epoch"])})
        except (ValueError, TypeError, KeyError) as exc:
            raise self._damaged(f"its first chunk cannot be read ({exc})") from exc

    def chunks(self) -> Iterator[bytes]:
        """What was written, chunk by chunk."""
        while (chunk := self._next_chunk()) is not None:
            yield chunk
        if self._source.read(1):
            raise self._damaged("it goes on after its end")

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def _next_chunk(self) -> bytes | None:
        length, checksum = FRAME.unpack(self._read(FRAME.size))
        if length == 0 and checksum == 0:
            return None
        if not 0 < length <= CHUNK_BYTES_MAX:
            raise self._damaged("a chunk claims an impossible length")
        chunk = self._read(length)
        if xxhash.xxh3_64_intdigest(chunk) != checksum:
            raise self._damaged("a checksum does not hold")
        return chunk

    def _read(self, size: int) -> bytes:
        with _troubles(self._file, "cannot be read"):
            found = self._source.read(size)
        if len(found) < size:
            raise self._damaged("it ends early")
        return found

    def _damaged(self, what: str) -> StorageError:
        return StorageError(
            f"{self._file} is damaged: {what}; restore it from a copy, or move it away to start "
            "without it"
        )


class _Draft:
    """A file that takes its name only when it is whole and synced; else nothing remains of it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._draft = _draft_of(target)
        self._kept = False

    def __enter__(self) -> Self:
        with _troubles(self._draft, "cannot be written"):
            self._file: IO[bytes] = self._draft.open("wb")
        return self

    def write_bytes(self, data: bytes) -> None:
        """Add bytes."""
        with _troubles(self._draft, "cannot be written"):
            self._file.write(data)

    def keep(self) -> None:
        """Sync it and let it take its name. Blocks for as long as the disk takes."""
        with _troubles(self._draft, "cannot be written"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._draft.replace(self._target)
            self._kept = True
            directory = os.open(self._target.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def __exit__(self, *_: object) -> None:
        if self._kept:
            self._file.close()
            return
        try:
            self._file.close()
        except OSError:
            pass  # a full disk takes what was buffered no more now than before, and it is dropped
        finally:
            self._draft.unlink(missing_ok=True)


class SnapshotDraft(_Draft):
    """A snapshot that is being written."""

    def __init__(self, target: Path, mark: Mark) -> None:
        super().__init__(target)
        self._mark = mark

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.write_bytes(MAGIC)
            self.write(json.dumps(asdict(self._mark)).encode())
        except BaseException:
            self.__exit__()
            raise
        return self

    def write(self, chunk: bytes) -> None:
        """Add one chunk."""
        assert 0 < len(chunk) <= CHUNK_BYTES_MAX, f"a chunk of {len(chunk)} bytes"
        self.write_bytes(FRAME.pack(len(chunk), xxhash.xxh3_64_intdigest(chunk)))
        self.write_bytes(chunk)

    def keep(self) -> None:
        """Mark the end, sync, and take the name."""
        self.write_bytes(FRAME.pack(0, 0))
        super().keep()


def _draft_of(target: Path) -> Path:
    return target.with_name(target.name + DRAFT_SUFFIX)


@contextmanager
def _troubles(file: Path, what: str) -> Iterator[None]:
    """Say of which file the disk speaks."""
    try:
        yield
    except OSError as exc:
        raise StorageError(f"{file} {what}: {exc.strerror or exc}") from exc


def _open(file: Path) -> IO[bytes] | None:
    """The file, opened to be read; None where there is none."""
    with _troubles(file, "cannot be read"):
        try:
            return file.open("rb")
        except FileNotFoundError:
            return None


def _state_bytes(state: State) -> bytes:
    fields = asdict(state)
    return json.dumps({"state": fields, "checksum": _checksum(fields)}, indent=1).encode()


def _checksum(fields: dict[str, Any]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_64_hexdigest(canonical.encode())


def _state_from(raw: bytes) -> State:
    """The state in a file's bytes. ValueError, TypeError or KeyError where it is not whole."""
    found: dict[str, Any] = json.loads(raw)
    fields: dict[str, Any] = found["state"]
    # Promises with one digit changed would be broken promises.
    if found["checksum"] != _checksum(fields):
        raise ValueError("its checksum does not hold")
    epoch = fields["epoch"]
    return State(**{**fields, "epoch": None if epoch is None else Epoch(*epoch)})
