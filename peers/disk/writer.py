"""The one thread that writes a node's log, and what becomes of what the disk does not take.

What is queued is carried out in its order. All that came while a sync was under way goes with the
next write, and one sync is for all of it. Under `fsync = always` a batch counts as kept behind the
sync, else as soon as it is written.

A full disk takes back what it took of a write, and is tried again every so often. A sync that
failed is not: Linux may have dropped the pages, and says "done" when it is asked a second time. The
log goes on in a new file from where it was synced last, and what came after that is written again.
Where only a write was promised that is kept no longer, and the node is no more sure of its disk.

Invariant: whoever is told that a batch is kept is told after it was; nothing is written twice, left
out, or out of order.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from peers.core.entry import Batch, Position
from peers.disk.store import Fsync, Store
from peers.errors import StorageError

logger = logging.getLogger(__name__)

RETRY_S: Final = 1.0  # so often a disk that takes nothing is tried again


@dataclass(slots=True, eq=False)
class Append:
    """Batches to be written."""

    number: int
    batches: tuple[Batch, ...]
    size: int
    written: int = 0  # so many of them are

    def forget(self, behind: int) -> None:
        """What was written behind this index has to be written again."""
        safe = sum(batch.last.index <= behind for batch in self.batches)
        self.written = min(self.written, safe)


@dataclass(slots=True, eq=False)
class Act:
    """Something else that is to be done to the store."""

    do: Callable[[], Any]
    again: bool = True  # it is tried until it succeeds; else `done` gets what went wrong
    mends: bool = False  # it makes a log sound that is not
    done: Future[Any] | None = None


Order = Append | Act


@dataclass(slots=True)
class Kept:
    """What is kept now: the number and the end of each append; and the room that is free again."""

    ends: list[tuple[int, Position]] = field(default_factory=list)
    size: int = 0


class Writer:
    """Carries out orders in a thread."""

    def __init__(
        self, store: Store, loop: asyncio.AbstractEventLoop, told: Callable[[Kept], None]
    ) -> None:
        self._trouble: str | None = None
        self._broken: str | None = None
        self._stuck = False  # and it was said
        self.retry_s = RETRY_S
        self._store = store
        self._loop = loop
        self._told = told
        self._orders: deque[Order] = deque()
        self._lock = threading.Lock()  # of the two above and below
        self._busy = False
        self._finished: list[tuple[Future[Any], Any]] = []
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")

    @property
    def trouble(self) -> str | None:
        """Why the disk takes nothing, a sentence."""
        return self._broken or self._trouble

    def put(self, order: Order) -> None:
        """Queue an order."""
        with self._lock:
            self._orders.append(order)
            if self._busy:
                return
            self._busy = True
        self._thread.submit(self._work)

    def stop(self) -> None:
        """Carry out what is queued, as far as the disk takes it, and end. Blocks."""
        self._stopping.set()
        self._thread.shutdown()

    # -- in the thread

    def _work(self) -> None:
        orders: list[Order] = []
        while True:
            with self._lock:
                orders += self._orders
                self._orders.clear()
                if not orders:
                    self._busy = False
                    return
            try:
                orders = self._carry_out(orders)
                if orders and self._stopping.wait(self.retry_s):
                    orders = self._give_up(self._carry_out(orders))
            except Exception as exc:
                # A defect of ours: what the files hold is not known, so nothing more is written.
                logger.critical("the disk is written no more", exc_info=True)
                self._broken = f"the disk is written no more: {exc!r}; restart the node"
                orders = self._give_up(orders)

    def _give_up(self, orders: list[Order]) -> list[Order]:
        """It will not be done: the node stops, and the disk takes nothing."""
        for order in orders:
            if isinstance(order, Act) and order.done is not None and not order.done.done():
                order.done.set_exception(StorageError(self.trouble or "the disk takes nothing"))
        return []

    def _carry_out(self, orders: list[Order]) -> list[Order]:
        """Do all of it, and say what is kept; what is left, where the disk takes no more."""
        if self._broken is not None:
            return self._give_up(orders)
        log = self._store.log
        safe: list[Append] = []
        unsynced: list[Append] = []
        left: list[Order] = []
        try:
            for place, order in enumerate(orders):
                left = orders[place:]
                if isinstance(order, Append):
                    self._append(order)
                    unsynced.append(order)
                else:
                    self._act(order)
                    if log is not None and log.synced == log.last:
                        # A cut, for one: what was written before is synced, or void.
                        safe, unsynced = [*safe, *unsynced], []
            left = []
            self._trouble = None
        except StorageError as exc:
            self._stick(exc)
        return self._sync(safe, unsynced, left)

    def _append(self, order: Append) -> None:
        log = self._store.log
        assert log is not None
        while order.written < len(order.batches):
            order.written += log.append(order.batches[order.written :])

    def _act(self, act: Act) -> None:
        try:
            result = act.do()
        except BaseException as exc:
            if act.again:
                raise
            if act.done is None:
                self._note(exc)
            else:
                act.done.set_exception(exc)
        else:
            if act.done is not None:
                self._finished.append((act.done, result))

    def _sync(self, safe: list[Append], unsynced: list[Append], left: list[Order]) -> list[Order]:
        """Sync, if that was promised, and tell what is kept. What is left to do."""
        store, log = self._store, self._store.log
        always = store.fsync is Fsync.ALWAYS
        try:
            if log is not None and log.sound and always and unsynced:
                log.sync()
            if self._stuck and not left:
                self._stuck = False
                logger.warning("the disk takes again what is written")
        except StorageError as exc:
            self._stick(exc)
        if log is not None and not log.sound and (unsynced or left):
            left = self._mend(unsynced, left, always=always)
            unsynced = [] if always else unsynced
        if told := [*safe, *unsynced]:
            kept = Kept([(each.number, each.batches[-1].last) for each in told])
            kept.size = sum(each.size for each in told)
            self._loop.call_soon_threadsafe(self._told, kept)
        finished, self._finished = self._finished, []
        for done, result in finished:  # who waits for it finds told what came before
            done.set_result(result)
        return left

    def _mend(self, appends: list[Append], left: list[Order], *, always: bool) -> list[Order]:
        """Nothing can be written behind what is there: go on in a new file."""
        log = self._store.log
        assert log is not None
        orders: list[Order] = [each for each in left if not (isinstance(each, Act) and each.mends)]
        if always:
            orders = [*appends, *orders]
            for order in orders:
                if isinstance(order, Append):
                    order.forget(log.synced)
        elif log.last > log.synced:
            # A power cut might take this, of which was told that it is written: no clean stop.
            self._store.sure = False
            log.give_up_unsynced()
        index = log.synced
        return [Act(lambda: self._store.cut(index), mends=True), *orders]

    def _stick(self, exc: BaseException) -> None:
        """Nothing gets on until the disk takes this: said once, not with every attempt."""
        self._note(exc)
        if not self._stuck:
            self._stuck = True
            logger.error("%s", self._trouble)

    def _note(self, exc: BaseException) -> None:
        self._trouble = (
            f"{exc}; make room, or see to the disk: it is tried again every {self.retry_s:g} s, "
            "and what comes meanwhile waits in memory"
        )
