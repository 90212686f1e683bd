"""What a node has promised, and how its last life ended: two files in its state directory.

`promises` only grows: a promise is one record at its end, synced before `write` returns. That takes
a third of what a new file under the same name does (docs/disk.md has the figures), and an election
waits for it. At each start, and when it has grown large, a new file with the last record alone
takes its place.

`life.json` says what a start must know of the life before: on which boot of the machine it ran, how
it synced, whether it ended in order, and which time it was.

Invariant: what `read` gives was written last, or something is wrong and it is said what.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from peers.disk.files import Draft, Files, read_whole, replace_file, troubles, write_all
from peers.disk.frames import END, FRAME_BYTES, Ending, Walk, frame
from peers.disk.records import Promised, pack_record, unpack_record
from peers.disk.sealed_json import UNSEALING, seal, unseal
from peers.errors import DamagedError, WireError

MAGIC: Final = b"tlru-promises 1\n"
PROMISES_BYTES_MAX: Final = 64 << 20  # more is no file of ours
GROWN_BYTES: Final = 1 << 20  # from there on a new file is begun
LIFE_BYTES_MAX: Final = 64 << 10


class PromiseFile:
    """The promises of one node."""

    def __init__(self, files: Files, directory: Path) -> None:
        self.path = directory / "promises"
        self._files = files
        self._handle: int | None = None  # of a file in order; None: a new one is begun
        self._size = 0
        self._total = 0

    def read(self) -> Promised | None:
        """The last that was written; None where there is no file. DamagedError where it cannot be
        trusted. The next is written into a new file."""
        self.close()
        data = read_whole(self.path, PROMISES_BYTES_MAX, self._files)
        if data is None:
            return None
        if not data.startswith(MAGIC):
            raise DamagedError(str(self.path), "it does not begin as promises of this release")
        walk = Walk(data, len(MAGIC), 0)
        records = list(walk)
        if walk.ending in (Ending.DAMAGED, Ending.SEALED) or not records:
            # A later one may be behind it, so the last whole one must not be taken for the last.
            raise DamagedError(str(self.path), f"{Ending.DAMAGED.value} at byte {walk.place}")
        try:
            return unpack_record(Promised, records[-1])
        except WireError as exc:
            raise DamagedError(str(self.path), f"its last record cannot be read ({exc})") from exc

    def write(self, promised: Promised) -> None:
        """Keep it, synced. StorageError where the disk does not take it."""
        payload = pack_record(promised)
        if self._handle is None or self._size > GROWN_BYTES:
            self._begin(payload)
        else:
            self._add(self._handle, payload)

    def _begin(self, payload: bytes) -> None:
        self.close()
        header, total = frame(payload, 0)
        with Draft(self.path, self._files) as draft:
            draft.write_bytes(MAGIC + header + payload + END)
            draft.keep()
            self._handle = draft.hand_over()
        self._size, self._total = len(MAGIC) + FRAME_BYTES + len(payload), total

    def _add(self, handle: int, payload: bytes) -> None:
        header, total = frame(payload, self._total)
        try:
            with troubles(self.path, "cannot be written"):
                write_all(self._files, handle, header + payload + END)
                self._files.sync(handle)
        except BaseException:
            # How much of it the disk has is not known: what comes next begins a new file.
            self.close()
            raise
        self._size += FRAME_BYTES + len(payload)
        self._total = total

    def close(self) -> None:
        """Let go of the file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(OSError):
                self._files.close(handle)


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a node, as far as the next has to know of it."""

    boot: str  # of the machine; "" where the system does not say
    keeps: bool  # whether there was a data directory
    fsync: str
    clean: bool = False  # it ended in order, with everything synced
    cluster_ms: int = 0
    wall_ms: int = 0


class LifeFile:
    """The life of one node."""

    def __init__(self, files: Files, directory: Path) -> None:
        self.path = directory / "life.json"
        self._files = files

    def read(self) -> Life | None:
        """The last life; None where there was none. DamagedError where it cannot be trusted."""
        raw = read_whole(self.path, LIFE_BYTES_MAX, self._files)
        if raw is None:
            return None
        try:
            fields: dict[str, Any] = unseal("life", raw)
            known = {name: fields[name] for name in Life.__slots__ if name in fields}
            return Life(**known)
        except UNSEALING as exc:
            raise DamagedError(str(self.path), str(exc)) from exc

    def write(self, life: Life) -> None:
        """Keep it, synced."""
        replace_file(self.path, seal("life", asdict(life)), self._files)
