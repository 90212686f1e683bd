"""Whether a write may happen, given what is there.

Pure. A write can demand something of the key (`if`) and bring a revision (`rev`). Newer is never
replaced by older: a revision must be greater than the item's, and than the one that a delete left,
for as long as that is remembered.
"""

from __future__ import annotations

from tlru.engine.items import Item
from tlru.engine.operations import Condition, Rev
from tlru.engine.tombstones import Tombstones


def allowed(
    key: str, item: Item | None, condition: Condition, rev: Rev | None, gone: Tombstones
) -> bool:
    """Whether both the condition and the revision admit the write; `item` is None if absent."""
    if condition is not None and not _holds(key, item, condition, gone):
        return False
    if rev is None:
        return True
    known = latest(None if item is None else item.rev, gone.rev_of(key))
    return known is None or newer(rev, known)


def newer(rev: Rev, known: Rev) -> bool:
    """Whether `rev` is greater: integers by value, strings by their bytes, and any string above
    any integer, so that a source that changes from one kind to the other can only go forward."""
    if isinstance(rev, str):
        # Code points compare as their UTF-8 bytes do.
        return not isinstance(known, str) or rev > known
    return not isinstance(known, str) and rev > known


def latest(*revs: Rev | None) -> Rev | None:
    """The greatest of some revisions, None where there is none."""
    found: Rev | None = None
    for rev in revs:
        if rev is not None and (found is None or newer(rev, found)):
            found = rev
    return found


def _holds(key: str, item: Item | None, condition: tuple[object, ...], gone: Tombstones) -> bool:
    match condition:
        case ("absent",):
            return item is None
        case ("present",):
            return item is not None
        case ("version", version):
            return item is not None and item.version == version
        case ("unchanged", int(pos)):
            return item.version <= pos if item is not None else not gone.changed_after(key, pos)
        case _:
            raise AssertionError(f"a condition that is not well formed: {condition!r}")
