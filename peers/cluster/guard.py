"""The guard of last resort around a step of the core.

A step that ends in an exception may have left what the core knows half changed. To go on from there
could tell others what does not hold. So this process takes no more part, loudly, as where its disk
takes nothing any more. What is on the disk is what earlier steps wanted, in their order: a restart
goes on from it as after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from peers.core.output import NOTHING, Output
from peers.errors import RefusedError, StorageError

logger = logging.getLogger(__name__)


class Breakable(Protocol):
    """Whose core it is."""

    def break_off(self, why: str) -> None:
        """Take no more part."""


def guarded(step: Callable[[], Output], node: Breakable) -> Output:
    """What comes of the step; nothing where it fails, and then the node has taken its leave. A
    refusal is no failure: it comes before anything has changed."""
    try:
        return step()
    except RefusedError:
        raise
    except Exception as exc:
        break_off(exc, node)
        return NOTHING


def watch(node: Breakable, task: asyncio.Task[None]) -> None:
    """Whatever ends a task of the node's that is to go on ends its part."""
    if not task.cancelled() and isinstance(exc := task.exception(), Exception):
        break_off(exc, node)


def break_off(exc: Exception, node: Breakable) -> None:
    """Take no more part: the disk does not take what is to be kept, or there is a defect."""
    if isinstance(exc, StorageError):
        node.break_off(str(exc))
        return
    logger.critical("a step of the core failed, which is a defect: please report it", exc_info=exc)
    node.break_off(
        f"a step of the core failed ({type(exc).__name__}: {exc}), so that what it knows may be "
        "half changed; a restart goes on from what is on its disk"
    )
