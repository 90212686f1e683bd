"""What a start makes of the segments that it finds: the log, and what is wrong with it.

The line of segments follows from their heads alone: the serials say which holds. Then each is read,
and has to go on exactly where the one before ends. Where that is not so, everything from there on
is given up, unless a snapshot covers it and a later segment goes on from within that.

This module changes nothing on the disk. Whether the snapshot is good was found out before.

Invariant: what is given out is what was written, in order, without a gap.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peers.core.entry import Epoch
from peers.core.log import Log
from peers.disk.files import Files, read_whole, words_of
from peers.disk.frames import Ending, Walk
from peers.disk.records import SegmentHead
from peers.disk.segments import NAME, Segment, read_head
from peers.errors import DamagedError, StorageError, WireError
from peers.wire_batches import unpack_batch

SEGMENT_BYTES_MAX: Final = 1 << 30  # more is no segment of ours
NO_END: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A segment whose head cannot be trusted; its name says where it would stand."""

    path: Path
    after: int
    serial: int
    words: str


@dataclass(slots=True)
class Heads:
    """The segments in a directory, and the epochs whose logs are in that of the present one."""

    ours: list[Segment | Unreadable] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)  # of epochs that are over
    strangers: list[Path] = field(default_factory=list)  # of another birth
    serial: int = 0  # the highest
    epochs: dict[Epoch, int] = field(default_factory=dict)  # and up to which index they count


def read_heads(
    files: Files, directory: Path, names: Iterable[str], birth: str, epoch: Epoch
) -> Heads:
    """Read the heads of all segments among these names."""
    heads = Heads(epochs={epoch: NO_END})
    read: list[Segment] = []
    for name in names:
        match = NAME.fullmatch(name)
        if match is None:
            continue
        path, serial = directory / name, int(match[2])
        heads.serial = max(heads.serial, serial)
        try:
            read.append(read_head(path, files))
        except StorageError as exc:
            after = max(0, int(match[1]) - 1)
            heads.ours.append(Unreadable(path, after, serial, words_of(path, exc)))
    _note_parents(heads, [each.head for each in read], birth, epoch)
    for segment in read:
        if segment.head.birth != birth:
            heads.strangers.append(segment.path)
        elif segment.head.epoch in heads.epochs:
            heads.ours.append(segment)
        else:
            heads.others.append(segment.path)
    return heads


def _note_parents(heads: Heads, found: list[SegmentHead], birth: str, epoch: Epoch) -> None:
    for head in found:
        if (head.birth, head.epoch) == (birth, epoch):
            for parent, end in head.parents:
                heads.epochs[parent] = min(end, heads.epochs.get(parent, end))


@dataclass(slots=True)
class Reading:
    """What became of it."""

    log: Log | None = None  # None: nothing of it can be used
    line: list[Segment] = field(default_factory=list)  # the segments that hold it
    spare: list[Path] = field(default_factory=list)  # those that are of no use any more
    aside: list[Path] = field(default_factory=list)  # those with something wrong in them, and
    # those behind; where one of them is in the line as well, its beginning is good
    damage: list[str] = field(default_factory=list)  # what is wrong, a sentence each
    lost: bool = False  # something that was written is missing


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why the log does not go on."""

    words: str
    inside: bool  # something in this file is wrong, not only how it fits to the one before


def read_log(files: Files, heads: Heads, covered: int) -> Reading:
    """Read the log. A snapshot is exact at `covered`, or 0: up to there nothing is needed."""
    with _uncollected():
        return _read_log(files, heads, covered)


def _read_log(files: Files, heads: Heads, covered: int) -> Reading:
    reading = Reading(spare=list(heads.others))
    line = _line_of(heads.ours, reading)
    number = 0
    while number < len(line):
        end = line[number + 1].after if number + 1 < len(line) else None
        fault = _join(files, reading, line[number], end, covered)
        if fault is None:
            number += 1
            continue
        reading.damage.append(fault.words)
        again = next(
            (n for n in range(number + fault.inside, len(line)) if _may_begin(line[n], covered)),
            None,
        )
        if again is None:
            reading.lost = True
            reading.aside += [each.path for each in line[number:]]
            break
        reading.spare += [each.path for each in reading.line]
        if fault.inside:
            reading.aside.append(line[number].path)
        reading.log, reading.line, number = None, [], again
    return reading


@contextmanager
def _uncollected() -> Iterator[None]:
    """Millions of tuples are made, none of them garbage: looking for some in between takes longer
    than all the rest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _may_begin(segment: Segment | Unreadable, covered: int) -> bool:
    return isinstance(segment, Segment) and segment.after <= covered


def _line_of(found: list[Segment | Unreadable], reading: Reading) -> list[Segment | Unreadable]:
    """Those that hold, in order: each voids what stands behind its base in earlier ones."""
    line: list[Segment | Unreadable] = []
    for segment in sorted(found, key=_serial_of):
        anew = isinstance(segment, Segment) and segment.head.anew
        while line and (anew or line[-1].after >= segment.after):
            reading.spare.append(line.pop().path)
        line.append(segment)
    return line


def _serial_of(segment: Segment | Unreadable) -> int:
    return segment.head.serial if isinstance(segment, Segment) else segment.serial


# -- one segment after the other


def _join(
    files: Files, reading: Reading, segment: Segment | Unreadable, end: int | None, covered: int
) -> _Fault | None:
    """Add what a segment holds, up to `end`, where the next goes on."""
    if isinstance(segment, Unreadable):
        return _Fault(segment.words, inside=True)
    base, log = segment.head.base, reading.log
    if log is None:
        if segment.after > covered:
            words = f"{segment.path}: what comes before entry {segment.after + 1} is missing"
            return _Fault(words, inside=False)
        log = reading.log = Log(base)
    elif (log.last, reading.line[-1].total) != (base.position, segment.head.total):
        words = f"{segment.path}: it does not go on where {reading.line[-1].path.name} ends"
        return _Fault(words, inside=False)
    reading.line.append(segment)
    try:
        ending = _read(files, segment, log, NO_END if end is None else end)
    except (StorageError, WireError) as exc:
        return _Fault(words_of(segment.path, exc), inside=True)
    return _fault_at(segment, log, ending, end)


def _fault_at(segment: Segment, log: Log, ending: Ending, end: int | None) -> _Fault | None:
    """What the end of a segment says: it is the last, or the next goes on at `end`."""
    if end is not None:
        if log.last.index == end:
            return None  # whatever else is in it: the next one holds
    elif ending in (Ending.CLEAN, Ending.TORN):
        return None
    elif ending is Ending.SEALED:
        return _Fault(f"{segment.path}: the one that goes on from it is missing", inside=False)
    where = f"behind entry {log.last.index}, at byte {segment.size}"
    return _Fault(f"{segment.path}: {ending.value} {where}", inside=True)


def _read(files: Files, segment: Segment, log: Log, end: int) -> Ending:
    """Add the batches of a segment to the log, up to `end`."""
    data = read_whole(segment.path, SEGMENT_BYTES_MAX, files)
    walk = Walk(data or b"", segment.size, segment.total)
    for payload in walk:
        batch = unpack_batch(payload)
        last = batch.last
        if last.index > end:
            return Ending.CLEAN
        if batch.first != log.last.index + 1 or batch.entries[0].term < log.last.term:
            raise DamagedError(str(segment.path), f"entry {batch.first} is out of its place")
        log.append(batch)
        segment.note(last.index, walk.place, walk.total)
    return walk.ending
