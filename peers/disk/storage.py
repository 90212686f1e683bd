"""What survives a restart: who this node is, and snapshots of the application's state.

A state directory holds `state.json` (birth, incarnation, epoch, cluster time), `snapshot` (framed,
checksummed chunks) and `lock`. Both files are written beside their names, synced, and renamed, so
that a crash leaves the old one or the new one, never a half. Damage is reported, never trusted and
never removed: whoever runs the node decides what becomes of it.

This module decides how bytes are kept; what they mean is decided by its callers. Whatever the disk
does arrives as a StorageError that names the file.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Final

from peers.core.entry import Epoch
from peers.disk.chunk_files import ChunkDraft, ChunkFile
from peers.disk.files import (
    OS_FILES,
    draft_of,
    lock_directory,
    open_to_read,
    read_whole,
    replace_file,
    troubles,
)
from peers.disk.sealed_json import UNSEALING, seal, unseal
from peers.errors import StorageError

MAGIC: Final = b"tlru-snapshot 1\n"
STATE_BYTES_MAX: Final = 64 << 10


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
        self._lock: int | None = None

    # -- having it

    def open(self) -> State | None:
        """Take the directory for this process; the state on it, or None where it is new."""
        try:
            self._lock = lock_directory(self.path)
            with troubles(self.path, "cannot be used"):
                for file in (self._state_file, self._snapshot_file):
                    OS_FILES.remove(draft_of(file))  # a crash cut its writing short
            return self._read_state()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            OS_FILES.close(self._lock)
            self._lock = None

    # -- the state

    def _read_state(self) -> State | None:
        raw = read_whole(self._state_file, STATE_BYTES_MAX)
        if raw is None:
            self._refuse_orphan()
            return None
        try:
            fields = unseal("state", raw)
            epoch = fields["epoch"]
            return State(**{**fields, "epoch": None if epoch is None else Epoch(*epoch)})
        except UNSEALING as exc:
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
        replace_file(self._state_file, seal("state", asdict(state)))

    # -- the snapshot

    def replace_snapshot(self, mark: Mark) -> ChunkDraft:
        """A new snapshot to be written chunk by chunk; the one before stays until it is kept."""
        head = json.dumps(asdict(mark)).encode()
        return ChunkDraft(self._snapshot_file, MAGIC, head)

    def read_snapshot(self) -> StoredSnapshot | None:
        """The snapshot that is kept, None where there is none. To be closed."""
        source = open_to_read(self._snapshot_file)
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
        self._content = ChunkFile(file, source, MAGIC)
        try:
            fields = json.loads(self._content.head)
            self.mark = Mark(**{**fields, "epoch": Epoch(*fields["epoch"])})
        except (ValueError, TypeError, KeyError) as exc:
            raise self._content.damaged(f"its first chunk cannot be read ({exc})") from exc

    def chunks(self) -> Iterator[bytes]:
        """What was written, chunk by chunk."""
        return self._content.chunks()

    def close(self) -> None:
        """Let go of the file."""
        self._content.close()
