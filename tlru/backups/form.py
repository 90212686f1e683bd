"""The form of a backup: a head that says what it is of, the state in chunks, an end.

Pure but for the checksums: bytes in, chunks out, in pieces of any size. The same bytes go over HTTP
and stand in a file, so who takes a backup verifies it as it comes.

    magic                       which says that it is one
    length, xxh3, head          a msgpack map (`Head`)
    length, xxh3, chunk ...     what the engine's snapshot gave, numbered, with its own checksum
    0, 0                        the end: without it the backup was cut short

Rules for later releases: `format` grows when a reader of before would misread the file; a reader
takes every format up to its own, refuses later ones by name, and passes over keys of the head that
it does not know. What stands in the chunks has a format of its own (`state`), by the same rules.

Invariant: no chunk is given out that is not what was written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import msgpack
import xxhash

from tlru import errors
from tlru.engine.snapshot import FORMAT as STATE_FORMAT

MAGIC: Final = b"tlru-backup\n"
FORMAT: Final = 1
FRAME: Final = struct.Struct(">IQ")  # length of what follows, its xxh3 checksum
END: Final = FRAME.pack(0, 0)
HEAD_BYTES_MAX: Final = 64 << 10
CHUNK_BYTES_MAX: Final = 256 << 20  # what a value and a chunk of others come to at the very most


class BackupError(errors.BadRequest):
    """A backup that cannot be taken: damaged, cut short, or of a later release."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup is of."""

    cache: str
    node: str  # which wrote it
    release: str
    epoch: tuple[int, str, str | None]
    index: int  # the state is exact at this entry
    term: int
    time: int  # cluster time at that moment, in milliseconds: lives are counted by it
    wall: int  # the clock on the wall at that moment, in milliseconds
    items: int
    size: int  # of the items, in bytes, as the budget counts them
    level: int  # the feature level that it takes to apply what is in it
    state: int = STATE_FORMAT
    format: int = FORMAT

    def packed(self) -> bytes:
        """The head as it stands in front of the chunks, with the magic."""
        return MAGIC + framed(msgpack.packb(asdict(self)))


def framed(chunk: bytes) -> bytes:
    """A chunk as it stands in a backup."""
    assert 0 < len(chunk) <= CHUNK_BYTES_MAX, f"a chunk of {len(chunk)} bytes"
    return FRAME.pack(len(chunk), xxhash.xxh3_64_intdigest(chunk)) + chunk


class Reading:
    """A backup that comes in pieces. BackupError, with a sentence, at anything wrong."""

    def __init__(self, what: str, level: int) -> None:
        """`what`: how it is called; `level`: the highest feature level that can be applied."""
        self._what, self._level = what, level
        self._taken = bytearray()
        self._begun = self._ended = False
        self._head: Head | None = None

    @property
    def head(self) -> Head:
        """What it is of; known once the first chunk is given out, or the end has come."""
        if self._head is None:
            raise self._wrong("it ends early")
        return self._head

    @property
    def begun(self) -> bool:
        """Whether the head is known."""
        return self._head is not None

    def take(self, piece: bytes) -> Iterator[bytes]:
        """The chunks that are whole with this piece."""
        self._taken += piece
        if not self._begun:
            if not MAGIC.startswith(self._taken[: len(MAGIC)]):
                raise self._wrong("it does not begin as a backup of tlru")
            if len(self._taken) < len(MAGIC):
                return
            del self._taken[: len(MAGIC)]
            self._begun = True
        while (chunk := self._next()) is not None:
            if self._head is None:
                self._head = self._read_head(chunk)
            else:
                yield chunk
        if self._ended and self._taken:
            raise self._wrong("it goes on after its end")

    def finish(self) -> None:
        """No more will come."""
        if not self._ended:
            raise self._wrong("it ends early: it was cut short while it was written or copied")

    def _next(self) -> bytes | None:
        taken = self._taken
        if self._ended or len(taken) < FRAME.size:
            return None
        length, checksum = FRAME.unpack_from(taken)
        if not length:
            if checksum or self._head is None:
                raise self._wrong("it ends where no end can be")
            self._ended = True
            del taken[: FRAME.size]
            return None
        if length > (HEAD_BYTES_MAX if self._head is None else CHUNK_BYTES_MAX):
            raise self._wrong("a chunk claims an impossible length")
        if len(taken) < FRAME.size + length:
            return None
        chunk = bytes(taken[FRAME.size : FRAME.size + length])
        del taken[: FRAME.size + length]
        if xxhash.xxh3_64_intdigest(chunk) != checksum:
            raise self._wrong("a checksum does not hold")
        return chunk

    def _read_head(self, packed: bytes) -> Head:
        try:
            found: Any = msgpack.unpackb(packed, use_list=False)
            form, state = int(found["format"]), int(found["state"])
        except Exception as exc:
            raise self._wrong("its head cannot be read") from exc
        if form > FORMAT or state > STATE_FORMAT:
            raise self._later(f"its format is {form}.{state}, up to {FORMAT}.{STATE_FORMAT} can be")
        try:
            head = Head(**{each.name: found[each.name] for each in fields(Head)})
            _check_types(head)
        except Exception as exc:
            raise self._wrong("its head lacks something, or has it of another kind") from exc
        if head.level > self._level:
            raise self._later(f"it has feature level {head.level}, up to {self._level} can be")
        return head

    def _wrong(self, what: str) -> BackupError:
        return BackupError(
            f"{self._what} cannot be used: {what}; take another copy or an older one"
        )

    def _later(self, what: str) -> BackupError:
        return BackupError(
            f"{self._what} was written by a later release: {what} read here; use that release"
        )


def _check_types(head: Head) -> None:
    texts = (head.cache, head.node, head.release, head.epoch[1])
    numbers = (head.epoch[0], head.index, head.term, head.time, head.wall, head.items, head.size)
    parent = head.epoch[2]
    if not all(isinstance(each, str) for each in texts) or not isinstance(parent, str | None):
        raise TypeError("text was expected")
    if not all(type(each) is int and 0 <= each < 1 << 62 for each in (*numbers, head.level)):
        raise TypeError("a natural number was expected")
