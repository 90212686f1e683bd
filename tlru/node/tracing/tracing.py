"""Whether this node makes spans, and where they go.

This module decides that by the node's option, by which packages are there, and by the standard
`OTEL_*` variables, which belong to the operator. A program that has set OpenTelemetry up for itself
and runs a node inside has the node's spans among its own.

Where tracing is off, nothing of OpenTelemetry is imported, and a cache has no `Spans` to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import threading
from typing import TYPE_CHECKING, Final

from tlru import errors
from tlru.config import Config

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from tlru.node.service import CacheService
    from tlru.node.tracing.spans import Tell

logger = logging.getLogger(__name__)

SEND_WITHIN_S: Final = 3.0  # of a stop, for the last spans

MISSING: Final = (
    "tracing is on, but OpenTelemetry is not installed: pip install 'tlru-cluster[otel]', "
    "or leave tracing off"
)


class Tracing:
    """What one node needs to make spans; None of it where it makes none."""

    def __init__(self, config: Config) -> None:
        """TlruError where it is on and cannot be."""
        self._own: TracerProvider | None = None  # made here, so it is ended here
        self.on = config.tracing
        if not self.on:
            return
        if importlib.util.find_spec("opentelemetry.sdk") is None:
            raise errors.TlruError(MISSING)
        from tlru.node.tracing import exporting

        self._provider, self._own = exporting.provider(config.id)

    def watch(self, service: CacheService, node: str, tell: Tell) -> None:
        """Make spans of the writes of a cache; `tell` says to the other members what they need."""
        if self.on:
            from tlru.node.tracing.spans import Spans

            service.spans = Spans(self._provider, node, service, tell)

    async def stop(self) -> None:
        """Send what is left. A collector that does not answer holds up no stop for long."""
        own, self._own = self._own, None
        if own is None:
            return
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def send() -> None:
            try:
                own.shutdown()
            except Exception:
                logger.exception("the last spans could not be sent")
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(sent.set)

        # A thread of its own that no end of the process waits for: those of the loop's executor are
        # waited for, which takes as long as the exporter goes on trying.
        threading.Thread(target=send, name="tlru last spans", daemon=True).start()
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await sent.wait()
        except TimeoutError:
            logger.warning("the last spans could not be sent within %g s", SEND_WITHIN_S)
