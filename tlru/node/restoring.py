"""Backups of a cache while it serves: what one is of, and how a cache begins anew from one.

It decides what a restored cache is: the items with their versions, what is left of their lives, and
nothing of who belonged to the cluster or what was under way there. Time goes on as if the cluster
had been down since the backup: from the backup's cluster time, plus what has passed on the wall
since. So nothing is served that would be over by now, and fences keep growing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from peers.clocks import wall_ms
from peers.cluster import beginning
from peers.cluster.cluster import ClusterLog
from peers.core.base import Base
from peers.core.clock import resume_from
from peers.core.entry import Epoch, Position
from peers.core.membership import NOBODY
from peers.errors import RefusedError, StorageError
from peers.ordered_log import NodeStatus
from peers.single import SingleLog
from tlru import errors
from tlru._version import __version__
from tlru.backups.files import check_is_of
from tlru.backups.form import BackupError, Head, Reading
from tlru.engine.items import is_reserved, over
from tlru.engine.machine import Machine
from tlru.engine.snapshot import Capture
from tlru.node.cluster.colleagues import told
from tlru.node.seats import LEVEL
from tlru.node.service import CacheService

if TYPE_CHECKING:
    from tlru.node.server import Node

ASIDE_BYTES_MAX: Final = 256 << 20  # what writes may set aside for a backup that is slow
LOOK_AT_ONCE: Final = 10_000  # items
AT_ONCE_MAX: Final = 2  # backups of one cache that others take; the node's own comes on top
REST_BYTES_MAX: Final = 256 << 20  # of a backup, beside the items: locks, what is gone, results


class TooSlowError(errors.TlruError):
    """Whoever takes a backup takes it more slowly than the cache changes."""


@dataclass(slots=True)
class Backup:
    """A backup on its way out; close it, whatever happens."""

    service: CacheService
    capture: Capture
    head: Head
    own: bool

    async def chunks(self) -> AsyncIterator[bytes]:
        """The state in chunks, while the cache serves: one for each turn of the loop."""
        chunks = self.capture.chunks()
        while not self.capture.overrun:
            chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
            await asyncio.sleep(0)
        raise TooSlowError(
            f"the cache changes faster than its backup is taken: {ASIDE_BYTES_MAX} bytes were set "
            "aside for it; take it to a faster disk, or at a quieter time"
        )

    def close(self) -> None:
        """Nothing is set aside for it any more."""
        self.capture.close()
        if not self.own:
            self.service.backups_open -= 1


def begin(node: Node, service: CacheService, *, own: bool = False) -> Backup:
    """Begin a backup of what is applied now; `own`: it is the node's, which makes one at a time.
    Unavailable or Overloaded where that cannot be."""
    status = service.log.node_status
    if status is not NodeStatus.ACTIVE:
        raise errors.Unavailable(f"node {node.config.id} is {status}", code=str(status))
    if not own and service.backups_open >= AT_ONCE_MAX:
        raise errors.Overloaded(f"{AT_ONCE_MAX} backups are being taken already", after=10.0)
    machine = service.machine
    head = Head(
        cache=service.name,
        node=node.config.id,
        release=__version__,
        epoch=tuple(service.log.epoch),  # type: ignore[arg-type]  # mypy: the parts of an Epoch
        index=machine.index,
        term=machine.term,
        time=max(machine.at, service.log.now()),
        wall=wall_ms(),
        items=machine.items.count,
        size=machine.items.bytes,
        level=max(machine.membership.level, 1),
    )
    service.backups_open += not own
    capture = service.capture()
    capture.aside_bytes_max = ASIDE_BYTES_MAX
    return Backup(service, capture, head, own)


def upload_bytes_max(node: Node) -> int:
    """How long a backup may be that comes over the network: an item takes less of it than of the
    budget, which is the most that the cache may hold."""
    return node.config.max_bytes + REST_BYTES_MAX


async def restore(
    node: Node, service: CacheService, pieces: AsyncIterator[bytes], *, as_left: bool
) -> dict[str, Any]:
    """Take a backup that comes in pieces, and begin a new epoch from it, as soon as all of it has
    come and is whole. `as_left`: lives go on with what was left of them at the backup, instead of
    what is left by now."""
    if service.restoring:
        raise errors.Overloaded("another backup is being restored already", after=10.0)
    service.restoring = True
    try:
        return await _restore(node, service, pieces, as_left)
    finally:
        service.restoring = False


async def _restore(
    node: Node, service: CacheService, pieces: AsyncIterator[bytes], as_left: bool
) -> dict[str, Any]:
    log = service.log
    try:
        if isinstance(log, ClusterLog):
            beginning.check_may_begin(log)
    except RefusedError as exc:
        raise told(exc) from exc
    reading, arriving = Reading("the backup", LEVEL), service.arriving()
    async for piece in pieces:
        for chunk in reading.take(piece):
            _check_fits(node, reading.head)
            _take(arriving.take, chunk)
            await asyncio.sleep(0)  # others have their turn
    reading.finish()
    index = _take(arriving.finish)
    head, machine = reading.head, arriving.machine
    check_is_of(head, machine)
    if head.cache != service.name:
        raise BackupError(
            f"it is a backup of the cache {head.cache!r}, and this is {service.name!r}: say which "
            "cache is meant with --cache"
        )
    now = resume_from(head.time, head.wall, wall_ms(), 0)
    time = max(machine.at, head.time if as_left else now)
    parent = Epoch(*head.epoch)
    members = NOBODY
    if isinstance(log, ClusterLog):
        members = beginning.membership_of(log, head.level)
    machine.begin_anew(members, now)
    gone = await _over_by(machine, time)
    try:
        if isinstance(log, ClusterLog):
            base = Base(
                Position(machine.term, index),
                machine.at,
                tuple(machine.vector.places()),
                members,
            )
            epoch = await beginning.begin(log, beginning.Beginning(arriving, base, parent, time))
        else:
            assert isinstance(log, SingleLog)
            epoch = await log.begin_from(arriving, index, parent, time)
    except RefusedError as exc:
        raise told(exc) from exc
    except StorageError as exc:
        raise errors.TlruError(
            f"{exc}; what came before is gone from memory: mend that, restart the node, and "
            "restore again"
        ) from exc
    return {
        "id": node.config.id,
        "epoch": str(epoch),
        "pos": index,
        "keys": machine.items.count - gone,
        "over": gone,
        "age_s": max(0, wall_ms() - head.wall) / 1000,
    }


def _check_fits(node: Node, head: Head) -> None:
    budget = node.config.max_bytes
    if head.size > budget:
        raise errors.TooLarge(
            f"the items of the backup take {head.size} bytes, and this node is told to keep "
            f"{budget}: set max_bytes to {head.size} at least, or what is restored would be evicted"
        )


async def _over_by(machine: Machine, time: int) -> int:
    """How many of the users' items have lived by then."""
    gone = 0
    for number, (key, item) in enumerate(machine.items.store.entries.items(), 1):
        gone += over(item, time) and not is_reserved(key)
        if number % LOOK_AT_ONCE == 0:
            await asyncio.sleep(0)
    return gone


def _take(act: Any, *args: bytes) -> Any:
    try:
        return act(*args)
    except BackupError:
        raise
    except errors.TlruError as exc:
        raise BackupError(f"{exc}; take another copy, or an older one") from exc
