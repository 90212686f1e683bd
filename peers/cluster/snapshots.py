"""Snapshots of a cluster's node: given to others piece by piece, taken from them.

It decides nothing about when: the core asks for each step. A piece that is given is read between
everything else that the node does; one that is taken goes to the disk in a thread, while the
application puts it together beside the state that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from peers.core.log import Log
from peers.core.messages import Local, Piece, Restored, SnapshotPiece
from peers.core.output import Capture, Close, Install, Read, Serve
from peers.disk.disk import Disk, SnapshotWriting
from peers.errors import StorageError
from peers.ordered_log import Application, Arriving
from peers.snapshot_pieces import Pieces
from peers.snapshots import failure_is_logged

logger = logging.getLogger(__name__)

Tell = Callable[[Local], None]


class Given:
    """The snapshots that this node gives."""

    def __init__(self, application: Application, tell: Tell) -> None:
        self._application, self._tell = application, tell
        self._sessions: dict[int, Pieces] = {}

    def carry_out(self, serve: Serve) -> None:
        """Begin one, read from it, or end it."""
        match serve:
            case Capture():
                self._sessions[serve.session] = Pieces(self._application.capture())
            case Close():
                self._sessions.pop(serve.session).close()
            case Read():
                pieces = self._sessions[serve.session]
                for number, data, last in pieces.read(serve.have, serve.first, serve.count):
                    self._tell(Piece(serve.session, number, data, last))

    def close(self) -> None:
        """Give no more."""
        for pieces in self._sessions.values():
            pieces.close()
        self._sessions.clear()


class Taking:
    """One snapshot on its way in."""

    def __init__(self, number: int, arriving: Arriving, writing: SnapshotWriting) -> None:
        self.number = number
        self.arriving = arriving
        self.writing = writing
        self.pieces: deque[SnapshotPiece] = deque()
        self.task: asyncio.Task[None] | None = None
        self.wrong = False


class Taken:
    """The snapshots that this node takes, one at a time."""

    def __init__(self, disk: Disk, application: Application, tell: Tell) -> None:
        self._disk, self._application, self._tell = disk, application, tell
        self._taking: Taking | None = None

    def take(self, piece: SnapshotPiece) -> None:
        """The next piece of one; with another number another one has begun."""
        taking = self._taking
        if taking is None or taking.number != piece.number:
            self.close()
            writing = self._disk.take(piece.base, "taken")
            taking = self._taking = Taking(piece.number, self._application.arriving(), writing)
        if taking.wrong:
            return
        taking.pieces.append(piece)
        if taking.task is None:
            taking.task = asyncio.get_running_loop().create_task(self._work(taking))

    async def _work(self, taking: Taking) -> None:
        """Put the pieces together and write them, in their order."""
        while taking.pieces:
            piece = taking.pieces.popleft()
            try:
                taking.arriving.take(piece.data)
                if piece.last:
                    taking.arriving.finish()
                await taking.writing.write(piece.data)
                if piece.last:
                    whole = await taking.writing.keep()
                    self._tell(Restored(taking.number, whole))
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                if not isinstance(exc, StorageError):
                    logger.exception("a snapshot that was taken from another node is of no use")
                taking.wrong = True
                self._tell(Restored(taking.number, whole=False))
                break
        taking.task = None

    def install(self, install: Install) -> None:
        """It takes the place of the state."""
        taking, self._taking = self._taking, None
        assert taking is not None
        assert taking.number == install.number
        taking.arriving.install()
        self._disk.install(install)

    def close(self) -> None:
        """What was taken is of no use any more."""
        taking, self._taking = self._taking, None
        if taking is not None and taking.task is not None:
            taking.task.cancel()


class Kept:
    """The snapshots of our own, every so often: the log behind one need not be kept any more."""

    def __init__(
        self,
        disk: Disk,
        application: Application,
        interval_s: float,
        here: Callable[[], tuple[Log, int] | None],
    ) -> None:
        """`here`: the log, and how far the application is; None where that is not to be kept."""
        self._disk, self._application = disk, application
        self._interval_s = interval_s
        self._here = here
        self._changed = asyncio.Event()

    def every(self, interval_s: float) -> None:
        """Keep them so often from now on."""
        self._interval_s = interval_s
        self._changed.set()

    async def run(self) -> None:
        """Keep them, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._changed.wait()
                self._changed.clear()
                continue  # the wait begins anew
            with failure_is_logged():
                await self.keep()

    async def keep(self) -> bool:
        """Keep one now, if there is anything new."""
        here = self._here()
        if here is None:
            return False
        log, applied = here
        self._disk.keep_behind(log.base.position.index)
        base = log.base_at(applied)
        if base is None or base.position.index <= self._disk.snapshot_index:
            return False
        snapshot = self._application.capture()
        try:
            assert snapshot.index == base.position.index, "captured between two entries"
            return await self._disk.keep_snapshot(
                base, snapshot.chunks(), lambda: self._here() is not None
            )
        finally:
            snapshot.close()
