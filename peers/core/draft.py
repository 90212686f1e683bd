"""An output in the making: where the parts of the core put together what a step wants done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from peers.core.entry import Batch, Dot, Entry, Origin
from peers.core.membership import NodeId
from peers.core.messages import Message, SnapshotPiece
from peers.core.outcomes import Settled
from peers.core.output import (
    UNKNOWN,
    Barrier,
    Committed,
    Entrance,
    Install,
    Life,
    Outgoing,
    Output,
    Promise,
    Serve,
)


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
