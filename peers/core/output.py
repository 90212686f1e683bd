"""What a step of the replica wants done, and in which order.

Pure data. `Draft` is where the parts of the core put it together; `Output` is what the shell sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from peers.core.entry import Batch, Dot, Entry, Epoch, Origin
from peers.core.membership import Membership, NodeId
from peers.core.messages import Message
from peers.core.outcomes import Settled


@dataclass(frozen=True, slots=True)
class Promise:
    """What a node must never forget: it is on the disk before anything that relies on it leaves."""

    epoch: Epoch
    birth: str
    incarnation: int
    term: int
    vote: Origin | None
    whole: bool = True  # nothing of the log that was promised to be kept is missing


@dataclass(frozen=True, slots=True)
class Barrier:
    """The answer to `AskBarrier`: read at or behind `index`, judging expiry at `time`. Without an
    index the leader could not say: the read is refused."""

    number: int
    index: int | None
    time: int


class Outgoing(NamedTuple):
    """A message to a member, and to which of its lives, as far as that is known."""

    to: NodeId
    life: int
    message: Message


@dataclass(frozen=True, slots=True)
class Output:
    """What is owed, in this order:

    1. `promise`, where there is one, is put on the disk and synced;
    2. the stored log is cut behind `cut`, and `append` is written after it (synced or not: whenever
       it counts as kept, the shell says so by `Stored`);
    3. `send` leaves, each to the member it is for;
    4. `apply` is carried out by the application, in order;
    5. `membership`, now committed, is written to the file;
    6. who waits is answered: `settle`, `barriers`.

    A later output is never carried out before an earlier one.
    """

    promise: Promise | None = None
    cut: int | None = None
    append: tuple[Batch, ...] = ()
    send: tuple[Outgoing, ...] = ()
    apply: tuple[Entry, ...] = ()
    membership: Membership | None = None
    settle: tuple[tuple[Dot, Settled], ...] = ()
    barriers: tuple[Barrier, ...] = ()


NOTHING = Output()


@dataclass(slots=True)
class Draft:
    """An output in the making. `lives` are the incarnations of the others that are known."""

    lives: dict[NodeId, int]
    promise: Promise | None = None
    cut: int | None = None
    append: list[Batch] = field(default_factory=list)
    send: list[Outgoing] = field(default_factory=list)
    apply: list[Entry] = field(default_factory=list)
    membership: Membership | None = None
    settle: list[tuple[Dot, Settled]] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is owed."""
        return not (
            self.send
            or self.apply
            or self.append
            or self.settle
            or self.barriers
            or self.promise is not None
            or self.cut is not None
            or self.membership is not None
        )

    def tell(self, to: NodeId, message: Message) -> None:
        """Send a message to one member."""
        self.send.append(Outgoing(to, self.lives.get(to, 0), message))

    def tell_all(self, to: Sequence[NodeId], message: Message) -> None:
        """Send the same message to several."""
        self.send.extend(Outgoing(node, self.lives.get(node, 0), message) for node in to)

    def finish(self) -> Output:
        """What was put together, for good."""
        return Output(
            self.promise,
            self.cut,
            tuple(self.append),
            tuple(self.send),
            tuple(self.apply),
            self.membership,
            tuple(self.settle),
            tuple(self.barriers),
        )
