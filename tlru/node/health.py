"""Whether this node lives, serves, and has come up, found out in the background.

A probe is written through the log and read back, every so often and within a deadline; the loop's
lag is measured meanwhile. An answer names each check with its figure. Nothing is measured when
somebody asks: a health check must be cheap, and must not hang with what it checks.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgpack

from peers.core.entry import Dot
from peers.errors import RefusedError
from tlru import errors
from tlru.engine.items import RESERVED
from tlru.engine.operations import Set
from tlru.node.asker import OneByOne

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

PROBE_EVERY_S = 2.0
PROBE_WITHIN_S = 1.0
PROBE_OLD_S = PROBE_EVERY_S * 2 + PROBE_WITHIN_S  # an older result says nothing of now
LOOP_LAG_MAX_S = 0.5


class _Probe(OneByOne):
    """The asker of a probe's write."""

    def __init__(self) -> None:
        self.waiting: dict[Dot, str] = {}
        self.waits = 0
        self.push_bytes = 0
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        """It was written."""
        if not self.outcome.done():
            self.outcome.set_result("")

    def refuse(self, request: int | None, error: errors.TlruError) -> None:
        """It was not."""
        if not self.outcome.done():
            self.outcome.set_result(error.message)


class Health:
    """The background check of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._checks: dict[str, dict[str, Any]] = {}
        self._checked_at = 0.0
        self._came_up = False

    def start(self) -> None:
        """Check from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Check no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        lag = 0.0
        while True:
            checks = {"loop_lag": {"ok": lag < LOOP_LAG_MAX_S, "ms": round(lag * 1000, 1)}}
            for name, service in self._node.services.items():
                checks[f"probe_{name}"] = await self._probe(service)
            self._checks = checks
            self._checked_at = time.monotonic()
            self._came_up = self._came_up or all(each["ok"] for each in checks.values())
            lag = await self._rest()

    @staticmethod
    async def _rest() -> float:
        """Pause between two checks; how much later than asked the loop went on."""
        expected = time.monotonic() + PROBE_EVERY_S
        await asyncio.sleep(PROBE_EVERY_S)
        return max(0.0, time.monotonic() - expected)

    async def _probe(self, service: CacheService) -> dict[str, Any]:
        """Write a probe through the log and read it back."""
        began = time.monotonic()
        key = f"{RESERVED}probe/{self._node.config.id}"
        value = msgpack.packb(time.time_ns())
        probe = _Probe()
        try:
            service.write_own(Set(key, value, ttl=60_000), probe)
            async with asyncio.timeout(PROBE_WITHIN_S):
                problem = await probe.outcome
        except TimeoutError:
            problem = f"a probe was not committed within {PROBE_WITHIN_S} s"
        except RefusedError as exc:
            problem = str(exc)
        item = service.machine.read(key, service.log.now())
        if not problem and (item is None or item.value != value):
            problem = "a probe that was committed could not be read back"
        found: dict[str, Any] = {
            "ok": not problem,
            "ms": round((time.monotonic() - began) * 1000, 2),
        }
        return {**found, "problem": problem} if problem else found

    # -- what is answered

    def live(self) -> tuple[bool, dict[str, Any]]:
        """The process runs: that it answers is the proof."""
        return True, {"status": "live"}

    def startup(self) -> tuple[bool, dict[str, Any]]:
        """The node has come up: it has served at least once since its start."""
        return self._came_up, {"status": "started" if self._came_up else "starting"}

    def ready(self, purpose: str = "write") -> tuple[bool, dict[str, Any]]:
        """The node serves; `read` wants less of it than `write`."""
        age = time.monotonic() - self._checked_at
        checks: dict[str, dict[str, Any]] = {
            "status": {"ok": self._node.status == "active", "is": self._node.status},
            "checked": {"ok": age < PROBE_OLD_S, "seconds_ago": round(age, 1)},
            **self._checks,
        }
        wanted = ("status", "loop_lag") if purpose == "read" else tuple(checks)
        ok = all(check["ok"] for name, check in checks.items() if name in wanted)
        return ok, {"status": "ready" if ok else "not ready", "for": purpose, "checks": checks}
