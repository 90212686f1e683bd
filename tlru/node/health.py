"""Whether this node lives, serves, and has come up, found out in the background.

Every so often, and within a deadline, a probe is written through the log and read back, the leader
is asked how far it is, and the disk how much room it has; the loop's lag is measured all the time.
What the figures mean, `checks.py` decides; how many of them make a node ready, `steadiness.py`.
Nothing is measured when somebody asks: a health check must be cheap, and must not hang with what it
checks. An answer that is too old says no by itself.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgpack

from peers.cluster.cluster import ClusterLog
from peers.core.entry import Dot
from peers.errors import RefusedError
from peers.ordered_log import NodeStatus
from tlru import errors
from tlru.engine.items import RESERVED
from tlru.engine.operations import Set
from tlru.node import checks
from tlru.node.asker import OneByOne
from tlru.node.checks import PROBE_WITHIN_S, PURPOSES, READ, WRITE, Check
from tlru.node.steadiness import FAILURES_MAX, SUCCESSES_MIN, Steadiness

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.service import CacheService

CHECK_EVERY_S: Final = 2.0
COMING_EVERY_S: Final = 0.25  # until it has served once: somebody waits for it
CHECK_OLD_S: Final = CHECK_EVERY_S * 2 + PROBE_WITHIN_S  # an older result says nothing of now
LOOP_LOOK_S: Final = 0.25
PROBE_TTL_MS: Final = 60_000  # what a removed node has left behind goes by itself


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


class _LoopLag:
    """How much later than asked the loop went on, at the worst since somebody last looked."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._look_later()

    def _look_later(self) -> None:
        self._due = self._loop.time() + LOOP_LOOK_S
        self._handle = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._worst_s = max(self._worst_s, self._loop.time() - self._due)
        self._look_later()

    def taken_ms(self) -> float:
        """The worst since the last time."""
        # What has not come round yet is late by as much as it is overdue.
        worst = max(self._worst_s, self._loop.time() - self._due)
        self._worst_s = 0.0
        return worst * 1_000

    def stop(self) -> None:
        """Look no more."""
        self._handle.cancel()


