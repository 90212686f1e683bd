"""Who belongs to the cluster, as bytes: in messages, and as the operation of an entry.

Invariant: as in `wire_fields.py`; beside it, members stand in the order of their ids.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from peers.core.membership import MEMBERS_MAX, Member, Membership
from peers.errors import WireError
from peers.wire_fields import (
    DETAIL_CHARS_MAX,
    OPERATION_BYTES_MAX,
    Codec,
    Codecs,
    pack_plain,
    unpack_plain,
)

DETAIL_CHARS: Final = {(Member, "details"): DETAIL_CHARS_MAX}


def in_order(members: tuple[Member, ...]) -> bool:
    """Members stand in the order of their ids, each once."""
    return all(one.id < two.id for one, two in pairwise(members))


CODEC: Final[Codec] = Codecs(
    own={},
    items_max={Member: MEMBERS_MAX},
    chars_max=DETAIL_CHARS,
    laws={tuple[Member, ...]: in_order},
).of(Membership)


def pack_membership(membership: Membership) -> bytes:
    """The bytes of an operation that says who belongs. WireError where others would refuse them."""
    assert CODEC.pack is not None
    packed = pack_plain(CODEC.pack(membership))
    if len(packed) > OPERATION_BYTES_MAX:
        raise WireError(f"a membership of {len(packed)} bytes")
    unpack_membership(packed)
    return packed


def unpack_membership(packed: bytes) -> Membership:
    """Who belongs, from these bytes. WireError where they do not say so."""
    membership: Any = CODEC.unpack(unpack_plain(packed))
    assert isinstance(membership, Membership)
    return membership
