"""A node, a quiet client that asks it for something, and what it notices while others attack.

Peace and attack take turns, several times on one node: what else the machine has to do changes from
second to second, and is then part of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attacks.target import HEAD_END, upgrade
from tests.authority import Authority
from tests.benchmarks.classes import serve_command, write_tokens
from tests.benchmarks.flood import Raw, Tally
from tests.benchmarks.processes import (
    cpu_s,
    descriptors,
    resident_bytes,
    running,
    until_reachable,
)
from tests.ports import free_ports

BY_TLS = {"slow TLS hello", "garbage, TLS"}
IN_CLUSTER = {"mesh strangers"}
NODE_CORE, CLIENTS_CORE = 0, 1
RATIO_MAX = 2.0
GROWTH_BYTES_MAX = 96 << 20  # what 300 connections that do not read may be owed is part of it
PER_ADDRESS = 1_000
HELLO_S = 1.0  # so that the slow ones meet it within a round
SETTLE_S = 4.0  # for the node to let go of what the attacker left
LEAD_S = 0.4  # for an attack to begin
TAIL_S = 0.3  # that it goes on after the last question
FIRST = 20  # a priority of the system's
RATE = 300.0
QUIET_LIMIT_S = 5.0  # a request that takes longer has failed the goal by itself
SECRET = "known to nobody who attacks, and long enough"


@dataclass
class Found:
    """What one attack did, round by round."""

    quiet: list[Tally] = field(default_factory=list)  # one more than there are rounds
    during: list[Tally] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)  # of the node's core, in peace and attacked
    held: list[int] = field(default_factory=list)  # bytes at the end of each round
    grown: int = 0  # bytes more than before, at the most
    left: int = 0  # descriptors more than before
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def ratios(self) -> list[float]:
        """How much longer the slowest hundredth took in each round than in the peace around it."""
        peace = [tally.p(0.99) for tally in self.quiet]
        around = [(one + two) / 2 for one, two in itertools.pairwise(peace)]
        return [each.p(0.99) / calm for each, calm in zip(self.during, around, strict=True)]

    @property
    def ratio(self) -> float:
        """In the middle one of the rounds."""
        return statistics.median(self.ratios)

    @property
    def load(self) -> float:
        """What part of a core the attack takes of the node, beside what the quiet client takes."""
        peace, attacked = self.busy_s[::2], self.busy_s[1::2]
        return statistics.median(attacked) - statistics.median(peace)

    @property
    def creep(self) -> int:
        """Bytes that each round after the first left behind."""
        return (self.held[-1] - self.held[0]) // max(1, len(self.held) - 1)

    @property
    def good(self) -> bool:
        """Whether the goals are met."""
        answered = all(each.done == each.offered for each in self.during)
        small = self.grown <= GROWTH_BYTES_MAX and self.left <= 0
        return self.ratio <= RATIO_MAX and answered and small


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
            while "ok" not in (reply := json.loads(await raw.receive())):
                pass  # it is told of something
        tally.done += reply["ok"]
        tally.took.append(time.monotonic() - sent)
    return tally


# -- the node


@dataclass
class Victim:
    """A node that runs on its core."""

    port: int
    mesh: int
    tokens: dict[str, str]
    process: subprocess.Popen[bytes]
    trusting: ssl.SSLContext | None  # what its clients trust, where they speak TLS

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid


@contextlib.asynccontextmanager
async def a_node(name: str) -> AsyncIterator[Victim]:
    """A node that is fit for this attack."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder, trusting = Path(folder_name), None
        port, mesh = free_ports(2)
        tokens = write_tokens(folder / "tokens.toml")
        command = serve_command(port, folder / "tokens.toml")
        command += ["--connections-per-address", str(PER_ADDRESS), "--hello-s", str(HELLO_S)]
        if name in BY_TLS:
            authority = Authority(folder)
            file, trusting = authority.node("n1"), authority.trusting()
            command += ["--tls-cert", str(file), "--tls-key", str(file.with_suffix(".key"))]
        env = None
        if name in IN_CLUSTER:
            command += ["--id", "n1", "--mesh", f"127.0.0.1:{mesh}", "--bootstrap", "n1"]
            env = {"TLRU_TOKEN": SECRET}
        with running(command, core=NODE_CORE, env=env) as process:
            await until_reachable(port)
            yield Victim(port, mesh, tokens, process, trusting)


async def _watch_memory(pid: int, most: list[int]) -> None:
    while True:
        most.append(max(most.pop(), resident_bytes(pid)))
        await asyncio.sleep(0.1)


async def _until_let_go(pid: int, files: int) -> None:
    deadline = time.monotonic() + SETTLE_S
    while descriptors(pid) > files and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


# -- the attacker


class Attacker:
    """The attacker's process. It waits for its word, since to start takes it a second."""

    def __init__(self, name: str, victim: Victim, seconds: float) -> None:
        command = [sys.executable, "-m", "tests.attacks", name, "--port", str(victim.port)]
        command += ["--mesh", str(victim.mesh), "--token", victim.tokens["bulk"]]
        command += ["--seconds", str(seconds + LEAD_S + TAIL_S)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=_be_modest,
        )

    async def ready(self) -> None:
        """Wait until it is."""
        assert self._process.stdout is not None
        assert await asyncio.to_thread(self._process.stdout.readline) == b"ready\n"

    async def begin(self) -> None:
        """Let it attack."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        await asyncio.sleep(LEAD_S)

    async def heard(self) -> Counter[str]:
        """What it was answered, once it is done."""
        out, _ = await asyncio.to_thread(self._process.communicate, None, 60)
        return Counter(json.loads(out))

    def stop(self) -> None:
        """It is over, whichever way."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def be_first() -> None:
    """Go before whatever else this machine does, with all that is started from now on."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(FIRST))


def _be_modest() -> None:
    # It shares a core with the quiet client, whose time must not be its time.
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(FIRST - 1))
    else:
        os.nice(10)


@contextlib.contextmanager
def attacking(name: str, victim: Victim, seconds: float) -> Iterator[Attacker]:
    """An attacker."""
    attacker = Attacker(name, victim, seconds)
    try:
        yield attacker
    finally:
        attacker.stop()


async def _busy(victim: Victim, found: Found, asking: Coroutine[Any, Any, Tally]) -> Tally:
    """Note how busy the node is meanwhile."""
    began, before = time.monotonic(), cpu_s(victim.pid)
    tally = await asking
    found.busy_s.append((cpu_s(victim.pid) - before) / (time.monotonic() - began))
    return tally


async def measure(name: str, seconds: float, rounds: int) -> Found:
    """Quiet, attacked, quiet, attacked, ... and quiet."""
    found = Found()
    async with a_node(name) as victim:
        raw = await connect(victim.port, victim.tokens["default"], victim.trusting)
        await ask(raw, 0.5)  # what is slow the first time
        files, before = descriptors(victim.pid), resident_bytes(victim.pid)
        most = [before]
        watching = asyncio.create_task(_watch_memory(victim.pid, most))
        try:
            for _ in range(rounds):
                with attacking(name, victim, seconds) as attacker:
                    await attacker.ready()
                    found.quiet.append(await _busy(victim, found, ask(raw, seconds)))
                    await attacker.begin()
                    found.during.append(await _busy(victim, found, ask(raw, seconds)))
                    found.answers += await attacker.heard()
                await _until_let_go(victim.pid, files)
                found.held.append(resident_bytes(victim.pid))
            found.quiet.append(await ask(raw, seconds))
        finally:
            watching.cancel()
        found.grown, found.left = most[0] - before, descriptors(victim.pid) - files
        raw.writer.transport.abort()
    return found
