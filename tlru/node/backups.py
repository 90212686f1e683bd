"""The backups that a node makes by itself, and which of them stay.

Every node that has a `backup_dir` makes them, of every cache. It decides when: the interval is cut
into turns, one for each member in the order of their ids, so that no two of a cluster walk their
caches at the same time, and none has to ask another. The first one comes soon after the start.

Invariant: nothing old goes before the new one was read back from the disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tlru import errors
from tlru.backups import files
from tlru.backups.form import END, Head, framed
from tlru.node import restoring
from tlru.node.seats import LEVEL

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.5  # so often it is looked whether one is due
APART_S: Final = 60.0  # the first backups of members that start together
AGAIN_S: Final = 60.0  # after a failure, unless the interval is shorter
TROUBLE: Final = "backup"  # what an alarm stands under


@dataclass(slots=True)
class Record:
    """What became of the backups of one cache."""

    made: int = 0
    failed: int = 0
    newest_s: float | None = None  # when the newest was made, by the wall clock
    took_s: float | None = None
    failed_at: float | None = None
    place: Path | None = None  # which directory this is about


class Backups:
    """Of all caches of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.records = {name: Record() for name in node.services}
        self._task: asyncio.Task[None] | None = None
        self._started_s = 0.0

    def start(self) -> None:
        """Make them from now on."""
        self._started_s = time.time()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Make no more; one that is being made is dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def told(self, service: CacheService) -> dict[str, Any] | None:
        """What became of them; None where none are made. It tells no path."""
        config, record = self._node.config, self.records[service.name]
        if config.backup_dir is None:
            return None
        newest = record.newest_s
        return {
            "every_s": config.backup_interval,
            "made": record.made,
            "failed": record.failed,
            "newest": None if newest is None else round(newest * 1_000),
            "trouble": service.troubles.get(TROUBLE),
        }

    async def _run(self) -> None:
        while True:
            for service in self._node.services.values():
                try:
                    await self._look(service)
                except asyncio.CancelledError:
                    raise
                except Exception:
                    logger.exception("looking after the backups failed")
            await asyncio.sleep(min(LOOK_S, self._node.config.backup_interval / 4))

    async def _look(self, service: CacheService) -> None:
        directory, record = self._node.config.backup_dir, self.records[service.name]
        if directory is None:
            service.troubles.pop(TROUBLE, None)
            return
        try:
            if record.place != directory:
                await self._take_up(service, record, directory)
            if self._is_due(service, record):
                await self._make(service, record, directory)
        except errors.Unavailable:
            pass  # this node does not serve: another's backup is as good
        except (OSError, errors.TlruError) as exc:
            record.failed += 1
            record.failed_at = time.time()
            words = f"no backup of {service.name} in {directory}: {exc}"
            service.troubles[TROUBLE] = words
            logger.error("%s; it is tried again", words)

    async def _take_up(self, service: CacheService, record: Record, directory: Path) -> None:
        if record.failed_at is not None and time.time() < record.failed_at + self._again_s:
            return
        id = self._node.config.id
        await asyncio.to_thread(_prepare, directory, service.name, id)
        kept = await asyncio.to_thread(files.kept_in, directory, service.name, id)
        record.newest_s = kept[-1].wall_s if kept else None
        record.place = directory

    @property
    def _again_s(self) -> float:
        return min(AGAIN_S, self._node.config.backup_interval)

    def _is_due(self, service: CacheService, record: Record) -> bool:
        now, interval = time.time(), self._node.config.backup_interval
        if record.place is None:
            return False
        if record.failed_at is not None and now < record.failed_at + self._again_s:
            return False
        ids = sorted(member["id"] for member in service.log.status().members)
        me = self._node.config.id
        rank = ids.index(me) if me in ids else 0
        if record.newest_s is None:
            return now >= self._started_s + min(APART_S, interval) * rank
        return _turn(now, interval, rank, len(ids)) > _turn(
            record.newest_s, interval, rank, len(ids)
        )

    async def _make(self, service: CacheService, record: Record, directory: Path) -> None:
        began = time.monotonic()
        head = await self._write(service, directory)
        keep = self._node.config.backup_keep
        await asyncio.to_thread(_thin_out, directory, service.name, self._node.config.id, keep)
        record.made += 1
        record.newest_s, record.failed_at = head.wall / 1000, None
        record.took_s = time.monotonic() - began
        service.troubles.pop(TROUBLE, None)
        logger.info("a backup was made", extra={"cache": service.name, "keys": head.items})

    async def _write(self, service: CacheService, directory: Path) -> Head:
        backup = restoring.begin(self._node, service, own=True)
        try:
            head = backup.head
            path = directory / files.name_of(service.name, self._node.config.id, head)
            with files.Draft(path, replace=True) as draft:
                await asyncio.to_thread(draft.write, head.packed())
                async for chunk in backup.chunks():
                    await asyncio.to_thread(draft.write, framed(chunk))
                await asyncio.to_thread(draft.write, END)
                await asyncio.to_thread(draft.keep)
        finally:
            backup.close()
        await asyncio.to_thread(_read_back, path)
        return head


def _turn(wall_s: float, interval: float, rank: int, members: int) -> int:
    """The number of a member's turn that a moment falls in."""
    return int((wall_s - interval * rank / max(1, members)) // interval)


def _prepare(directory: Path, cache: str, node: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    files.sweep(directory, cache, node)


def _read_back(path: Path) -> None:
    """BackupError where the disk does not give back what it was given; then it is no backup."""
    try:
        files.read_through(path, LEVEL)
    except errors.BadRequest:
        path.unlink(missing_ok=True)
        raise


def _thin_out(directory: Path, cache: str, node: str, keep: int) -> None:
    for old in files.kept_in(directory, cache, node)[:-keep]:
        old.path.unlink(missing_ok=True)
