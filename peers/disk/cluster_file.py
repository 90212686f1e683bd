"""Who belongs to the cluster, in a file that people can read: `cluster.json`.

It is what a node that has nothing else goes by to find the others. Nobody is added or removed by
it: a file that was changed by hand is reported, and not used.

Invariant: while the list of the same epoch stays what it is, the file is not touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from peers.core.entry import Epoch
from peers.core.membership import Membership
from peers.core.output import Committed
from peers.disk.files import Files, read_whole, replace_file
from peers.disk.sealed_json import UNSEALING, seal, unseal
from peers.errors import DamagedError, WireError
from peers.wire_members import CODEC

CLUSTER_BYTES_MAX: Final = 16 << 20
FORM: Final = 1


class Listed(NamedTuple):
    """The newest list of members that is committed, and in which epoch."""

    epoch: Epoch
    committed: Committed


class ClusterFile:
    """The members, on the disk."""

    def __init__(self, files: Files, directory: Path) -> None:
        self.path = directory / "cluster.json"
        self._files = files
        self.listed: Listed | None = None  # what is in it

    def read(self) -> Listed | None:
        """What is in it; None where there is no file. DamagedError where that cannot be used."""
        self.listed = None
        raw = read_whole(self.path, CLUSTER_BYTES_MAX, self._files)
        if raw is None:
            return None
        try:
            self.listed = _listed_in(unseal("cluster", raw))
        except (*UNSEALING, AttributeError, AssertionError, WireError) as exc:
            raise DamagedError(
                str(self.path), f"a bit is wrong, or it was changed by hand ({exc})"
            ) from exc
        return self.listed

    def write(self, epoch: Epoch, committed: Committed) -> None:
        """Keep a list, synced; nothing is done where it is there already."""
        known = self.listed
        if known is not None and (known.epoch, known.committed.membership) == (
            epoch,
            committed.membership,
        ):
            return
        fields = _fields_of(epoch, committed)
        replace_file(self.path, seal("cluster", fields), self._files)
        self.listed = Listed(epoch, committed)


def _fields_of(epoch: Epoch, committed: Committed) -> dict[str, Any]:
    membership = committed.membership
    return {
        "form": FORM,
        "epoch": list(epoch),
        "index": committed.index,
        "level": membership.level,
        "members": [
            {
                "id": member.id,
                "birth": member.birth,
                "priority": member.priority,
                "role": member.role.value,
                "region": member.region,
                "details": [list(pair) for pair in member.details],
                "joining": member.joining,
            }
            for member in membership.members
        ],
    }


def _listed_in(fields: dict[str, Any]) -> Listed:
    if fields["form"] != FORM:
        raise ValueError(f"it is of form {fields['form']}, and this release reads form {FORM}")
    number, random, parent = fields["epoch"]
    rows = tuple(
        (
            *(each["id"], each["birth"], each["priority"], each["role"], each["region"]),
            *(tuple(map(tuple, each["details"])), each["joining"]),
        )
        for each in fields["members"]
    )
    membership: Any = CODEC.unpack((rows, fields["level"]))
    assert isinstance(membership, Membership)
    return Listed(Epoch(number, random, parent), Committed(fields["index"], membership))
