"""What a step of the replica wants done, and in which order.

Pure data. `Draft` is where the parts of the core put it together; `Output` is what the shell sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Draft:
    """An output in the making. `lives` are the births and incarnations of the others that are
    known."""

    lives: dict[NodeId, Life]
    promise: Promise | None = None
    install: Install | None = None
    cut: int | None = None
    append: list[Batch] = field(default_factory=list)
    send: list[Outgoing] = field(default_factory=list)
    apply: list[Entry] = field(default_factory=list)
    serve: list[Serve] = field(default_factory=list)
    take: list[SnapshotPiece] = field(default_factory=list)
    membership: Committed | None = None
    settle: list[tuple[Dot, Settled]] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)
    enter: Entrance | None = None
    copied: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is owed."""
        return not (
            self.send
            or self.apply
            or self.append
            or self.serve
            or self.take
            or self.settle
            or self.barriers
            or self.promise is not None
            or self.install is not None
            or self.enter is not None
            or self.cut is not None
            or self.membership is not None
            or self.copied
        )

    def tell(self, to: NodeId, message: Message) -> None:
        """Send a message to one member."""
        self.send.append(Outgoing(to, *self.lives.get(to, UNKNOWN), message))

    def tell_origin(self, to: Origin, message: Message) -> None:
        """Send a message to one birth, which need not be the one that has the name by now."""
        self.send.append(Outgoing(to.id, to.birth, 0, message))

    def tell_all(self, to: Sequence[NodeId], message: Message) -> None:
        """Send the same message to several."""
        lives = self.lives
        self.send.extend(Outgoing(node, *lives.get(node, UNKNOWN), message) for node in to)

    def finish(self) -> Output:
        """What was put together, for good."""
        return Output(
            self.promise,
            self.install,
            self.cut,
            tuple(self.append),
            tuple(self.send),
            tuple(self.apply),
            tuple(self.serve),
            tuple(self.take),
            self.membership,
            tuple(self.settle),
            tuple(self.barriers),
            self.enter,
            self.copied,
        )
