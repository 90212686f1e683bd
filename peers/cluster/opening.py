"""What a start makes of what is on the disk, and where the disk is of a node that keeps nothing."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from peers.cluster.plan import Keeping
from peers.core.entry import NO_EPOCH
from peers.core.output import Promise
from peers.disk.disk import Disk
from peers.disk.store import Found
from peers.ordered_log import Application, put_together

logger = logging.getLogger(__name__)

BIRTH_BYTES: Final = 8


def next_life(promise: Promise | None) -> Promise:
    """The promise of the life that begins: of a birth of its own, where there was none before."""
    if promise is None:
        return Promise(NO_EPOCH, secrets.token_hex(BIRTH_BYTES), 1, 0, None)
    return replace(promise, incarnation=promise.incarnation + 1)


async def open_disk(
    keeping: Keeping, stored: Callable[[int, int], None], undo: contextlib.AsyncExitStack
) -> tuple[Disk, Found, Path | None]:
    """The disk, what is on it, and the directory that goes when the node does, where there is one.
    `stored`: a term, and up to which index of it all is kept; `undo`: what takes it all back."""
    state, temporary = keeping.state, None
    if state is None:
        state = temporary = Path(tempfile.mkdtemp(prefix="tlru-"))
        undo.callback(shutil.rmtree, state, ignore_errors=True)
    disk = Disk(
        state,
        keeping.data,
        stored=stored,
        fsync=keeping.fsync,
        fsync_interval_ms=keeping.fsync_interval_ms,
    )
    found = await disk.open()
    undo.push_async_callback(disk.close, clean=False)
    return disk, found, temporary


async def restore(disk: Disk, found: Found, promise: Promise, application: Application) -> Found:
    """Hand the kept snapshot to the application. One that it refuses is of no use, and neither is
    the log behind it."""
    if found.snapshot is None:
        return found
    try:
        arriving, _ = put_together(application, found.snapshot.chunks())
    except Exception as exc:
        logger.exception("the snapshot cannot be taken up")
        return await disk.refuse_snapshot(found.snapshot, promise, str(exc))
    arriving.install()
    return found
