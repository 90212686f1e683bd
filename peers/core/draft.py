"""An output in the making: where the parts of the core put together what a step wants done."""

from __future__ import annotations

from collections.abc import Sequence

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

_new = tuple.__new__  # a third of the time that a named tuple takes: one for each message


class Draft:
    """An output in the making. `lives` are the births and incarnations of the others that are
    known."""

    __slots__ = (
        *("append", "apply", "barriers", "copied", "cut", "enter", "install", "lives"),
        *("membership", "promise", "send", "serve", "settle", "take"),
    )

    def __init__(self, lives: dict[NodeId, Life]) -> None:
        self.lives = lives
        self.promise: Promise | None = None
        self.install: Install | None = None
        self.cut: int | None = None
        self.append: list[Batch] = []
        self.send: list[Outgoing] = []
        self.apply: list[Entry] = []
        self.serve: list[Serve] = []
        self.take: list[SnapshotPiece] = []
        self.membership: Committed | None = None
        self.settle: list[tuple[Dot, Settled]] = []
        self.barriers: list[Barrier] = []
        self.enter: Entrance | None = None
        self.copied = False

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
        birth, life = self.lives.get(to, UNKNOWN)
        self.send.append(_new(Outgoing, (to, birth, life, message)))

    def tell_origin(self, to: Origin, message: Message) -> None:
        """Send a message to one birth, which need not be the one that has the name by now."""
        self.send.append(Outgoing(to.id, to.birth, 0, message))

    def tell_all(self, to: Sequence[NodeId], message: Message) -> None:
        """Send the same message to several."""
        lives = self.lives
        self.send.extend(Outgoing(node, *lives.get(node, UNKNOWN), message) for node in to)

    def finish(self) -> Output:
        """What was put together, for good."""
        return _new(
            Output,
            (
                *(self.promise, self.install, self.cut, tuple(self.append), tuple(self.send)),
                *(tuple(self.apply), tuple(self.serve), tuple(self.take), self.membership),
                *(tuple(self.settle), tuple(self.barriers), self.enter, self.copied),
            ),
        )
