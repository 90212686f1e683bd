"""All that nodes say to each other, and what a node's own shell tells its core.

Pure data. Every message between nodes travels in an `Envelope`, which says who sends it, in which
of its lives, and in which epoch. What comes from another epoch is none of our business here.

Local messages have no envelope: they are what the shell knows and the core cannot see, the disk
above all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from peers.core.base import Base
from peers.core.entry import Batch, Epoch, Origin, Position, Proposal
from peers.core.membership import Member, Membership, NodeId


@dataclass(frozen=True, slots=True)
class PreVote:
    """Would you vote for me in this term? Asking changes nothing."""

    term: int
    last: Position


@dataclass(frozen=True, slots=True)
class PreVoteAnswer:
    """Whether it would. `last` is the end of the answerer's log, for who was refused for that."""

    asked: int
    term: int
    granted: bool
    last: Position


@dataclass(frozen=True, slots=True)
class Vote:
    """Vote for me in this term. `handed`: the leader itself wants it so."""

    term: int
    last: Position
    handed: bool


@dataclass(frozen=True, slots=True)
class VoteAnswer:
    """Whether it did, with its clock, by which the winner sets its own. `clock` is one that runs,
    and may be behind by `error`; `resumed` is what was stored before the node was down, brought
    forward.
    """

    term: int
    granted: bool
    last: Position
    clock: int | None
    error: int
    resumed: int


@dataclass(frozen=True, slots=True)
class TakeLog:
    """Give me what your log has behind mine: it is the newer one. What I know to be committed is
    in both of them, whatever else I have."""

    have: Position
    committed: Position


@dataclass(frozen=True, slots=True)
class NewerLog:
    """What a newer log has behind `previous`, and the term in which its holder is. Without batches:
    what was asked for lies before `previous` and is no longer kept, so take a snapshot."""

    term: int
    previous: Position
    batches: tuple[Batch, ...]


class Noted(NamedTuple):
    """The digest of the application's state where it noted it last: the entry's index, 8 bytes."""

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    digest: bytes


class Append(NamedTuple):
    """The leader's: entries behind `previous`, how far they are committed, and what time it is.

    `sent` is a stamp of the leader's, which the answer brings back: each is greater than the one
    before. `echo` is the stamp of the follower's last answer: so it knows that this message was
    sent later than that. `everywhere` is the index up to which every voter holds the log. What
    lies up to `since` the leader no longer keeps: who lacks that takes a snapshot.
    """

    term: int
    previous: Position
    batches: tuple[Batch, ...]
    commit: int
    since: int
    everywhere: int
    time: int
    sent: int
    echo: int | None


class Progress(NamedTuple):
    """The leader's: how far is committed by now, and what every voter holds. It is sent where no
    entries leave soon that would say so, at once to who waits for it; nobody answers it, and if it
    is lost the next heartbeat says the same."""

    term: int
    commit: int
    everywhere: int


class AppendAnswer(NamedTuple):
    """How far the follower's log is the leader's and on its disk; None where `previous` is not in
    it, and then `last` says where it may be.

    `counts` is False for a node that does not hold yet what it once promised to keep, `able` for
    one that could not lead: its state is missing or wrong. `sent` is a stamp of the follower's.
    `reaches` are the members that it hears. `ahead`: the leader's time is further on than it can
    be, by the follower's own clock. `noted` is the digest of the follower's state at its last
    checkpoint.
    """

    term: int
    matched: int | None
    last: Position
    echo: int
    sent: int
    counts: bool
    able: bool
    ahead: bool
    noted: Noted | None
    reaches: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """A suspended leader's: do you hear me? It resets nobody's timer."""

    term: int
    sent: int


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Yes, and this is the highest term that I know."""

    term: int
    echo: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Operations of the sender's clients, in the sequence of their dots."""

    operations: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class ForwardAnswer:
    """The leader's log has the sender's operations up to this sequence."""

    term: int
    through: int


@dataclass(frozen=True, slots=True)
class TransferLead:
    """Stand now: you hold all that I hold."""

    term: int


@dataclass(frozen=True, slots=True)
class BarrierAsk:
    """From which index on is a read as of now?"""

    number: int


@dataclass(frozen=True, slots=True)
class BarrierAnswer:
    """From this one on, judging expiry at this time. None: the leader cannot say, ask elsewhere."""

    number: int
    index: int | None
    time: int


@dataclass(frozen=True, slots=True)
class Recover:
    """I have lost some of what I promised to keep, up to this term: how far does your log go?"""

    number: int
    term: int


@dataclass(frozen=True, slots=True)
class RecoverAnswer:
    """Up to here, when the question came. Who holds that of mine may count again."""

    number: int
    term: int
    through: int


