"""Snapshots on their way: who takes one, and who gives one.

Pure. A node takes a snapshot where the log that others keep begins behind what it has, or where its
state is not what the majority's is. It asks for the pieces itself, some at a time, and again for
those that got lost, so a broken connection costs it nothing that it has. Until the snapshot is
complete, checked and kept, nothing of what the node has is touched.

Who gives one keeps its log from there on, so that the other can follow when it has come so far.
What is kept for that is bounded: by how many snapshots are given, by how long one waits to be
asked for more, and by `sync_bytes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from peers.core.base import Base
from peers.core.membership import NodeId
from peers.core.messages import Piece, Restored, SnapshotAsk, SnapshotGone, SnapshotPiece
from peers.core.output import Capture, Close, Life, Read
from peers.core.state import State

PATIENCE = 8  # election timeouts in which the other side says nothing, and then it is given up


class Taking:
    """The side that lacks something."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.source: NodeId | None = None  # a snapshot is on its way from here
        self._number = 0
        self._next = 0  # the piece that comes next
        self._asked = 0  # all before this one were asked for
        self._heard = 0  # when a piece came last
        self._again_at = 0
        self._base: Base | None = None  # all pieces are here; the shell is at it

    @property
    def under_way(self) -> bool:
        """Whether a snapshot is being taken."""
        return self.source is not None

    def begin(self, source: NodeId, now: int) -> None:
        """Take a snapshot from there, unless one is on its way."""
        if self.source is None and now >= self._again_at and not self.state.outdated:
            self.source = source
            self._number += 1
            self._next = self._asked = 0
            self._base = None
            self._heard = now
            self._ask(now)

    def give_up(self) -> None:
        """It does not come. Whoever needs one begins anew."""
        self.source = None

    def _ask(self, now: int) -> None:
        """Have as many pieces under way as may be."""
        assert self.source is not None
        count = self._next + self.state.bounds.pieces - self._asked
        ask = SnapshotAsk(self._number, self._next, self._asked, count)
        self._asked += count
        self._again_at = now + self.state.timing.election_timeout_ms
        self.state.draft.tell(self.source, ask)

    def on_piece(self, sender: NodeId, piece: SnapshotPiece, now: int) -> None:
        """Take up the next piece. One that comes out of turn is asked for again."""
        if sender != self.source or piece.number != self._number or self._base is not None:
            return
        self._heard = now
        if piece.base.membership.level > self.state.level:
            self.state.outdated = True  # nobody says that our release can read it
            self.give_up()
            return
        if piece.piece != self._next:
            return
        self._next += 1
        self.state.draft.take.append(piece)
        if piece.last:
            self._base = piece.base
        else:
            self._ask(now)

    def on_gone(self, sender: NodeId, gone: SnapshotGone) -> None:
        """Who gave it has lost it, or is not able to. Not at once, but soon, another may be."""
        if sender == self.source and gone.number == self._number and self._base is None:
            self.give_up()

    def on_restored(self, restored: Restored) -> Base | None:
        """The shell is done with the pieces. What the state may be replaced with, if it may be."""
        if self.source is None or restored.number != self._number:
            return None
        self.source = None
        base, self._base = self._base, None
        if base is None or not restored.whole:
            return None
        return base if self.state.install(restored.number, base) else None

    def tick(self, now: int) -> None:
        """Ask again for what does not come, and in the end no more."""
        if self.source is None or self._base is not None:
            return
        timeout = self.state.timing.election_timeout_ms
        if now - self._heard >= PATIENCE * timeout:
            self.give_up()
        elif now >= self._again_at:
            self._asked = self._next
            self._ask(now)


@dataclass(slots=True)
class Session:
    """A snapshot that is being given."""

    id: int
    number: int  # the other's name for it
    life: Life  # of the other
    base: Base
    heard: int
    asked: int = 0  # pieces up to here; nobody leaps over one


class Giving:
    """The side that has it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._sessions: dict[NodeId, Session] = {}
        self._last = 0

    @property
    def pinned(self) -> int | None:
        """From this index on the log is needed by those who take one."""
        if not self._sessions:
            return None
        return min((s.base.position.index for s in self._sessions.values()), default=None)

    @property
    def is_much(self) -> bool:
        """Whether as much of the log is kept for them as may be."""
        bounds = self.state.bounds
        kept = self.state.log.bytes
        return bool(self._sessions) and kept > bounds.window_bytes + bounds.sync_bytes

    def on_ask(self, sender: NodeId, life: Life, ask: SnapshotAsk, now: int) -> None:
        """Give pieces; with the first question, begin."""
        session = self._sessions.get(sender)
        if session is None or (session.number, session.life) != (ask.number, life):
            session = self._begin(sender, life, ask, now)
        if session is None:
            self.state.draft.tell(sender, SnapshotGone(ask.number))
            return
        if ask.first > session.asked or ask.have > session.asked:
            return
        session.heard = now
        count = min(ask.count, self.state.bounds.pieces)
        session.asked = max(session.asked, ask.first + count)
        self.state.draft.serve.append(Read(session.id, ask.have, ask.first, count))

    def _begin(self, sender: NodeId, life: Life, ask: SnapshotAsk, now: int) -> Session | None:
        state = self.state
        if ask.first or not (state.intact and state.counts and state.applied == state.commit):
            return None
        self._close(sender)
        base = state.log.base_at(state.applied)
        if base is None or len(self._sessions) >= state.bounds.snapshots:
            return None
        self._last += 1
        session = self._sessions[sender] = Session(self._last, ask.number, life, base, now)
        state.draft.serve.append(Capture(session.id))
        return session

    def _close(self, node: NodeId) -> None:
        session = self._sessions.pop(node, None)
        if session is not None:
            self.state.draft.serve.append(Close(session.id))

    def on_piece(self, piece: Piece) -> None:
        """The shell has read one."""
        for node, session in self._sessions.items():
            if session.id == piece.session:
                message = SnapshotPiece(
                    session.number, piece.piece, session.base, piece.data, piece.last
                )
                self.state.draft.tell(node, message)

    def tick(self, now: int) -> None:
        """Who does not ask for more has it, or is gone."""
        patience = PATIENCE * self.state.timing.election_timeout_ms
        for node in [n for n, s in self._sessions.items() if now - s.heard >= patience]:
            self._close(node)

    def close_all(self) -> None:
        """This node's state is not to be given to anybody."""
        for node in list(self._sessions):
            self._close(node)
