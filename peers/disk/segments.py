"""One file of the log: a head that says what it goes on from, then batches, each a frame.

A segment is named by the index of its first batch and by its serial, and only ever grows. This
module decides its form; which segments make up the log is decided in `log_files.py` and
`log_reading.py`.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from pathlib import Path
from typing import Final

from peers.core.entry import Batch
from peers.disk.files import Files, open_to_read, troubles
from peers.disk.frames import END, FRAME_BYTES, HEADER, Walk, frame
from peers.disk.records import RECORD_BYTES_MAX, SegmentHead, pack_record, unpack_record
from peers.errors import DamagedError, WireError
from peers.wire_batches import unpack_batch

MAGIC: Final = b"tlru-log 1\n"
NAME: Final = re.compile(r"(\d{20})-(\d{8,})\.log")


def name_of(first: int, serial: int) -> str:
    """The name of the segment whose first batch has this index."""
    return f"{first:020}-{serial:08}.log"


class Segment:
    """A segment, and where in it the batches end that count."""

    __slots__ = ("begin", "ends", "head", "path", "places", "size", "total")

    def __init__(self, path: Path, head: SegmentHead, size: int, total: int) -> None:
        self.path = path
        self.head = head
        self.begin = size  # where its first batch stands
        self.ends = array("Q")  # the last index of each batch,
        self.places = array("Q")  # and where its frame ends
        self.size = size
        self.total = total  # of its last frame

    @property
    def after(self) -> int:
        """The index behind which it begins."""
        return self.head.base.position.index

    @property
    def last(self) -> int:
        """The index of the last entry in it, or before it where there is none."""
        return self.ends[-1] if self.ends else self.after

    def note(self, last: int, place: int, total: int) -> None:
        """One more batch is in it."""
        self.ends.append(last)
        self.places.append(place)
        self.size, self.total = place, total

    def cut(self, index: int, total: int) -> None:
        """What is behind `index`, the end of a batch, does not count any more."""
        keep = bisect_left(self.ends, index + 1)
        del self.ends[keep:], self.places[keep:]
        self.size = self.places[-1] if keep else self.begin
        self.total = total

    def read_batch(self, files: Files, index: int) -> tuple[Batch, int]:
        """The batch that ends at `index`, and the sum of its frame."""
        number = bisect_left(self.ends, index)
        assert self.ends[number] == index, f"{index} is inside a batch"
        place = self.places[number - 1] if number else self.begin
        source = open_to_read(self.path, files)
        if source is None:
            raise DamagedError(str(self.path), "it is not there any more")
        with source, troubles(self.path, "cannot be read"):
            source.seek(place)
            found = source.read(self.places[number] - place)
        try:
            _, _, total = HEADER.unpack_from(found)
            return unpack_batch(found[HEADER.size : -len(END)]), total
        except (WireError, ValueError) as exc:
            raise DamagedError(str(self.path), f"a batch cannot be read again ({exc})") from exc


def head_bytes(head: SegmentHead) -> tuple[bytes, int]:
    """What a segment begins with, and the sum of that."""
    payload = pack_record(head)
    header, total = frame(payload, 0)
    return MAGIC + header + payload + END, total


def read_head(path: Path, files: Files) -> Segment:
    """A segment of which only the head was read. DamagedError where that cannot be."""
    source = open_to_read(path, files)
    if source is None:
        raise DamagedError(str(path), "it is not there any more")
    with source, troubles(path, "cannot be read"):
        data = source.read(len(MAGIC) + FRAME_BYTES)
        if len(data) == len(MAGIC) + FRAME_BYTES:
            length = HEADER.unpack_from(data, len(MAGIC))[0]
            data += source.read(min(length, RECORD_BYTES_MAX))
    if not data.startswith(MAGIC):
        raise DamagedError(str(path), "it does not begin as a log of this release")
    walk = Walk(data, len(MAGIC), 0)
    payload = next(iter(walk), None)
    if payload is None:
        raise DamagedError(str(path), "its head is not whole")
    try:
        head = unpack_record(SegmentHead, payload)
    except WireError as exc:
        raise DamagedError(str(path), f"its head cannot be read ({exc})") from exc
    if path.name != name_of(head.base.position.index + 1, head.serial):
        raise DamagedError(str(path), "it has the name of another")
    return Segment(path, head, walk.place, walk.total)
