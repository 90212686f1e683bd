"""Whether a message can be taken at all: what no node that keeps the protocol ever says.

Pure. A member is believed about what it holds and hears. What contradicts itself, or what this node
knows for certain, would break in the middle of a step what the parts of the core rely on: such a
message is refused whole, before the core has seen it. Nothing else is decided here.

Invariant: what an honest node can say in any history is let pass, however old, late or from
whichever life. So nothing is judged by what only ought to be so, and what the core passes over
anyway is not judged at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from peers.core.base import Base
from peers.core.entry import Batch, Dot, Places, Position
from peers.core.log import Log
from peers.core.messages import (
    BEFORE_BELONGING,
    Append,
    AppendAnswer,
    BarrierAnswer,
    Envelope,
    EpochAccept,
    Message,
    NewerLog,
    SnapshotPiece,
    VoteAnswer,
)
from peers.core.state import Part, State

# An election takes a third of a second and more: in no cluster's life do so many pass while one
# node is away. What is further ahead would use up in one message the terms of all.
TERMS_AHEAD_MAX: Final = 1 << 30
# 139 years, which no node is away for. Each of these leaves room for thousands of such leaps.
TIME_AHEAD_MAX_MS: Final = 1 << 42
# Of a term, an index or a time that a node takes as it finds it, because it has nothing yet to
# measure by: half of what can be written, so that whatever it goes on to can be written too.
TAKEN_BLINDLY_MAX: Final = 1 << 62


def why_unsound(envelope: Envelope, state: State, given: int, now: int) -> str | None:
    """Why nobody can mean this message; None where somebody can. `given`: so many operations of
    our own have a dot of our present life."""
    message = envelope.message
    term = getattr(message, "term", 0)
    if term > state.term and (why := _too_late_a_term(term, state)) is not None:
        return why
    if envelope.epoch != state.epoch and not isinstance(message, BEFORE_BELONGING):
        return None  # of another log, and not taken
    if isinstance(message, Append):
        return _append(message, envelope.sender.id, state, given, now)
    if isinstance(message, AppendAnswer):
        return _answer(message, state)
    return _seldom(message, state, given, now)


def _seldom(message: Message, state: State, given: int, now: int) -> str | None:
    """What is not said with every write."""
    match message:
        case NewerLog():
            why = _in_itself(message.batches, message.previous, message.term)
            if why is None and state.part is Part.CANDIDATE and _agrees(message.previous, state):
                why = _against_ours(message.batches, state, given)
            return why or _times(_last_at(message.batches), state=state, now=now)
        case VoteAnswer():
            return _times(message.clock or 0, message.resumed, state=state, now=now)
        case EpochAccept() | BarrierAnswer():
            return _times(message.time, state=state, now=now)
        case SnapshotPiece():
            return _base(message.base, state, given, now)
    return None


def _too_late_a_term(term: int, state: State) -> str | None:
    if not state.log.last.index:  # it takes the cluster's as it finds it
        return None if term <= TAKEN_BLINDLY_MAX else f"no cluster comes to term {term}"
    if term > state.term + TERMS_AHEAD_MAX:
        return f"term {term}, where {state.term} is the highest that is known here"
    return None


def _times(*times: int, state: State, now: int) -> str | None:
    """Whether they are so far ahead that there would soon be none left."""
    latest = max(times)
    known = max(state.log.last_at, state.resumed)
    if latest <= known + TIME_AHEAD_MAX_MS:
        return None
    if state.clock.runs:
        known = max(known, state.clock.running(now))
    most = known + TIME_AHEAD_MAX_MS if state.log.last.index else TAKEN_BLINDLY_MAX
    return None if latest <= most else f"the time {latest}, where {known} is known here"


def _last_at(batches: Sequence[Batch]) -> int:
    return batches[-1].entries[-1].at if batches else 0


# -- a leader's word


def _append(append: Append, sender: str, state: State, given: int, now: int) -> str | None:
    if append.term < state.term:
        return None  # nothing of it is taken
    if append.term == state.term and state.leader not in (None, sender):
        return f"it leads in term {append.term}, in which {state.leader} does"
    batches = append.batches
    latest = max(append.time, batches[-1].entries[-1].at) if batches else append.time
    why = _times(latest, state=state, now=now)
    if why is None and batches:
        why = _in_itself(batches, append.previous, append.term)
        if why is None and _agrees(append.previous, state):
            why = _against_ours(batches, state, given)
    return why


def _agrees(previous: Position, state: State) -> bool:
    """Whether what follows would be taken; as the parts that take it see it, or more often."""
    if previous.index < state.commit:
        return True
    return state.log.term_at(previous.index) == previous.term


def _in_itself(batches: Sequence[Batch], previous: Position, term: int) -> str | None:
    """Whether each follows the one before, in index, term and time, and none is of a later term."""
    index, last_term, at = previous.index, previous.term, 0
    for batch in batches:
        for entry in batch.entries:
            index += 1
            if entry.index != index:
                return f"entry {entry.index} stands where {index} should"
            if not last_term <= entry.term <= term:
                return f"entry {index} is of term {entry.term}, behind {last_term}, in {term}"
            if entry.at < at:
                return f"the time goes back at entry {index}"
            last_term, at = entry.term, entry.at
        if batch.membership is not None and not batch.membership.voters:
            return f"entry {index} leaves nobody who votes"
    return None


def _against_ours(batches: Sequence[Batch], state: State, given: int) -> str | None:
    """Whether what is new of it can stand behind what is ours, and takes nothing of it away that is
    committed."""
    log = state.log
    for number, batch in enumerate(batches):
        last = batch.last
        if last.index <= state.commit or log.term_at(last.index) == last.term:
            continue  # it is here already
        before = batch.first - 1
        if before < state.commit:
            return f"entry {batch.first} differs from what is committed here"
        if before == log.last.index:
            term, at, vector = log.last.term, log.last_at, tuple(log.vector.places())
        else:
            base = log.base_at(before)
            if base is None:
                return f"entry {batch.first} stands where no batch of ours ends"
            term, at, vector = base.position.term, base.at, base.vector
        if batch.entries[0].term < term:
            return f"entry {batch.first} is of term {batch.entries[0].term}, behind {term}"
        if batch.entries[0].at < at:
            return f"the time goes back at entry {batch.first}"
        return _dots(batches[number:], vector, state, given)
    return None


def _dots(batches: Sequence[Batch], vector: Places, state: State, given: int) -> str | None:
    """Whether each operation is the next of its origin, and none is ours that we never gave."""
    places = {origin: (incarnation, sequence) for origin, incarnation, sequence in vector}
    mine, life = state.origin, state.incarnation
    for batch in batches:
        said = {origin: (incarnation, sequence) for origin, incarnation, sequence in batch.vector}
        if said != places:
            return f"entry {batch.first} is said to follow other operations than it does"
        for entry in batch.entries:
            dot = entry.dot
            if dot is None:
                continue
            origin, incarnation, sequence = dot
            known = places.get(origin)
            if not _is_next(dot, known):
                return f"entry {entry.index} is operation {sequence} of {origin.id}, out of turn"
            if sequence > given and incarnation == life and origin == mine:
                return f"entry {entry.index} is an operation of ours that we never gave"
            places[origin] = (incarnation, sequence)
        if batch.membership is not None:
            members = batch.membership.origins()
            places = {origin: place for origin, place in places.items() if origin in members}
    return None


def _is_next(dot: Dot, known: tuple[int, int] | None) -> bool:
    if known is None or dot.incarnation > known[0]:
        return dot.sequence == 1
    return dot.incarnation == known[0] and dot.sequence == known[1] + 1


# -- the others


def _answer(answer: AppendAnswer, state: State) -> str | None:
    """What a follower holds of our log ends where a batch of ours does. What lies before the window
    cannot be looked up any more."""
    matched, log = answer.matched, state.log
    if matched is None or answer.term != state.term or state.part is not Part.LEADER:
        return None
    if _is_there(matched, log):
        return None
    return f"it holds our log up to {matched}, where none of it ends (the last is {log.last.index})"


def _is_there(index: int, log: Log) -> bool:
    return index < log.base.position.index or log.term_at(index) is not None


def _base(base: Base, state: State, given: int, now: int) -> str | None:
    """What a snapshot is said to be of."""
    term, index = base.position
    if index > TAKEN_BLINDLY_MAX:
        return f"no log comes to index {index}"
    if term > state.term and (why := _too_late_a_term(term, state)) is not None:
        return why
    for origin, incarnation, sequence in base.vector:
        if origin == state.origin and incarnation == state.incarnation and sequence > given:
            return f"its snapshot has operation {sequence} of ours, which we never gave"
    return _times(base.at, state=state, now=now)
