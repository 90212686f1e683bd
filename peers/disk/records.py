"""What the files of a cluster's node say of themselves, as bytes.

Each record is a dataclass and its codec is derived from that, so one more field, with a default, is
all that a later release has to add: files that lack it are read, and what is added is passed over.

Invariant: as in `wire_fields.py`: what is unpacked is as the annotations say, or a WireError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from peers import wire_members
from peers.core.base import Base
from peers.core.entry import Epoch, Origin
from peers.core.epochs import ANCESTORS_MAX
from peers.core.membership import Membership
from peers.core.output import Promise
from peers.errors import WireError
from peers.wire_fields import ORIGINS_MAX, Codec, Codecs, pack_plain, unpack_plain

RECORD_BYTES_MAX: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Promised:
    """What the file of promises holds: the last record counts."""

    promise: Promise
    began: Membership | None = None  # with whom its epoch began, where this node has entered it


class Ended(NamedTuple):
    """An epoch whose log goes on in another one, from this index on."""

    epoch: Epoch
    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What stands at the head of a segment of the log.

    The log goes on behind `base`; what stands behind that in segments of lower serials is void. One
    that begins `anew` needs nothing of them at all.
    """

    birth: str  # of the state directory whose log it is
    epoch: Epoch
    parents: tuple[Ended, ...]  # whose logs this one goes on from
    serial: int
    anew: bool
    base: Base
    total: int  # the sum of the frame before its first batch


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """What stands at the head of a snapshot."""

    birth: str
    epoch: Epoch
    base: Base


_CODECS: Final = Codecs(
    own={Membership: wire_members.CODEC},
    items_max={str: ANCESTORS_MAX, Ended: ANCESTORS_MAX, tuple[Origin, int, int]: ORIGINS_MAX},
    chars_max={},
    laws={},
)
_CODEC_OF: Final[dict[type, Codec]] = {
    kind: _CODECS.of(kind) for kind in (Promised, SegmentHead, SnapshotHead)
}

Record = TypeVar("Record", Promised, SegmentHead, SnapshotHead)


def pack_record(record: Promised | SegmentHead | SnapshotHead) -> bytes:
    """The bytes of a record. WireError where they would be too many."""
    codec = _CODEC_OF[type(record)]
    assert codec.pack is not None
    packed = pack_plain(codec.pack(record))
    if len(packed) > RECORD_BYTES_MAX:
        raise WireError(f"a record of {len(packed)} bytes, where {RECORD_BYTES_MAX} are the most")
    return packed


def unpack_record(kind: type[Record], packed: bytes) -> Record:
    """The record of these bytes. WireError where they are none of this kind."""
    record: Any = _CODEC_OF[kind].unpack(unpack_plain(packed))
    assert isinstance(record, kind)
    return record
