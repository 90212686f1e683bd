"""A ledger on the ordered log alone: what is shared, kept and agreed on need not be a cache.

python examples/ledger.py [--data-dir DIR]

Money moves between accounts. Whether a transfer is done is decided when its entry is applied, by
nothing but the entries before it: so every node that has the log comes to the same balances.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.core.entry import Dot, Entry, Epoch
from peers.errors import LogError
from peers.ordered_log import OrderedLog, Settled
from peers.single import SingleLog

OUTSIDE = "outside"  # where money comes from; it alone may be below 0, so that all add up to 0
PATIENCE_MS = 5_000  # a transfer that is not in order by then is not done


@dataclass(slots=True)
class Copy:
    """The ledger as it was at one index; what is written at once need not be walked."""

    index: int
    state: bytes

    def chunks(self) -> Iterator[bytes]:
        """All of it in one piece."""
        yield self.state

    def close(self) -> None:
        """Nothing was held back for it."""


class Ledger:
    """The application: balances, and who waits for a transfer."""

    def __init__(self, log: OrderedLog) -> None:
        self.log = log
        self.index = 0
        self.balances: dict[str, int] = {}
        self._waiting: dict[Dot, asyncio.Future[str]] = {}
        self._moved = asyncio.Event()

    # -- what one can ask of it

    async def transfer(self, payer: str, payee: str, amount: int) -> str:
        """Move money; what became of that, which is the same on every node."""
        assert amount > 0, "what makes no sense needs no place in the order"
        operation = json.dumps([payer, payee, amount]).encode()
        dot = self.log.propose(operation, until=self.log.now() + PATIENCE_MS)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[dot] = answer  # in time: nothing is applied before we wait
        return await answer

    async def read(self) -> dict[str, int]:
        """The balances, with all that was done on any node before this was asked."""
        index = await self.log.read_barrier()
        while self.index < index:
            await self._moved.wait()
        return dict(self.balances)

    # -- what the log drives

    def begin(self, epoch: Epoch) -> None:
        """Entries are told apart by their indexes alone here, so it does not matter."""

    def apply(self, entries: Sequence[Entry]) -> None:
        """Carry out what is in order now, and tell whoever waits for it here."""
        for entry in entries:
            outcome = self._carry_out(entry)
            if entry.dot is not None:
                self._answer(entry.dot, f"{outcome} (entry {entry.index})")
            self._move_to(entry.index)

    def settle(self, dot: Dot, outcome: Settled) -> None:
        """Tell whoever waits that it will not be seen applied here."""
        self._answer(dot, "not done" if outcome is Settled.NOT_DONE else "perhaps done")

    def capture(self) -> Copy:
        """All that is to be kept; who waits is no part of it."""
        return Copy(self.index, json.dumps([self.index, self.balances]).encode())

    def arriving(self) -> "Arriving":
        """What was kept, or another node has, comes in pieces."""
        return Arriving(self)

    def go_on_from(self, index: int, balances: dict[str, int]) -> None:
        """Forget what there was."""
        self.balances = balances
        self._move_to(index)

    def _carry_out(self, entry: Entry) -> str:
        # The entry's time, and no clock's: else one node would do what another does not.
        late = entry.until is not None and entry.at > entry.until
        if late or not entry.operation:  # without one: a leader's first entry, or a void
            return "not done: it came too late"
        payer, payee, amount = json.loads(entry.operation)
        balance = self.balances.get(payer, 0)
        if balance < amount and payer != OUTSIDE:
            return f"refused: {payer} has {balance}"
        self.balances[payer] = balance - amount
        self.balances[payee] = self.balances.get(payee, 0) + amount
        return "done"

    def _answer(self, dot: Dot, said: str) -> None:
        waiting = self._waiting.pop(dot, None)
        if waiting is not None and not waiting.done():  # else asked elsewhere, or given up
            waiting.set_result(said)

    def _move_to(self, index: int) -> None:
        self.index = index
        self._moved.set()
        self._moved = asyncio.Event()


class Arriving:
    """A ledger that comes piece by piece, until it is whole."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pieces: list[bytes] = []
        self._whole: tuple[int, dict[str, int]] = (0, {})

    def take(self, chunk: bytes) -> None:
        """The next piece."""
        self._pieces.append(chunk)

    def finish(self) -> int:
        """All are there."""
        index, balances = json.loads(b"".join(self._pieces))
        self._whole = (index, balances)
        return int(index)

    def install(self) -> None:
        """It is the ledger from now on."""
        self._ledger.go_on_from(*self._whole)


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Ledger]:
    """The ledger in a directory. That it runs on a log of one is known in this function only."""
    log: OrderedLog = SingleLog("desk", directory)
    ledger = Ledger(log)
    await log.start(ledger)
    try:
        print(f"opened: epoch {log.epoch}, entry {ledger.index}, {ledger.balances}")
        yield ledger
    finally:
        await log.stop()


async def pay(ledger: Ledger, payer: str, payee: str, amount: int) -> None:
    """One transfer, shown."""
    print(f"{payer} pays {payee} {amount}:", await ledger.transfer(payer, payee, amount))


async def main(directory: Path) -> None:
    """Spend the same money twice, which fails, and some of the rest after a restart."""
    async with opened(directory) as ledger:
        await pay(ledger, OUTSIDE, "ann", 100)
        await asyncio.gather(pay(ledger, "ann", "bob", 80), pay(ledger, "ann", "cat", 80))
        print("as of now:", await ledger.read())
    async with opened(directory) as ledger:
        await pay(ledger, "ann", "cat", 20)
        print("as of now:", await ledger.read())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A replicated ledger, on a log of one node.")
    parser.add_argument("--data-dir", type=Path, help="go on with the ledger in this directory")
    chosen: Path | None = parser.parse_args().data_dir
    with tempfile.TemporaryDirectory() if chosen is None else contextlib.nullcontext(chosen) as at:
        try:
            asyncio.run(main(Path(at)))
        except LogError as exc:
            sys.exit(f"ledger: {exc}")
