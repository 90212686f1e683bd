"""The snapshots of a cluster's node: what the application gave, with the base that goes with it.

A snapshot takes its name, which says the index that it is exact at, when it is whole and synced.
Older ones are removed after that. What is found at a start is read to its end before it is trusted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peers.core.base import Base
from peers.core.entry import Epoch
from peers.disk.chunk_files import ChunkDraft, ChunkFile
from peers.disk.files import Files, open_to_read, words_of
from peers.disk.records import SnapshotHead, pack_record, unpack_record
from peers.errors import DamagedError, StorageError, WireError

MAGIC: Final = b"tlru-state 1\n"
NAME: Final = re.compile(r"snapshot-(\d{20})")


def name_of(index: int) -> str:
    """The name of the snapshot that is exact at this index."""
    return f"snapshot-{index:020}"


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot that is on the disk, whole."""

    path: Path
    base: Base
    files: Files = field(repr=False)

    def chunks(self) -> Iterator[bytes]:
        """What the application gave, chunk by chunk. DamagedError at any damage."""
        content = _open(self.path, self.files)
        try:
            yield from content.chunks()
        finally:
            content.close()


def draft(
    files: Files, directory: Path, birth: str, epoch: Epoch, base: Base, *, written_as: str = ""
) -> ChunkDraft:
    """A snapshot that is to be written. Two that are written at a time are `written_as` two."""
    head = pack_record(SnapshotHead(birth, epoch, base))
    target = directory / name_of(base.position.index)
    return ChunkDraft(target, MAGIC, head, files, written_as=written_as)


def _open(path: Path, files: Files) -> ChunkFile:
    source = open_to_read(path, files)
    if source is None:
        raise DamagedError(str(path), "it is not there any more")
    try:
        return ChunkFile(path, source, MAGIC)
    except BaseException:
        source.close()
        raise


@dataclass(slots=True)
class Found:
    """What snapshots there are, and what is wrong with them."""

    newest: KeptSnapshot | None = None
    missed: int = 0  # one that was exact at this index is damaged
    spare: list[Path] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def read_snapshots(
    files: Files, directory: Path, names: Iterable[str], birth: str, epochs: dict[Epoch, int]
) -> Found:
    """The newest whole snapshot of this birth and these epochs, each up to an index."""
    found = Found()
    for name in sorted(names, reverse=True):
        match = NAME.fullmatch(name)
        if match is None:
            continue
        path = directory / name
        try:
            head = _verified(path, files, whole=found.newest is None)
        except StorageError as exc:
            found.damage.append(words_of(path, exc))
            found.aside.append(path)
            if found.newest is None:
                found.missed = max(found.missed, int(match[1]))
            continue
        index = head.base.position.index
        if head.birth != birth:
            found.aside.append(path)
            found.damage.append(f"{path}: it is another node's")
        elif found.newest is None and index <= epochs.get(head.epoch, -1):
            found.newest = KeptSnapshot(path, head.base, files)
        else:
            found.spare.append(path)
    return found


def _verified(path: Path, files: Files, *, whole: bool) -> SnapshotHead:
    """The head of a snapshot; where that matters, all of it is read and compared."""
    content = _open(path, files)
    try:
        try:
            head = unpack_record(SnapshotHead, content.head)
        except WireError as exc:
            raise content.damaged(f"its first chunk cannot be read ({exc})") from exc
        if path.name != name_of(head.base.position.index):
            raise content.damaged("it has the name of another")
        if whole:
            for _ in content.chunks():
                pass
        return head
    finally:
        content.close()


def remove_others(files: Files, directory: Path, kept: str) -> None:
    """Remove all snapshots but the one of this name. What cannot go now goes at the next start."""
    with contextlib.suppress(OSError):
        for name in files.names(directory):
            if NAME.fullmatch(name) and name != kept:
                files.remove(directory / name)
