"""What a step of the replica wants done, and in which order.

Pure data. The parts of the core put it together in a `Draft` (draft.py); `Output` is what the shell
sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from peers.core.base import Base
from peers.core.entry import Batch, Dot, Entry, Epoch, Origin
from peers.core.membership import Membership, NodeId
from peers.core.messages import Message, SnapshotPiece
from peers.core.outcomes import Settled


class Committed(NamedTuple):
    """Who belongs, for good, since the entry at this index."""

    index: int  # type: ignore[assignment]  # our word for it; tuple.index is of no use here
    membership: Membership


@dataclass(frozen=True, slots=True)
class Promise:
    """What a node must never forget: it is on the disk before anything that relies on it leaves."""

    epoch: Epoch
    birth: str
    incarnation: int
    term: int
    vote: Origin | None
    whole: bool = True  # nothing of the log that was promised to be kept is missing
    removed: bool = False  # this birth belongs to the cluster no more, and never will
    added: int | None = None  # at which entry it was added, where it joined
    accepted: Epoch | None = None  # the epoch that it has agreed to go on in
    ancestors: tuple[str, ...] = ()  # of this epoch, the oldest first
    named: Committed | None = None  # who belongs since it began, where its log says otherwise


@dataclass(frozen=True, slots=True)
class Barrier:
    """The answer to `AskBarrier`: read at or behind `index`, judging expiry at `time`. Without an
    index the leader could not say: the read is refused."""

    number: int
    index: int | None
    time: int


class Outgoing(NamedTuple):
    """A message to a member, and to which of its births and lives, as far as that is known."""

    to: NodeId
    birth: str
    life: int
    message: Message


@dataclass(frozen=True, slots=True)
class Entrance:
    """Go on in another epoch: a restart, with this promise (but for the incarnation, which is one
    more), these members before any entry says otherwise, and this time. Who `leads` keeps its log
    and takes office at once; with anybody else log, snapshots and state are dropped."""

    promise: Promise
    membership: Membership
    leads: bool
    time: int


@dataclass(frozen=True, slots=True)
class Install:
    """The snapshot under `number` takes the place of the application's state. The log behind it
    stays where it is the same one; else the stored log begins anew behind `base`."""

    number: int
    base: Base
    keeps_log: bool


@dataclass(frozen=True, slots=True)
class Capture:
    """Begin a snapshot of what is applied now, under this number."""

    session: int


@dataclass(frozen=True, slots=True)
class Read:
    """Give these pieces of it, each by `Piece`. Those before `have` are not asked for again."""

    session: int
    have: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Close:
    """Nobody wants the rest."""

    session: int


Serve = Capture | Read | Close


class Output(NamedTuple):
    """What is owed, in this order:

    1. `promise`, where there is one, is put on the disk and synced;
    2. `install` puts the snapshot that was taken in the place of the application's state;
    3. the stored log is cut behind `cut`, and `append` is written after it (synced or not: whenever
       it counts as kept, the shell says so by `Stored`);
    4. `send` leaves, each to the member it is for;
    5. `apply` is carried out by the application, in order;
    6. `serve`: snapshots are begun, exact at what is applied by now, read and closed; `take`: the
       pieces of one are taken up; when it is whole and kept, the shell says so by `Restored`;
    7. `membership`, now committed, is written to the file;
    8. who waits is answered: `settle`, `barriers`;
    9. `enter`: this replica is over; another one begins;
    10. `copied`: it is over as well. The state directory is a copy of one that lived on without it,
        and what it promised meanwhile nobody here knows. The node draws a new birth and comes, with
        nothing, as a newcomer under its old name.

    A later output is never carried out before an earlier one.
    """

    promise: Promise | None = None
    install: Install | None = None
    cut: int | None = None
    append: tuple[Batch, ...] = ()
    send: tuple[Outgoing, ...] = ()
    apply: tuple[Entry, ...] = ()
    serve: tuple[Serve, ...] = ()
    take: tuple[SnapshotPiece, ...] = ()
    membership: Committed | None = None
    settle: tuple[tuple[Dot, Settled], ...] = ()
    barriers: tuple[Barrier, ...] = ()
    enter: Entrance | None = None
    copied: bool = False


NOTHING = Output()


class Life(NamedTuple):
    """Which of a member's lives: the birth of its state directory, and the start."""

    birth: str
    incarnation: int


UNKNOWN = Life("", 0)
