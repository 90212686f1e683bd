"""What nodes say to each other, as bytes: envelopes, the codes of messages, and the version.

An envelope is one msgpack array: version, code of the message, sender, incarnation, epoch, whom it
is for (id, birth and incarnation), and the fields of the message in the order of their class. Codes
are for ever; a new field stands last and has a default, since an earlier release passes over it and
lacks it. Batches stand in it as the bytes that the leader made of them.

What nodes say to each other beside the log has codes of its own, from `BESIDE_FROM` on, and never
comes to the core: `cluster/asking.py` has it.

Invariant: whatever bytes come, `decode` gives an envelope of the right types or raises WireError.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

from peers import wire_members
from peers.core.entry import Batch, Epoch, Origin, Proposal
from peers.core.membership import Member, Membership
from peers.core.messages import (
    Append,
    AppendAnswer,
    BarrierAnswer,
    BarrierAsk,
    Blank,
    Envelope,
    EpochAccept,
    EpochAnswer,
    EpochAsk,
    EpochPropose,
    Forward,
    ForwardAnswer,
    Hello,
    JoinAnswer,
    JoinAsk,
    NewerLog,
    PreVote,
    PreVoteAnswer,
    Probe,
    ProbeAnswer,
    Progress,
    Recover,
    RecoverAnswer,
    Removed,
    SnapshotAsk,
    SnapshotGone,
    SnapshotPiece,
    TakeLog,
    TransferLead,
    Vote,
    VoteAnswer,
)
from peers.errors import WireError
from peers.wire_batches import pack_batch, pack_proposals, unpack_batch, unpack_proposals
from peers.wire_fields import (
    BATCHES_MAX,
    FRAME_BYTES_MAX,
    ORIGINS_MAX,
    Codec,
    Codecs,
    pack_plain,
    remembering,
    take_int,
    take_text,
    unpack_plain,
)

__all__ = [
    "BESIDE_FROM",
    "CODECS",
    "CODES",
    "FRAME_BYTES_MAX",
    "VERSION",
    "VERSION_MIN",
    "UnknownKindError",
    "decode",
    "encode",
    "is_beside",
    "pack_batch",
    "unpack_batch",
]

# An envelope of any version begins with the head of an array of at most 15, and its version in one
# byte: so whoever cannot read the rest still knows why.
VERSION: Final = 1
VERSION_MIN: Final = 1
_ARRAY_HEADS: Final = range(0x90, 0xA0)
_ENVELOPE_LENGTH: Final = 9

_new = tuple.__new__  # a third of the time that a named tuple takes, for what is checked already

# Codes that are no core's: to a release that does not know one it is a message of an unknown kind.
BESIDE_FROM: Final = 128
_BESIDE_HEAD: Final = 0xCC  # how msgpack begins a number of 128 to 255; smaller ones are one byte

# A code that is no longer used is never given again.
CODES: Final[dict[type[Any], int]] = {
    PreVote: 1,
    PreVoteAnswer: 2,
    Vote: 3,
    VoteAnswer: 4,
    TakeLog: 5,
    NewerLog: 6,
    Append: 7,
    AppendAnswer: 8,
    Probe: 9,
    ProbeAnswer: 10,
    Forward: 11,
    ForwardAnswer: 12,
    TransferLead: 13,
    BarrierAsk: 14,
    BarrierAnswer: 15,
    Recover: 16,
    RecoverAnswer: 17,
    Hello: 18,
    SnapshotAsk: 19,
    SnapshotPiece: 20,
    SnapshotGone: 21,
    JoinAsk: 22,
    JoinAnswer: 23,
    Removed: 24,
    Blank: 25,
    EpochPropose: 26,
    EpochAccept: 27,
    EpochAsk: 28,
    EpochAnswer: 29,
    Progress: 30,
}


class UnknownKindError(WireError):
    """A message that this release has no class for: pass over it, and read the next."""


CODECS: Final = Codecs(
    own={
        Batch: Codec(attrgetter("packed"), unpack_batch),
        tuple[Proposal, ...]: Codec(pack_proposals, unpack_proposals),
        Membership: wire_members.CODEC,
    },
    items_max={Batch: BATCHES_MAX, tuple[Origin, int, int]: ORIGINS_MAX},
    chars_max=wire_members.DETAIL_CHARS,
    laws={tuple[Member, ...]: wire_members.in_order},
)
_KINDS: Final = {kind: (code, CODECS.of(kind).pack) for kind, code in CODES.items()}
_READERS: Final = {code: CODECS.of(kind).unpack for kind, code in CODES.items()}
_take_origin: Final = CODECS.of(Origin).unpack
_take_epoch: Final = CODECS.of(Epoch).unpack


def _head(found: Any) -> tuple[Origin, int, Epoch, str, str, int]:
    sender, incarnation, epoch, to, birth, life = found
    return (
        *(_take_origin(sender), take_int(incarnation), _take_epoch(epoch)),
        *(take_text(to), take_text(birth), take_int(life)),
    )


def _has_integers(head: Any) -> bool:
    return type(head[1]) is type(head[2][0]) is type(head[5]) is int


_take_head: Final = remembering(_head, _has_integers)


def encode(envelope: Envelope, version: int | None = None) -> bytes:
    """The bytes of an envelope in this version of the protocol, or in the newest. WireError where
    it is larger than a frame may be."""
    code, pack = _KINDS[type(envelope.message)]
    message = envelope.message if pack is None else pack(envelope.message)
    data = pack_plain(
        (
            VERSION if version is None else version,
            code,
            envelope.sender,
            envelope.incarnation,
            envelope.epoch,
            envelope.to,
            envelope.birth,
            envelope.life,
            message,
        )
    )
    if len(data) > FRAME_BYTES_MAX:
        raise WireError(f"a message of {len(data)} bytes, where {FRAME_BYTES_MAX} are the most")
    return data


def decode(data: bytes, frame_bytes_max: int = FRAME_BYTES_MAX) -> Envelope:
    """The envelope of these bytes. WireError where they are none."""
    if len(data) > frame_bytes_max:
        raise WireError(f"a message of {len(data)} bytes, where {frame_bytes_max} are the most")
    _check_version(data)
    parts = unpack_plain(data)
    if len(parts) < _ENVELOPE_LENGTH:
        raise WireError(f"an envelope of {len(parts)} parts, where {_ENVELOPE_LENGTH} are needed")
    code = take_int(parts[1])
    read = _READERS.get(code)
    if read is None:
        raise UnknownKindError(f"a message of the kind {code}, which this release does not know")
    head = _take_head(parts[2 : _ENVELOPE_LENGTH - 1])
    return _new(Envelope, (*head, read(parts[_ENVELOPE_LENGTH - 1])))


def is_beside(data: bytes) -> bool:
    """Whether these bytes are something that is said beside the log."""
    return len(data) > 2 and data[2] == _BESIDE_HEAD


def _check_version(data: bytes) -> None:
    if len(data) < 2 or data[0] not in _ARRAY_HEADS:
        raise WireError(f"{len(data)} bytes that do not begin as an envelope")
    if not VERSION_MIN <= data[1] <= VERSION:
        raise WireError(
            f"a message of protocol version {data[1]}, and this release speaks versions "
            f"{VERSION_MIN} to {VERSION}: upgrade the older of the two nodes"
        )
