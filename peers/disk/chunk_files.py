"""A file of chunks: each with its length and checksum, and an end that says that it is the end.

This module decides how chunks are kept; what is in them, the first one included, which says what
the file is of, is decided by its callers.

Invariant: no chunk is given out that is not what was written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Self

import xxhash

from peers.disk.files import OS_FILES, Draft, Files, troubles
from peers.errors import DamagedError

FRAME: Final = struct.Struct(">IQ")  # length of the chunk, its xxh3 checksum; (0, 0) ends the file
CHUNK_BYTES_MAX: Final = 256 << 20


class ChunkFile:
    """A file of chunks on the disk. DamagedError at any damage."""

    def __init__(self, file: Path, source: IO[bytes], magic: bytes) -> None:
        self._file = file
        self._source = source
        if self._read(len(magic)) != magic:
            raise self.damaged("it does not begin as a snapshot of this release")
        self.head = self._next_chunk() or b""

    def chunks(self) -> Iterator[bytes]:
        """What was written behind the first chunk, chunk by chunk."""
        while (chunk := self._next_chunk()) is not None:
            yield chunk
        if self._read_up_to(1):
            raise self.damaged("it goes on after its end")

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def _next_chunk(self) -> bytes | None:
        length, checksum = FRAME.unpack(self._read(FRAME.size))
        if length == 0 and checksum == 0:
            return None
        if not 0 < length <= CHUNK_BYTES_MAX:
            raise self.damaged("a chunk claims an impossible length")
        chunk = self._read(length)
        if xxhash.xxh3_64_intdigest(chunk) != checksum:
            raise self.damaged("a checksum does not hold")
        return chunk

    def _read(self, size: int) -> bytes:
        found = self._read_up_to(size)
        if len(found) < size:
            raise self.damaged("it ends early")
        return found

    def _read_up_to(self, size: int) -> bytes:
        with troubles(self._file, "cannot be read"):
            return self._source.read(size)

    def damaged(self, what: str) -> DamagedError:
        """What is wrong with this file, as an error."""
        return DamagedError(str(self._file), what)


class ChunkDraft(Draft):
    """A file of chunks that is being written; `head` is its first chunk."""

    def __init__(
        self,
        target: Path,
        magic: bytes,
        head: bytes,
        files: Files = OS_FILES,
        *,
        written_as: str = "",
    ) -> None:
        super().__init__(target, files, written_as=written_as)
        self._magic, self._head = magic, head

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.write_bytes(self._magic)
            self.write(self._head)
        except BaseException:
            self.__exit__()
            raise
        return self

    def write(self, chunk: bytes) -> None:
        """Add one chunk."""
        assert 0 < len(chunk) <= CHUNK_BYTES_MAX, f"a chunk of {len(chunk)} bytes"
        self.write_bytes(FRAME.pack(len(chunk), xxhash.xxh3_64_intdigest(chunk)))
        self.write_bytes(chunk)

    def finish(self) -> None:
        """Mark the end and sync; its name it has not yet."""
        self.write_bytes(FRAME.pack(0, 0))
        self.sync()

    def keep(self) -> None:
        """Mark the end, sync, and take the name."""
        self.finish()
        self.take_name()
