"""Attack a node while another client measures: `python -m tests.attacks [name ...]`.

Three processes: the node, on a core of its own; the attacker, and the quiet client (this one),
which goes first, on another. What the quiet client finds in peace, before and after, is compared
with what it finds meanwhile. The attacks are so many a second that neither core is full: beyond
that it would be the machine's end that is measured, which the flood test is about. The attacker has
a token of the class `bulk`, the quiet client one of `default`.

Since others may use the machine too, an attack that misses a goal is tried again, twice at most.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.attacks import bombs, floods, intruders, slow
from tests.attacks.target import HEAD_END, Attack, Target, carry_out, upgrade
from tests.authority import Authority
from tests.benchmarks.classes import serve_command, write_tokens
from tests.benchmarks.flood import Raw, Tally
from tests.benchmarks.processes import (
    descriptors,
    free_port,
    resident_bytes,
    running,
    until_reachable,
)

ATTACKS: dict[str, Attack] = {
    **slow.ATTACKS,
    **floods.ATTACKS,
    **bombs.ATTACKS,
    **intruders.ATTACKS,
}
BY_TLS = {"slow TLS hello"}
NODE_CORE, CLIENTS_CORE = 0, 1
RATIO_MAX = 2.0
GROWTH_BYTES_MAX = 96 << 20  # what 300 connections that do not read may be owed is part of it
TRIES = 3
PER_ADDRESS = 1_000
SETTLE_S = 4.0  # for the node to let go of what the attacker left
RATE = 300.0
QUIET_LIMIT_S = 5.0  # a request that takes longer has failed the goal by itself


@dataclass
class Found:
    """What one attack did."""

    quiet: Tally
    during: Tally
    grown: int
    left: int  # descriptors more than before
    answers: Counter[str]

    @property
    def ratio(self) -> float:
        """How much longer the slowest hundredth took."""
        return self.during.p(0.99) / self.quiet.p(0.99)

    @property
    def good(self) -> bool:
        """Whether the goals are met."""
        harmless = self.ratio <= RATIO_MAX and self.during.done == self.during.offered
        return harmless and self.grown <= GROWTH_BYTES_MAX and self.left <= 0


# -- the quiet client


async def connect(port: int, token: str, trusting: ssl.SSLContext | None) -> Raw:
    """Its connection."""
    if trusting is None:
        return await Raw.open(port, token)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(upgrade(f"Authorization: Bearer {token}"))
    await reader.readuntil(HEAD_END)
    return Raw(reader, writer)


async def ask(raw: Raw, seconds: float) -> Tally:
    """Reads and writes in turn, each when its time has come and the one before is answered."""
    tally, began = Tally(), time.monotonic()
    while (due := began + tally.offered / RATE) < began + seconds:
        now = time.monotonic()
        if due > now:
            await asyncio.sleep(due - now)
        elif now - began > seconds + QUIET_LIMIT_S:
            break
        number = tally.offered = tally.offered + 1
        what = {"op": "get"} if number % 2 else {"op": "set", "value": number}
        sent = time.monotonic()
        raw.say(json.dumps({"id": number, "key": f"quiet{number % 100}", **what}).encode())
        async with asyncio.timeout(QUIET_LIMIT_S):
            reply = json.loads(await raw.receive())
        tally.done += reply["ok"]
        tally.took.append(time.monotonic() - sent)
    return tally


# -- together


@contextlib.asynccontextmanager
async def a_node(
    by_tls: bool,
) -> AsyncIterator[tuple[int, dict[str, str], subprocess.Popen[bytes], ssl.SSLContext | None]]:
    """A node on its core: port, tokens, process, and what its clients trust."""
    with tempfile.TemporaryDirectory() as name:
        folder, port, trusting = Path(name), free_port(), None
        tokens = write_tokens(folder / "tokens.toml")
        command = serve_command(port, folder / "tokens.toml")
        command += ["--connections-per-address", str(PER_ADDRESS)]
        if by_tls:
            authority = Authority(folder)
            file, trusting = authority.node("n1"), authority.trusting()
            command += ["--tls-cert", str(file), "--tls-key", str(file.with_suffix(".key"))]
        with running(command, core=NODE_CORE) as process:
            await until_reachable(port)
            yield port, tokens, process, trusting


async def watch_memory(pid: int, most: list[int]) -> None:
    """Note the most that a process holds."""
    while True:
        most.append(max(most.pop(), resident_bytes(pid)))
        await asyncio.sleep(0.1)


def attacker(name: str, port: int, token: str, seconds: float) -> subprocess.Popen[bytes]:
    """The attacker's process; what it prints is what it heard."""
    command = [sys.executable, "-m", "tests.attacks", name, "--port", str(port)]
    command += ["--token", token, "--seconds", str(seconds)]
    # It shares a core with the quiet client, whose time must not be its time.
    return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(10))


