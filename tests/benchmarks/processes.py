"""What benchmarks need of other programs: to find and start them, and to ask what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.ports import free_ports

STOP_S = 20
REACHABLE_S = 20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """One such port."""
    return free_ports(1)[0]


def installed(program: str, package: str) -> str:
    """The path of a program, installed if need be and if we may."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
    found = shutil.which(program, path=path)
    if found is None and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", package],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found = shutil.which(program, path=path)
    if found is None:
        sys.exit(f"{program} is missing: apt-get install {package}")
    return found


@contextlib.contextmanager
def running(
    command: Sequence[str], *, core: int | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, on one core if that is said, stopped by its own process id."""

    def stay() -> None:
        assert core is not None
        os.sched_setaffinity(0, {core})

    begin: Callable[[], None] | None = None if core is None else stay
    process = subprocess.Popen(
        command,
        preexec_fn=begin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until_reachable(port: int) -> None:
    """Wait until a server accepts connections."""
    deadline = time.monotonic() + REACHABLE_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return


def cpu_s(pid: int) -> float:
    """How long a process has kept a core busy, in user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_bytes(pid: int) -> int:
    """How much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
