"""Whether a message can be taken at all: what no node that keeps the protocol ever says.

Pure. A member is believed about what it holds and hears. What contradicts itself, or what this node
knows for certain, would break in the middle of a step what the parts of the core rely on: such a
message is refused whole, before the core has seen it. Nothing else is decided here. What a log may
take in is told in `sound_log.py`.

Invariant: what an honest node can say in any history is let pass, however old, late or from
whichever life. So nothing is judged by what only ought to be so, and what the core passes over
anyway is not judged at all.
"""

from __future__ import annotations

from typing import Final

from peers.core.base import Base
from peers.core.entry import Epoch, Origin
from peers.core.membership import MEMBERS_MAX
from peers.core.messages import (
    BEFORE_BELONGING,
    FROM_MEMBERS,
    Append,
    AppendAnswer,
    BarrierAnswer,
    Blank,
    Envelope,
    EpochAccept,
    EpochAnswer,
    EpochPropose,
    Forward,
    JoinAnswer,
    JoinAsk,
    Message,
    NewerLog,
    Progress,
    Removed,
    SnapshotPiece,
    VoteAnswer,
)
from peers.core.replica import Replica
from peers.core.sound_log import agrees, why_not_after_ours, why_not_in_itself
from peers.core.state import Part, State

# In no cluster's life do so many begin while one node is away: what is further ahead would use up
# in one message the numbers of all.
EPOCHS_AHEAD_MAX: Final = 1 << 30
# 557 years: more than any clock is wrong by. Each of these leaves room for thousands of such leaps.
TIME_AHEAD_MAX_MS: Final = 1 << 44
# Of an epoch's number or an index that a node takes as it finds it, because it has nothing
# yet to measure by: half of what can be written, so that whatever it goes on to can be written too.
TAKEN_BLINDLY_MAX: Final = 1 << 62
# In a vector have their places who belongs, and, where an epoch has just begun with some of those
# who did, the others until an entry says so.
PLACES_MAX: Final = 2 * MEMBERS_MAX


def why_unsound(envelope: Envelope, replica: Replica, now: int) -> str | None:
    """Why nobody can mean this message; None where somebody can, or where it is not taken."""
    message, state = envelope.message, replica.state
    if isinstance(message, Append):
        why = _append(envelope, message, replica, now)
    elif isinstance(message, AppendAnswer):
        why = _answer(message, state)
    elif isinstance(message, Progress):
        why = _progress(envelope.sender.id, message, state)
    elif isinstance(message, Forward):
        why = _forward(envelope, message)
    else:
        why = _seldom(envelope, message, replica, now)
    # Asked last, since it is so seldom that there is anything wrong.
    return None if why is None or not _is_taken(envelope, replica) else why


def _is_taken(envelope: Envelope, replica: Replica) -> bool:
    """Whether the core looks at it at all: nobody is to blame for what comes late from a life that
    is over, or was meant for one."""
    state, message, sender = replica.state, envelope.message, envelope.sender
    of_a_copy = envelope.birth == state.birth and envelope.life > state.incarnation
    if state.removed or of_a_copy or replica.lives.is_over(envelope):
        return False
    if isinstance(message, BEFORE_BELONGING):
        return not isinstance(message, JoinAnswer | Removed) or envelope.birth == state.birth
    if envelope.epoch != state.epoch:
        return False
    if replica.lives.is_for_another(envelope):
        return False
    return state.membership.has(sender) or not isinstance(message, FROM_MEMBERS)


def _seldom(envelope: Envelope, message: Message, replica: Replica, now: int) -> str | None:
    """What is not said with every write."""
    state = replica.state
    match message:
        case NewerLog():
            return _newer_log(message, replica, now)
        case VoteAnswer():
            return _times(max(message.clock or 0, message.resumed), state, now)
        case BarrierAnswer():
            return _times(message.time, state, now)
        case EpochAccept():
            return _times(message.time, state, now)
        case SnapshotPiece():
            return _base(message.base, replica, now)
        case JoinAsk() | Blank():
            return _seat(message.member.origin, envelope.sender)
        case JoinAnswer():
            return _too_late_an_epoch(message.epoch, state)
        case EpochAnswer():
            return _too_late_an_epoch(envelope.epoch, state)
        case EpochPropose():
            if not message.membership.voters:
                return "nobody votes in the epoch that it proposes"
            return _too_late_an_epoch(message.epoch, state)
    return None


def _too_late_an_epoch(epoch: Epoch, state: State) -> str | None:
    known = state.epoch.number
    if state.accepted is not None:
        known = max(known, state.accepted.number)
    most = known + EPOCHS_AHEAD_MAX if known else TAKEN_BLINDLY_MAX
    return None if epoch.number <= most else f"epoch {epoch}, where {known} is known here"


