"""What a step of the core wants done is done here, in the order that `Output` says.

The shell's hands: disk, mesh and application. It decides nothing about the log. Whatever is found
out on the way is told to the core as soon as the step is over.

Invariant: what was applied goes on from what the application holds, without a gap.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Final, Protocol

from peers import wire
from peers.cluster.applying import apply
from peers.cluster.snapshots import Given, Taken
from peers.core.entry import Dot, Entry, Origin
from peers.core.messages import Checked as CoreChecked
from peers.core.messages import Envelope, Local, Noted
from peers.core.outcomes import Settled
from peers.core.output import Outgoing, Output, Promise
from peers.core.replica import Replica
from peers.disk.disk import Disk
from peers.errors import OutdatedError, WireError
from peers.mesh.mesh import Mesh
from peers.mesh.status import Complaints
from peers.ordered_log import Application, Checked

logger = logging.getLogger(__name__)

DIGEST_BYTES: Final = 8

_new = tuple.__new__  # a third of the time that a named tuple takes, for each message


class Core(Protocol):
    """Who is told what was found out."""

    @property
    def id(self) -> str:
        """Which node it is."""

    def hear(self, local: Local) -> None:
        """Tell the core."""


class Effects:
    """Carries out outputs for one node."""

    def __init__(self, disk: Disk, mesh: Mesh, application: Application, core: Core) -> None:
        self._disk, self._mesh = disk, mesh
        self._application, self._core = application, core
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(time.monotonic)
        self.begin(0)

    def begin(self, applied: int) -> None:
        """A life of the replica begins, with the state of the application at this index."""
        self.applied = applied
        self._given = Given(self._application, self.tell)
        self._taken = Taken(self._disk, self._application, self.tell)

    def tell(self, local: Local) -> None:
        """Tell the core, once what is being done is done."""
        self._loop.call_soon(self._core.hear, local)

    # -- one step

    def carry_out(self, output: Output, promise: Promise) -> None:
        """All of it but what ends this life. StorageError where the disk does not take it."""
        if output.promise is not None:
            promise = output.promise
            self._disk.write_promise(promise)
        if output.install is not None:
            self._taken.install(output.install)
            self.applied = output.install.base.position.index
        if output.cut is not None:
            self._disk.cut(output.cut)
        self._disk.append(output.append)
        for outgoing in output.send:
            self._send(outgoing, promise)
        if output.apply:
            if output.send:
                self._mesh.flush()  # the others go on while it is applied
            self._apply(output.apply)
        for serve in output.serve:
            self._given.carry_out(serve)
        for piece in output.take:
            self._taken.take(piece)
        if output.membership is not None:
            self._disk.write_members(output.membership)
        for dot, settled in output.settle:
            self._settle(dot, settled)

    def _send(self, outgoing: Outgoing, promise: Promise) -> None:
        sender = _new(Origin, (self._core.id, promise.birth))
        to, birth, life, message = outgoing
        head = (sender, promise.incarnation, promise.epoch, to, birth, life)
        envelope = _new(Envelope, (*head, message))
        try:
            self._mesh.send(to, wire.encode(envelope, self._mesh.version_with(to)))
        except WireError as exc:
            if self._complaints.may(to):
                logger.error("node %s cannot tell %s something: %s", self._core.id, to, exc)

    # -- the application

    def _apply(self, entries: tuple[Entry, ...]) -> None:
        assert entries[0].index == self.applied + 1, f"{entries[0].index} after {self.applied}"
        try:
            checked = apply(self._application, entries, self._passed_over)
        except Exception:
            # The state may be half changed. Nothing of it is served, until it is replaced.
            logger.critical(
                "applying entries %d to %d failed; node %s replaces its state by another's",
                entries[0].index,
                entries[-1].index,
                self._core.id,
                exc_info=True,
            )
            self.applied = entries[-1].index
            # No other state is like one that is half changed.
            self.tell(CoreChecked(Noted(self.applied, os.urandom(DIGEST_BYTES)), agrees=False))
            return
        self.applied = entries[-1].index
        if checked is not None:
            self._note(checked)

    def _passed_over(self, entry: Entry, exc: OutdatedError) -> None:
        origin = "a leader" if entry.dot is None else entry.dot.origin.id
        if self._complaints.may((origin, "no operation")):
            logger.error(
                "node %s passes over entry %d, which %s wrote and nobody can apply (%s); look at "
                "what runs there",
                *(self._core.id, entry.index, origin, exc),
            )

    def _note(self, checked: Checked) -> None:
        noted = Noted(checked.index, checked.digest.to_bytes(DIGEST_BYTES))
        if not checked.agrees:
            logger.error("node %s: its state is not the majority's", self._core.id)
        self.tell(CoreChecked(noted, checked.agrees))

    def _settle(self, dot: Dot, settled: Settled) -> None:
        try:
            self._application.settle(dot, settled)
        except Exception:
            # Somebody could not be answered. The others wait too.
            logger.exception("telling what became of %s failed", dot)

    # -- the end of a life

    def give_up(self, replica: Replica) -> None:
        """What is in flight is unknown; what is given and taken is dropped."""
        for proposal in replica.forwarding.all_waiting():
            self._settle(proposal.dot, Settled.UNKNOWN)
        self._given.close()
        self._taken.close()
