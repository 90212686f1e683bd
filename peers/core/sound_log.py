"""Whether batches of another node's log can stand behind ours: what `Log.append` relies on.

Pure. Logs that agree at one position agree on all before it, and each entry follows the one before
in index, term, time, and in the sequence of its origin. So whatever an honest node sends follows
itself, and what of it is new to us follows what we have.

It is asked with every write of every follower. That a batch follows itself in term and time was
seen when it was read (`wire_batches.py`), where it costs nothing; so only its ends are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peers.core.entry import Batch, Origin, Position
from peers.core.membership import Membership
from peers.core.state import State

_Places = dict[Origin, tuple[int, int]]  # how far each origin is: incarnation and sequence


def agrees(previous: Position, state: State) -> bool:
    """Whether what follows it would be taken, as the parts see it that take it."""
    if previous.index < state.commit:
        return True
    return state.log.term_at(previous.index) == previous.term


def why_not_in_itself(batches: Sequence[Batch], previous: Position, term: int) -> str | None:
    """Whether each follows the one before, in index, term and time, and none is of a later term."""
    end, at = previous, 0
    for batch in batches:
        first = batch.entries[0]
        if batch.first != end.index + 1:
            return f"entry {batch.first} stands where {end.index + 1} should"
        if first.term < end.term:
            return f"entry {batch.first} is of term {first.term}, behind one of {end.term}"
        if first.at < at:
            return f"the time goes back at entry {batch.first}"
        if batch.membership is not None and not batch.membership.voters:
            return f"entry {batch.first} leaves nobody who votes"
        end, at = batch.last, batch.entries[-1].at
    if end.term > term:
        return f"entry {end.index} is of term {end.term}, which is after {term}"
    return None


def why_not_after_ours(batches: Sequence[Batch], state: State, given: int) -> str | None:
    """Whether what is new of it can stand behind what is ours, and takes nothing of it away that is
    committed. `given`: so many operations of our own have a dot of our present life."""
    log = state.log
    new = 0
    if batches[0].first != log.last.index + 1:
        new = _first_that_is_new(batches, state)
        if new == len(batches):
            return None
    batch = batches[new]
    before = batch.first - 1
    if before < state.commit:
        return f"entry {batch.first} differs from what is committed here"
    if before == log.last.index:
        term, at, places = log.last.term, log.last_at, log.vector.by_origin()
    else:
        base = log.base_at(before)
        assert base is not None, "logs agree, and are committed, at the ends of batches"
        term, at = base.position.term, base.at
        places = {origin: (incarnation, sequence) for origin, incarnation, sequence in base.vector}
    first = batch.entries[0]
    if first.term < term:
        return f"entry {batch.first} is of term {first.term}, behind one of {term} here"
    if first.at < at:
        return f"the time goes back at entry {batch.first}"
    return _operations(batches[new:] if new else batches, places, state, given)


def _first_that_is_new(batches: Sequence[Batch], state: State) -> int:
    """Those before it are here already."""
    log, commit = state.log, state.commit
    for number, batch in enumerate(batches):
        last = batch.last
        if last.index > commit and log.term_at(last.index) != last.term:
            return number
    return len(batches)


def _operations(batches: Sequence[Batch], places: _Places, state: State, given: int) -> str | None:
    """Whether each operation is the next of its origin, which belongs, and none is one of ours that
    we never gave."""
    me = state.origin
    members: Membership | None = None

    def belongs(origin: Origin) -> bool:  # seldom asked: of the first operation of its origin
        there = members or state.log.membership_at(batches[0].first - 1)[1]
        return there.has(origin)

    for batch in batches:
        if not _is_at(places, batch):
            return f"entry {batch.first} is said to follow other operations than it does"
        if batch.membership is not None:
            members = batch.membership
            origins = batch.membership.origins()
            places = {origin: place for origin, place in places.items() if origin in origins}
        elif (why := _walk(batch, places, belongs)) is not None:
            return why
        incarnation, sequence = places.get(me, (0, 0))
        if sequence > given and incarnation == state.incarnation:
            return f"with entry {batch.last.index} come operations of ours that we never gave"
    return None


def _is_at(places: _Places, batch: Batch) -> bool:
    if len(batch.vector) != len(places):
        return False
    for origin, incarnation, sequence in batch.vector:
        if places.get(origin) != (incarnation, sequence):
            return False
    return True


def _walk(batch: Batch, places: _Places, belongs: Callable[[Origin], bool]) -> str | None:
    """Let the operations of a batch in. Most follow one of the same origin: that is seen first."""
    of: Origin | None = None
    life = due = 0
    for entry in batch.entries:
        dot = entry[3]
        if dot is None:
            continue
        origin, incarnation, sequence = dot
        if sequence == due and origin is of and incarnation == life:
            due += 1
            continue
        if of is not None:
            places[of] = (life, due - 1)
        known, last = places.get(origin, (0, 0))
        if not known and not last and not belongs(origin):
            return f"entry {entry.index} is an operation of {origin.id}, who does not belong"
        if incarnation < known or sequence != (last + 1 if incarnation == known else 1):
            return f"entry {entry.index} is operation {sequence} of {origin.id}, out of turn"
        of, life, due = origin, incarnation, sequence + 1
    if of is not None:
        places[of] = (life, due - 1)
    return None
