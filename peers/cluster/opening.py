"""What a start makes of what is on the disk."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import Final

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