@dataclass(frozen=True, slots=True)
class Hello:
    """I am here, I hear these, and what I can apply goes up to this feature level. My log ends
    there, holds all that was promised or not, and I lead, suspended or not, or I do not. Sent now
    and then to everybody, whatever else is said."""

    reaches: tuple[NodeId, ...]
    level: int
    last: Position
    counts: bool
    leads: bool


@dataclass(frozen=True, slots=True)
class Blank:
    """I belong to no cluster, and would found one with you as this member."""

    member: Member


@dataclass(frozen=True, slots=True)
class EpochPropose:
    """Let us go on in this epoch, with these members, from my log, which ends there."""

    epoch: Epoch
    membership: Membership
    last: Position


@dataclass(frozen=True, slots=True)
class EpochAsk:
    """You lead in an epoch that I do not know: is mine, this one, among its ancestors?"""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class EpochAnswer:
    """These are, the oldest first, as far as they are still known. I lead in this term."""

    ancestors: tuple[str, ...]
    term: int


@dataclass(frozen=True, slots=True)
class EpochAccept:
    """Whether I will; then I take no more part in the present one. `time` is the cluster time as I
    know it."""

    epoch: Epoch
    granted: bool
    time: int


@dataclass(frozen=True, slots=True)
class JoinAsk:
    """I would be a member, this one; I can apply up to this feature level."""

    member: Member
    level: int


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """You are one, since the entry at `index`; or not yet (0): ask `leader`. Or never: `refused`
    says why. `members` are those who belong, with their addresses."""

    epoch: Epoch
    leader: NodeId | None
    index: int
    refused: str
    members: Membership


@dataclass(frozen=True, slots=True)
class Removed:
    """You do not belong any more, or not yet: the membership of the entry at `index` lacks you.
    `ancestors` are those of the epoch in which that stands."""

    index: int
    ancestors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotAsk:
    """Pieces of your state, these of them; those before `have` are here. `number` names the
    snapshot: the first question under it has one begun, exact at what you have applied then."""

    number: int
    have: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class SnapshotPiece:
    """One piece. `base` is what the log up to it led to; the last piece says that it is the last.
    What is in it is the application's."""

    number: int
    piece: int
    base: Base
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class SnapshotGone:
    """There is no snapshot under this number any more, and this node begins none."""

    number: int


Message = (
    PreVote
    | PreVoteAnswer
    | Vote
    | VoteAnswer
    | TakeLog
    | NewerLog
    | Append
    | AppendAnswer
    | Progress
    | Probe
    | ProbeAnswer
    | Forward
    | ForwardAnswer
    | TransferLead
    | BarrierAsk
    | BarrierAnswer
    | Recover
    | RecoverAnswer
    | Hello
    | JoinAsk
    | JoinAnswer
    | Removed
    | Blank
    | EpochPropose
    | EpochAccept
    | EpochAsk
    | EpochAnswer
    | SnapshotAsk
    | SnapshotPiece
    | SnapshotGone
)


# A member of no epoch, or of another, may say these.
BEFORE_BELONGING = (
    *(JoinAsk, JoinAnswer, Removed, Blank),
    *(EpochPropose, EpochAccept, EpochAsk, EpochAnswer),
)
# What counts, or takes a place, is taken from members alone: of this very birth.
FROM_MEMBERS = (
    PreVoteAnswer,
    VoteAnswer,
    AppendAnswer,
    ProbeAnswer,
    Forward,
    BarrierAsk,
    Recover,
    Hello,
)


# What is said with every write: it changes nothing but the log.
USUAL = (Append, AppendAnswer, Progress, Forward, ForwardAnswer)


class Envelope(NamedTuple):
    """A message on its way.

    `birth` and `life` are the receiver's birth and incarnation, as far as the sender knows them;
    empty and 0 where it does not. What is meant for an earlier life, or for one that had the same
    id, answers questions that the present one has not asked.
    """

    sender: Origin
    incarnation: int
    epoch: Epoch
    to: NodeId
    birth: str
    life: int
    message: Message


# -- local


@dataclass(frozen=True, slots=True)
class Stored:
    """The disk has the log up to `index`, whose entry is of this term."""

    term: int
    index: int


@dataclass(frozen=True, slots=True)
class AskBarrier:
    """A reader on this node wants to read as of now; the answer comes under its number."""

    number: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The link with this member broke at the other end: most likely its process is no more."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the lead to this member, or to whoever is next where none is named."""

    to: NodeId | None


@dataclass(frozen=True, slots=True)
class Checked:
    """The application has noted its digest at a checkpoint. `agrees` is False where this one says
    that a majority noted another at the one before."""

    noted: Noted
    agrees: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a snapshot that this node gives, as `Read` wanted it."""

    session: int
    piece: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """The snapshot that this node takes is complete: checked, kept on the disk, and ready to take
    the place of the state. Or not `whole`: something is wrong with it."""

    number: int
    whole: bool


Local = Stored | AskBarrier | HandOver | Checked | Piece | Restored | Lost