class Health:
    """The background check of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._asking_disk: asyncio.Task[int | None] | None = None
        self._checks: tuple[Check, ...] = ()
        self._checked_at = 0.0
        self._steady = {purpose: Steadiness() for purpose in PURPOSES}
        self._ready_since: float | None = None

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
        lag = _LoopLag()
        try:
            while True:
                self._take((checks.loop_lag(lag.taken_ms()), *await self._look()))
                came_up = self._steady[WRITE].ever
                await asyncio.sleep(CHECK_EVERY_S if came_up else COMING_EVERY_S)
        finally:
            lag.stop()

    def _take(self, found: tuple[Check, ...]) -> None:
        self._checks, self._checked_at = found, time.monotonic()
        for purpose, steady in self._steady.items():
            decide = (check.ok for check in found if purpose in check.decides)
            steady.take(good=self._serves(purpose) and all(decide))
        if not self._steady[WRITE].ready:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = self._checked_at

    def _serves(self, purpose: str) -> bool:
        """Whether the node's status lets it; for reads also where it is cut off, and its operator
        has said that old answers are better than none."""
        if purpose == READ and self._stale_s() is not None:
            return True
        return self._node.status == NodeStatus.ACTIVE

    def _stale_s(self) -> float | None:
        """How old what it answers may be, where it is cut off and answers `read: any` all the same;
        None where it is not, or must not."""
        behind = [service.may_answer_stale_s() for service in self._node.services.values()]
        found = [each for each in behind if each is not None]
        return max(found) if found and len(found) == len(behind) else None

    # -- what is looked at

    async def _look(self) -> list[Check]:
        services = self._node.services.values()
        found = await asyncio.gather(self._disk(), *(self._cache(each) for each in services))
        return [check for some in found for check in some]

    async def _cache(self, service: CacheService) -> list[Check]:
        probe, lag = await asyncio.gather(self._probe(service), self._lag(service))
        log = service.log.status()
        pos, value = service.machine.noted or (0, 0)
        agrees = log.status is not NodeStatus.INCONSISTENT
        return [
            probe,
            lag,
            checks.digest(service.name, pos, value, agrees=agrees),
            checks.clock_error(service.name, log.clock_error_ms),
        ]

    async def _probe(self, service: CacheService) -> Check:
        """Write a probe through the log and read it back."""
        began = time.monotonic()
        key = f"{RESERVED}probe/{self._node.config.id}"
        value = msgpack.packb(time.time_ns())
        probe = _Probe()
        try:
            service.write_own(Set(key, value, ttl=PROBE_TTL_MS), probe)
            async with asyncio.timeout(PROBE_WITHIN_S):
                problem = await probe.outcome
        except TimeoutError:
            problem = f"a probe was not committed within {PROBE_WITHIN_S:g} s"
        except RefusedError as exc:
            problem = str(exc)
        item = service.machine.read(key, service.log.now())
        if not problem and (item is None or item.value != value):
            problem = "a probe that was committed could not be read back"
        return checks.probe(service.name, (time.monotonic() - began) * 1_000, problem)

    async def _lag(self, service: CacheService) -> Check:
        """Ask the leader how far it is. One that is cut off and may answer all the same tells its
        clients how old that is, so to them this is none of its faults."""
        found = await self._lag_of(service)
        stale = self._stale_s() is not None
        return replace(found, decides=found.decides - {READ}) if stale else found

    @staticmethod
    async def _lag_of(service: CacheService) -> Check:
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                there = await service.log.read_barrier()
        except TimeoutError:
            problem = f"nobody said within {PROBE_WITHIN_S:g} s how far the log is"
            return checks.lag(service.name, None, problem)
        except RefusedError as exc:
            return checks.lag(service.name, None, str(exc))
        return checks.lag(service.name, max(0, there - service.machine.index))

    async def _disk(self) -> list[Check]:
        folder = self._node.config.data_dir or self._node.config.state_dir
        if folder is None:
            return []
        logs = (service.log for service in self._node.services.values())
        trouble = "; ".join(log.disk_trouble for log in logs if isinstance(log, ClusterLog))
        return [checks.disk(trouble), checks.room(await self._free_bytes(Path(folder)))]

    async def _free_bytes(self, folder: Path) -> int | None:
        """How much room the disk has; None where it does not say so in time. A disk that hangs is
        asked once, and not by one more thread every round."""
        if self._asking_disk is None:
            self._asking_disk = asyncio.create_task(asyncio.to_thread(_free, folder))
        done, _ = await asyncio.wait({self._asking_disk}, timeout=PROBE_WITHIN_S)
        if not done:
            return None
        asked, self._asking_disk = self._asking_disk, None
        return asked.result()

    # -- what is answered

    @property
    def ready_since(self) -> float | None:
        """Since when it is ready, by the monotonic clock; None where it is not."""
        return self._ready_since

    def live(self) -> tuple[bool, dict[str, Any]]:
        """The process runs: that it answers is the proof. One whose loop stands gives no answer,
        and whoever asks has a deadline of his own."""
        return True, {"status": "live"}

    def startup(self) -> tuple[bool, dict[str, Any]]:
        """The node has come up: it has served at least once since its start."""
        came_up = self._steady[WRITE].ever
        return came_up, {"status": "started" if came_up else "starting"}

    def ready(self, purpose: str = WRITE) -> tuple[bool, dict[str, Any]]:
        """The node serves; `read` wants less of it than `write`."""
        now = (self._status(purpose), self._fresh(), self._steadily(purpose))
        told = {check.name: check.told() for check in (*now, *self._checks)}
        ok = all(check.ok for check in now)
        return ok, {"status": "ready" if ok else "not ready", "for": purpose, "checks": told}

    def _status(self, purpose: str) -> Check:
        """What the node itself says, at this moment: else it refuses, and no count matters."""
        status, stale_s = self._node.status, self._stale_s() if purpose == READ else None
        return Check(
            "status",
            self._serves(purpose),
            {"is": status} | ({} if stale_s is None else {"stale_s": round(stale_s, 1)}),
            f"the node is {status}, and serves nothing",
            "see its log and its alarms (tlru doctor)",
        )

    def _fresh(self) -> Check:
        age = time.monotonic() - self._checked_at
        return Check(
            "checked",
            age < CHECK_OLD_S,
            {"seconds_ago": round(age, 1), "most_seconds": CHECK_OLD_S},
            "the last check is too old to say anything of now",
            "the process has too much to do, or has only just begun",
        )

    def _steadily(self, purpose: str) -> Check:
        steady = self._steady[purpose]
        figures = {"failures": steady.failures, "most": FAILURES_MAX - 1}
        return Check(
            "steady",
            steady.ready,
            figures | {"successes": steady.successes, "wanted": SUCCESSES_MIN},
            "too many checks in a row have failed, and too few gone well since",
            "see which of the other checks fail; it is ready again by itself",
        )


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
