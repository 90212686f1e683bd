"""`tlru top`: a live view of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tlru.cli import say
from tlru.cli.commands import NO_BREAK, Command, Kinded
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command
from tlru.config.numbers import Duration
from tlru.errors import TlruError

if TYPE_CHECKING:
    from tlru.cli.top_prefixes import Tally
    from tlru.cli.top_view import Seen
    from tlru.client import Cache

E = TypeVar("E", bound=enum.Enum)

INTERVAL_S: Final = 1.0
INTERVAL_S_MIN, INTERVAL_S_MAX = 0.1, 60.0
# Where the node in service says nothing, the view says so rather than to stand still.
ANSWER_S: Final = 2.0
HOT_MAX: Final = 100  # prefixes that JSON has


@click.command(
    cls=Command,
    examples=[
        "tlru top",
        "tlru top --interval 5s --server cache-1:8400",
        "tlru top --once",
        "tlru top --json | jq '.nodes[] | {id, status, lag}'",
    ],
)
@click.option("--once", is_flag=True, help="Look for one interval, print one view, and end.")
@click.option(
    "--interval",
    type=Kinded(Duration(INTERVAL_S_MIN, INTERVAL_S_MAX)),
    default=INTERVAL_S,
    help=f"How often to look. [default:{NO_BREAK}1s]",
)
@client_command
async def command(target: Target, /, once: bool, interval: float) -> Exit:
    """Show a cluster live: its nodes, what they do, and which keys change most.

    Keys: q quits, p pauses, s sorts the prefixes by something else, n the nodes. LAG is how many
    entries a node has yet to apply, CLOCK how far its time may be off, and LINKS the round trips to
    the other nodes in ms; a narrow terminal has fewer columns. Totals count what all nodes do, and
    the keys of one, since each holds everything. A prefix ends at the first : or /; where more keys
    change than can be counted (5,000 a look), it says for which share of the time it has counted.

    With --json there is one object for each look, until it is stopped or, with --once, one.
    """
    live = not once and not target.json
    if live and (not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb"):
        raise click.UsageError("a live view needs a terminal; use --once, or --json")
    from tlru.cli.top_view import Seen

    seen = Seen(target.cache, _nothing)

    def told(server: str | None, why: str) -> None:
        seen.server = None if server is None else server.removesuffix("/ws")
        seen.problem = "" if server else f"lost the server: {why}; looking for one"
        seen.changed()

    async with target.connect(told) as cache, _listening(cache) as tally:
        looking = Looking(cache, tally, seen, interval)
        if live:
            return await Live(looking).run()
        return await _print(looking, target.json, once)


@contextlib.asynccontextmanager
async def _listening(cache: Cache[bytes]) -> Any:  # Any: an async context manager of a Tally
    from tlru.cli.top_prefixes import Tally

    tally = Tally()
    listening = asyncio.ensure_future(tally.run(cache))
    try:
        yield tally
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


class Looking:
    """Asks the cluster how it is, again and again."""

    def __init__(self, cache: Cache[bytes], tally: Tally, seen: Seen, interval: float) -> None:
        self.seen = seen
        self.interval = interval
        self._cache = cache
        self._tally = tally
        self._heard_at = time.monotonic()

    async def look(self) -> None:
        """Bring what was seen up to now. Raises what kept it from that."""
        seen = self.seen
        self._tally.turn()
        try:
            seen.told = await self._cache.nodes(timeout=max(ANSWER_S, self.interval))
        except TlruError as problem:
            seen.problem = seen.problem or str(problem)
            raise
        finally:
            seen.age_s = time.monotonic() - self._heard_at
            seen.clock = time.strftime("%H:%M:%S")
        self._heard_at = time.monotonic()
        seen.problem = ""
        seen.hot, seen.share = self._tally.hottest(), self._tally.share()
        seen.unwatched = self._tally.problem
        seen.history.add(seen.nodes, seen.hot)


async def _print(looking: Looking, as_json: bool, once: bool) -> Exit:
    from tlru.cli.outflow import Outflow
    from tlru.cli.top_view import page

    with Outflow() as out:
        await looking.look()
        while True:
            await asyncio.wait((out.gone,), timeout=looking.interval)
            if out.gone.done():
                raise BrokenPipeError
            try:
                await looking.look()
            except TlruError as problem:
                if once:
                    raise
                say.word(str(problem))
                continue
            if as_json:
                await out.write(_json_line(looking.seen))
            else:
                width = 10_000 if not sys.stdout.isatty() else os.get_terminal_size().columns
                await out.write("".join(f"{line.plain}\n" for line in page(looking.seen, width)))
            if once:
                return Exit.OK


def _json_line(seen: Seen) -> str:
    from tlru.wire import strict_json

    hot = [
        {"prefix": each.prefix, "sets_per_s": round(each.sets, 3),
         "removals_per_s": round(each.removals, 3)}
        for each in seen.hot[:HOT_MAX]
    ]  # fmt: skip
    told = {"server": seen.server, **seen.told, "prefixes": hot, "sampled": round(seen.share, 4)}
    return strict_json.dumps(told).decode() + "\n"


class Live:
    """The view on a terminal, until somebody has enough of it."""

    def __init__(self, looking: Looking) -> None:
        from tlru.cli.top_screen import Screen

        self._looking = looking
        self._seen = looking.seen
        self._screen = Screen()
        self._over: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def run(self) -> Exit:
        """Look and show, until a key or a signal ends it."""
        # The client's warnings would be written across the view, which says what matters of them.
        logging.getLogger("tlru").addHandler(logging.NullHandler())
        with self._screen.taken(self._pressed, lambda: self._end(Exit.TERMINATED), self._draw):
            self._draw()
            self._seen.changed = self._draw
            looks = asyncio.ensure_future(self._look_on())
            try:
                await asyncio.wait((self._over, looks), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._seen.changed = _nothing
                looks.cancel()
                await asyncio.gather(looks, return_exceptions=True)
        return self._over.result() if self._over.done() else looks.result()

    async def _look_on(self) -> Exit:
        while True:
            if not self._seen.paused:
                with contextlib.suppress(TlruError):  # the view says it
                    await self._looking.look()
                self._draw()
            await asyncio.sleep(self._looking.interval)

    def _draw(self) -> None:
        from tlru.cli.top_view import KEYS, page

        width, height = self._screen.size
        self._screen.show(page(self._seen, width, height, KEYS))

    def _pressed(self, key: str) -> None:
        seen = self._seen
        match key.lower():
            case "q":
                self._end(Exit.OK)
            case "p":
                seen.paused = not seen.paused
            case "s":
                seen.hot_sort = _following(seen.hot_sort)
            case "n":
                seen.node_sort = _following(seen.node_sort)
            case _:
                return
        self._draw()

    def _end(self, how: Exit) -> None:
        if not self._over.done():
            self._over.set_result(how)


def _nothing() -> None:
    """Nobody is to be told that there is news."""


def _following(one: E) -> E:
    every = list(type(one))
    return every[(every.index(one) + 1) % len(every)]
