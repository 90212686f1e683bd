"""When a snapshot of the application is kept on the disk, and how the node serves meanwhile.

The walk runs on the event loop, a chunk at a time, between everything else that the node does; the
disk is waited for in a thread. A snapshot that cannot be finished leaves the one before as it is.

This module decides nothing about the log: whether the state may be kept at all is asked before, and
during, every walk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from peers.disk.storage import Mark, StateDirectory
from peers.errors import StorageError
from peers.ordered_log import Application

logger = logging.getLogger(__name__)


@contextmanager
def failure_is_logged() -> Iterator[None]:
    """A snapshot that cannot be kept is no reason to stop."""
    try:
        yield
    except StorageError as exc:
        logger.error("keeping a snapshot failed, the one before stays: %s", exc)
    except Exception:
        logger.exception("keeping a snapshot failed, the one before stays")


class SnapshotKeeper:
    """Keeps an application's snapshots in its state directory, every so often and at the end."""

    def __init__(
        self,
        directory: StateDirectory,
        application: Application,
        interval_s: float,
        *,
        here: Callable[[], Mark],
        may_keep: Callable[[], bool],
        kept: Mark | None,
    ) -> None:
        self._directory = directory
        self._application = application
        self._interval_s = interval_s
        self._here = here  # where the log stands at this moment
        self._may_keep = may_keep
        self.kept = kept  # the snapshot that is on the disk
        self._stopping = False
        self._woken = asyncio.Event()  # to stop, or to wait anew
        self._task: asyncio.Task[None] | None = None

    def every(self, interval_s: float) -> None:
        """Keep one so often from now on."""
        self._interval_s = interval_s
        self._woken.set()

    def start(self) -> None:
        """Keep one every so often from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Keep no more; one that is being written is dropped."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await self._task

    async def keep_last(self) -> bool:
        """Keep the state as it is now, and say whether the disk has it."""
        if not self._is_kept():
            await self._try_to_keep(lambda: True)
        return self._is_kept()

    def _is_kept(self) -> bool:
        kept, here = self.kept, self._here()
        return kept is not None and (kept.epoch, kept.index) == (here.epoch, here.index)

    async def _run(self) -> None:
        while not self._stopping:
            if await self._woken_within(self._interval_s):
                self._woken.clear()
            elif self._wanted() and not self._is_kept():
                await self._try_to_keep(self._wanted)

    def _wanted(self) -> bool:
        return self._may_keep() and not self._stopping

    async def _woken_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._woken.wait()
        except TimeoutError:
            return False

    async def _try_to_keep(self, wanted: Callable[[], bool]) -> None:
        with failure_is_logged():
            await self._keep(wanted)

    async def _keep(self, wanted: Callable[[], bool]) -> None:
        mark = self._here()
        snapshot = self._application.capture()
        try:
            assert snapshot.index == mark.index, "captured between two entries"
            with self._directory.replace_snapshot(mark) as draft:
                for chunk in snapshot.chunks():
                    await asyncio.to_thread(draft.write, chunk)
                    if not wanted():
                        return
                await asyncio.to_thread(draft.keep)
            self.kept = mark
        finally:
            snapshot.close()