async def measure(name: str, seconds: float) -> Found:
    """Quiet, attacked, quiet again."""
    async with a_node(name in BY_TLS) as (port, tokens, process, trusting):
        raw = await connect(port, tokens["default"], trusting)
        await ask(raw, 0.5)  # what is slow the first time
        quiet = await ask(raw, seconds)
        files, before = descriptors(process.pid), resident_bytes(process.pid)
        most = [before]
        watching = asyncio.create_task(watch_memory(process.pid, most))
        attacking = attacker(name, port, tokens["bulk"], seconds + 2.0)
        try:
            await asyncio.sleep(1.5)  # for it to begin
            during = await ask(raw, seconds)
            out = await asyncio.to_thread(attacking.communicate, None, seconds + 30)
        finally:
            if attacking.poll() is None:
                attacking.kill()
            attacking.wait()
            watching.cancel()
        answers = Counter[str](json.loads(out[0]))
        await _until_let_go(process.pid, files)
        after = await ask(raw, seconds)
        left = descriptors(process.pid) - files
        raw.writer.transport.abort()
    noisier = max(quiet, after, key=lambda tally: tally.p(0.99))
    return Found(noisier, during, most[0] - before, left, answers)


async def _until_let_go(pid: int, files: int) -> None:
    deadline = time.monotonic() + SETTLE_S
    while descriptors(pid) > files and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def tried(name: str, seconds: float) -> tuple[Found, int]:
    """The first measurement that meets the goals, or else the last; and how many there were."""
    for number in range(1, TRIES + 1):
        found = await measure(name, seconds)
        if found.good or number == TRIES:
            return found, number
    raise AssertionError("there is always a try")


def row(name: str, found: Found, tries: int) -> str:
    """A line of the table."""
    common = found.answers.most_common(4)
    answers = ", ".join(f"{count:,} x {what}" for what, count in common) or "nothing"
    words = "" if found.good else "  MISSED"
    words += f"  (try {tries})" if tries > 1 else ""
    return (
        f"{name:<20}{found.quiet.p(0.99) * 1000:>9.2f}{found.during.p(0.99) * 1000:>9.2f}"
        f"{found.ratio:>7.2f}{found.grown / (1 << 20):>9.1f}{found.left:>6}  {answers}{words}"
    )


async def run(names: list[str], seconds: float) -> bool:
    """Print the table; whether all goals are met."""
    print(
        f"{'attack':<20}{'quiet p99':>9}{'p99 ms':>9}{'ratio':>7}{'MiB more':>9}{'fds':>6}  heard"
    )
    good = True
    for name in names:
        found, tries = await tried(name, seconds)
        good &= found.good
        print(row(name, found, tries), flush=True)
    print(f"goals: ratio <= {RATIO_MAX:g}, all answered, <= {GROWTH_BYTES_MAX >> 20} MiB, 0 fds")
    return good


def main() -> int:
    """Attack with all, or with those that are named; or be the attacker."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="attack", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--port", type=int, help="be the attacker of the node there")
    parser.add_argument("--token", default="", help="that the attacker has")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in ATTACKS]:
        parser.error(f"no such attack: {unknown[0]!r}; there are {', '.join(ATTACKS)}")
    os.sched_setaffinity(0, {CLIENTS_CORE})
    if args.port is not None:
        target = Target(args.port, args.token, args.seconds)
        print(json.dumps(asyncio.run(carry_out(ATTACKS[args.names[0]], target))))
        return 0
    return 0 if asyncio.run(run(args.names or list(ATTACKS), args.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