def _times(latest: int, state: State, now: int) -> str | None:
    """Whether it is so far ahead that there would soon be no time left."""
    if latest <= state.log.last_at + TIME_AHEAD_MAX_MS:
        return None
    # A node that has nothing yet goes by the time of day, as clusters do when they begin.
    known = max(state.log.last_at, state.resumed, now + state.wall_ahead)
    if state.clock.runs:
        known = max(known, state.clock.running(now))
    if latest <= known + TIME_AHEAD_MAX_MS:
        return None
    return f"the time {latest}, where {known} is known here"


def _seat(named: Origin, sender: Origin) -> str | None:
    """Everybody asks for itself: in another's name it could take the seat of one who is away."""
    return None if named == sender else f"it asks for the seat of {named.id}, under another name"


# -- a leader's word


def _append(envelope: Envelope, append: Append, replica: Replica, now: int) -> str | None:
    state = replica.state
    term, batches, leader = append.term, append.batches, state.leader
    if term < state.term or envelope.epoch != state.epoch or state.is_far(term):
        return None  # nothing of it is taken
    sender = envelope.sender.id
    if term == state.term and leader is not None and leader != sender:
        return f"it leads in term {term}, in which {leader} does"
    latest, why = append.time, None
    if batches:
        latest = max(latest, batches[-1].entries[-1].at)
        why = why_not_in_itself(batches, append.previous, term)
    why = why or _times(latest, state, now)
    if why is None and agrees(append.previous, state):
        if batches:
            why = why_not_after_ours(batches, state, replica.forwarding.sequence)
        why = why or _committed_inside(append, state)
    return why


def _committed_inside(append: Append, state: State) -> str | None:
    """What is committed ends where a batch does."""
    commit, batches = append.commit, append.batches
    if commit <= state.commit:
        return None
    end = batches[-1].last.index if batches else append.previous.index
    agreed = state.agreed if append.term == state.term else state.commit
    if commit >= end and commit >= agreed:
        return None  # all that is the leader's here
    if batches and batches[0].first <= commit <= end:
        ends = any(batch.last.index == commit for batch in batches)
    else:
        ends = state.log.term_at(commit) is not None
    return None if ends else f"what is committed ends at {commit}, inside a batch"


def _progress(sender: str, progress: Progress, state: State) -> str | None:
    term, commit = progress.term, progress.commit
    if term != state.term or state.leader != sender or not state.commit < commit < state.agreed:
        return None  # nothing of it is taken, or all that is the leader's here
    if state.log.term_at(commit) is not None:
        return None
    return f"what is committed ends at {commit}, inside a batch"


# -- the others


def _forward(envelope: Envelope, forward: Forward) -> str | None:
    """Everybody forwards its own operations, of the life that speaks."""
    sender, life = envelope.sender, envelope.incarnation
    known = sender
    for proposal in forward.operations:
        origin, incarnation, _ = proposal[0]
        if origin is not known:  # the same one again, mostly
            if origin != sender:
                return f"it forwards an operation of {origin.id}"
            known = origin
        if incarnation != life:
            return f"it forwards an operation of its life {incarnation}, in its life {life}"
    return None


def _newer_log(newer: NewerLog, replica: Replica, now: int) -> str | None:
    state, batches, previous = replica.state, newer.batches, newer.previous
    if not batches or state.part is not Part.CANDIDATE or state.is_far(newer.term):
        return None
    why = why_not_in_itself(batches, previous, newer.term)
    why = why or _times(batches[-1].entries[-1].at, state, now)
    is_newer = batches[-1].last > state.log.last and previous.index >= state.commit
    if why is None and is_newer and agrees(previous, state):
        why = why_not_after_ours(batches, state, replica.forwarding.sequence)
    return why


def _answer(answer: AppendAnswer, state: State) -> str | None:
    """What a follower holds of our log ends where a batch of ours does. What lies before the window
    cannot be looked up any more."""
    matched, log = answer.matched, state.log
    if matched is None or answer.term != state.term or state.part is not Part.LEADER:
        return None
    if matched < log.base.position.index or log.term_at(matched) is not None:
        return None
    return f"it holds our log up to {matched}, where none of it ends (the last is {log.last.index})"


def _base(base: Base, replica: Replica, now: int) -> str | None:
    """What a snapshot is said to be of."""
    state = replica.state
    term, index = base.position
    if index > TAKEN_BLINDLY_MAX:
        return f"no log comes to index {index}"
    if not base.membership.voters:
        return "nobody votes in the cluster that its snapshot is of"
    if len(base.vector) > PLACES_MAX:
        return f"its snapshot has operations of {len(base.vector)} nodes, and {PLACES_MAX} may be"
    given = replica.forwarding.sequence
    for origin, incarnation, sequence in base.vector:
        if origin == state.origin and incarnation == state.incarnation and sequence > given:
            return f"its snapshot has operation {sequence} of ours, which we never gave"
    if state.is_far(term):
        return f"its snapshot is of term {term}, where {state.term} is known here"
    return _times(base.at, state, now)
