"""What survives a restart: who this node is, and snapshots of the application's state.

A state directory holds `state.json` (birth, incarnation, epoch, cluster time), `snapshot` (framed,
checksummed chunks) and `lock`. Every file is written beside its name, synced, and renamed, so that
a crash leaves the old one or the new one, never a half. Damage is reported and never trusted.

This module decides how bytes are kept; what they mean is decided by its callers.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

import xxhash

from peers.core.entry import Epoch
from peers.errors import StorageError

MAGIC = b"tlru-snapshot 1\n"
FRAME = struct.Struct(">IQ")  # length of the chunk, its xxh3 checksum; length 0 ends the file
CHUNK_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class State:
    """The promises of a node and where its log stood; synced before anything relies on them."""

    birth: str
    incarnation: int
    epoch: Epoch | None = None
    clean: bool = False  # the snapshot is the log's last word: the epoch may go on
    index: int = 0  # of that snapshot
    term: int = 1
    sequence: int = 0
    cluster_ms: int = 0
    wall_ms: int = 0


class StateDirectory:
    """A directory that one running node has for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def open(self) -> State | None:
        """Take the directory for this process; the state on it, or None where it is new."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StorageError(f"{self.path} is in use by another running node") from None
        except OSError as exc:
            self.close()
            raise StorageError(f"{self.path} cannot be used: {exc.strerror or exc}") from exc
        try:
            return self._read_state()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read_state(self) -> State | None:
        file = self.path / "state.json"
        try:
            raw: dict[str, Any] = json.loads(file.read_bytes())
            epoch = raw.pop("epoch")
            return State(epoch=None if epoch is None else Epoch(*epoch), **raw)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise StorageError(
                f"{file} cannot be read ({exc}); restore it, or move it away to start empty"
            ) from exc

    def write_state(self, state: State) -> None:
        """Keep `state`, synced to the disk."""
        try:
            with _Draft(self.path / "state.json") as draft:
                draft.file.write(json.dumps(asdict(state), indent=1).encode())
                draft.keep()
        except OSError as exc:
            raise StorageError(f"{self.path} cannot be written: {exc.strerror or exc}") from exc

    def replace_snapshot(self) -> SnapshotDraft:
        """A new snapshot to be written chunk by chunk; the one before stays until it is kept."""
        return SnapshotDraft(self.path / "snapshot")

    def read_snapshot(self) -> Iterator[bytes]:
        """The chunks of the snapshot; nothing where there is none; StorageError at any damage."""
        file = self.path / "snapshot"
        try:
            with file.open("rb") as source:
                yield from _read_chunks(source, file)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StorageError(f"{file} cannot be read: {exc.strerror or exc}") from exc


def _read_chunks(source: IO[bytes], file: Path) -> Iterator[bytes]:
    def damaged(what: str) -> StorageError:
        return StorageError(f"{file} is damaged: {what}; move it away to start without it")

    if source.read(len(MAGIC)) != MAGIC:
        raise damaged("it does not begin as a snapshot of this release")
    while True:
        frame = source.read(FRAME.size)
        if len(frame) < FRAME.size:
            raise damaged("it ends early")
        length, checksum = FRAME.unpack(frame)
        if length == 0:
            return
        if length > CHUNK_BYTES_MAX:
            raise damaged("a chunk claims an impossible length")
        chunk = source.read(length)
        if len(chunk) < length:
            raise damaged("it ends early")
        if xxhash.xxh3_64_intdigest(chunk) != checksum:
            raise damaged("a checksum does not hold")
        yield chunk


class _Draft:
    """A file that takes its name only when it is whole and synced; else nothing remains of it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._draft = target.with_name(target.name + ".new")
        self._kept = False

    def __enter__(self) -> Self:
        self.file: IO[bytes] = self._draft.open("wb")
        return self

    def keep(self) -> None:
        """Sync it and let it take its name. Blocks for as long as the disk takes."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._draft.replace(self._target)
        self._kept = True
        directory = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if not self._kept:
            self._draft.unlink(missing_ok=True)


class SnapshotDraft(_Draft):
    """A snapshot that is being written."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.file.write(MAGIC)
        return self

    def write(self, chunk: bytes) -> None:
        """Add one chunk."""
        self.file.write(FRAME.pack(len(chunk), xxhash.xxh3_64_intdigest(chunk)))
        self.file.write(chunk)

    def keep(self) -> None:
        """Mark the end, sync, and take the name."""
        self.file.write(FRAME.pack(0, 0))
        super().keep()


def next_life(state: State | None) -> State:
    """The state of a node that starts now: a birth of its own, and one incarnation more."""
    if state is None:
        return State(birth=secrets.token_hex(8), incarnation=1)
    return replace(state, incarnation=state.incarnation + 1, clean=False)
