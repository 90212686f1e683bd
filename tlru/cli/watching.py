"""What `tlru watch` does: several watches, one stdout, and a file that says how far it came.

Decides the order of the two things that make it lose nothing: a change is printed first, and only
then does the file say so. A watch whose changes were taken and are not printed yet never moves its
position in the file.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tlru.cli import say, watch_lines
from tlru.cli.exits import Exit
from tlru.cli.outflow import Outflow
from tlru.cli.target import Target
from tlru.cli.watch_place import Places

if TYPE_CHECKING:
    from tlru.client import Cache
    from tlru.client.changes import Change
    from tlru.client.watching import Watch

BATCH_MAX: Final = 500  # printed, and kept in the file, at a time
# A position moves while nothing happens, too; one that is never kept would be forgotten in the end.
KEEP_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to watch, from where, and until when."""

    patterns: tuple[str, ...]
    since: str | None
    state: str | None
    snapshot: bool
    fold: bool
    keys_only: bool
    count: int | None
    lasting: float | None
    quiet_for: float | None


class Watching:
    """One run of the command."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target = target
        self._plan = plan
        self._places = Places(plan.state, target.cache, plan.patterns)
        self._positions: dict[str, str] = {}
        self._painter = watch_lines.Painter() if watch_lines.is_terminal() else None
        self._links = Links()
        self._left = plan.count
        self._ahead = datetime.timedelta()
        self._watches: dict[str, Watch[bytes]] = {}
        self._taking: dict[asyncio.Task[list[Change[bytes]]], str] = {}

    async def run(self) -> Exit:
        """Print until the plan says that it is enough."""
        async with AsyncExitStack() as stack:
            cache = await stack.enter_async_context(self._target.connect(self._links.told))
            self._ahead = await _ahead(cache)
            out = stack.enter_context(Outflow())
            for pattern in self._plan.patterns:
                watch = cache.watch(
                    pattern,
                    since=self._plan.since or self._places.get(pattern),
                    snapshot=self._plan.snapshot,
                    fold=self._plan.fold,
                    send="keys" if self._plan.keys_only else "values",
                )
                self._watches[pattern] = await stack.enter_async_context(watch)
                self._positions[pattern] = watch.position
            # Not before all have begun: a file about some of the patterns would be refused.
            self._places.keep(self._positions)
            stack.push_async_callback(self._stop_taking)
            return await self._print(out)

    async def _print(self, out: Outflow) -> Exit:
        clock = asyncio.get_running_loop().time
        began = latest = clock()
        for pattern in self._plan.patterns:
            self._take(pattern)
        while True:
            until = min(self._ends(began, latest), clock() + KEEP_EVERY_S)
            done, _ = await asyncio.wait(
                (*self._taking, out.gone),
                timeout=max(0.0, until - clock()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if out.gone in done:
                raise BrokenPipeError
            for task in [task for task in self._taking if task in done]:
                await self._print_batch(out, self._taking.pop(task), task.result())
                if self._left == 0:
                    return Exit.OK
                latest = clock()
            self._keep_quiet_ones()
            if not done and clock() >= self._ends(began, latest):
                return Exit.OK if self._left is None else Exit.ABSENT

    def _ends(self, began: float, latest: float) -> float:
        plan = self._plan
        ends = [] if plan.lasting is None else [began + plan.lasting]
        ends += [] if plan.quiet_for is None else [latest + plan.quiet_for]
        return min(ends, default=float("inf"))

    def _take(self, pattern: str) -> None:
        most = BATCH_MAX if self._left is None else min(BATCH_MAX, self._left)
        taking = asyncio.ensure_future(self._watches[pattern].take(most))
        self._taking[taking] = pattern

    async def _print_batch(self, out: Outflow, pattern: str, batch: list[Change[bytes]]) -> None:
        """Print changes of one pattern, keep that they are, and only then take more of them."""
        position = self._watches[pattern].position
        if self._left is not None:
            if len(batch) > self._left:  # another pattern's changes have used it up meanwhile
                batch = batch[: self._left]
                position = batch[-1].position
            self._left -= len(batch)
        await out.write("".join(self._line(change, pattern) for change in batch))
        self._positions[pattern] = position
        self._places.keep(self._positions)
        self._take(pattern)

    def _line(self, change: Change[bytes], pattern: str) -> str:
        from tlru.client.changes import Reset

        if isinstance(change, Reset):
            say.word(
                f"changes of {pattern} were missed: {change.reason}; "
                "what was printed before may be out of date"
            )
            if not self._target.json:
                return ""
        if self._target.json:
            several = pattern if len(self._plan.patterns) > 1 else None
            return watch_lines.json_line(change, several)
        if self._painter is not None:
            return self._painter.line(change, self._ahead)
        return watch_lines.piped_line(change, self._ahead)

    def _keep_quiet_ones(self) -> None:
        """Of those with nothing to print, how far they are without it."""
        for task, pattern in self._taking.items():
            if not task.done():
                self._positions[pattern] = self._watches[pattern].position
        self._places.keep(self._positions)

    async def _stop_taking(self) -> None:
        for task in self._taking:
            task.cancel()
        await asyncio.gather(*self._taking, return_exceptions=True)


async def _ahead(cache: Cache[bytes]) -> datetime.timedelta:
    """By how much the time of day is ahead of the cluster's, which may have begun at 0."""
    theirs = (await cache.status()).get("time")
    ours = time.time() * 1_000
    return datetime.timedelta(milliseconds=ours - theirs if isinstance(theirs, int) else 0)


class Links:
    """Says on stderr when the connection is lost, and where it goes on."""

    def __init__(self) -> None:
        self._server: str | None = None
        self._lost = False

    def told(self, server: str | None, why: str) -> None:
        """A server has come into service, or there is none any more."""
        if server is None:
            say.word(f"lost {self._server}: {why}; looking for a server")
            self._lost = True
            return
        if self._lost:
            say.word(f"goes on at {server}")
        elif self._server is not None:
            say.word(f"left {self._server}; goes on at {server}")
        self._server, self._lost = server, False
