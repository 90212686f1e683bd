"""The nodes of a demo: where each listens, how each is started, and how all of them end.

Decides the command line of a node, which is the one that a person can type to start it again, and
what is told when one ends. A node is a process of its own group, so that Ctrl-C reaches the demo
alone; its stdin is a pipe from the demo, so that it ends with it, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tlru.cli.exits import CannotStartError

HOST: Final = "127.0.0.1"
READY_S: Final = 60.0  # a cluster that does not serve by then never will
LOOK_S: Final = 0.02
ANSWER_S: Final = 1.0
STATUS_BYTES_MAX: Final = 1 << 20
PORTS_A_NODE: Final = 2
PRIORITY, STEP = 100, 10  # the first is to lead, and so on
STOP_S: Final = 10.0  # for all of them, beyond which they are killed


@dataclass(slots=True)
class DemoNode:
    """One node: what it is called, where it is, and its process."""

    id: str
    port: int
    mesh: int
    flags: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{HOST}:{self.port}"

    def line(self) -> str:
        """The command that starts it again, from any terminal."""
        return f"{shown_command()} {shlex.join(['serve', *self.flags])}"

    def how_it_ended(self) -> str:
        """In a few words."""
        assert self.process is not None
        status = self.process.returncode
        assert status is not None
        return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"

    async def start(self, *more: str) -> None:
        """Start it, and wait until it listens. CannotStartError where it ends instead."""
        self.process = await asyncio.create_subprocess_exec(
            *(*_command(), "serve", *self.flags, *more, "--until-stdin-ends", "--json"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={name: word for name, word in os.environ.items() if not name.startswith("TLRU_")},
        )
        assert self.process.stdout is not None
        if not await self.process.stdout.readline():
            await self.process.wait()
            raise CannotStartError(
                f"node {self.id} has ended {self.how_it_ended()} before it was ready; "
                "what it said stands above"
            )

    async def wait(self) -> None:
        """Wait for its end; what it says meanwhile (that it began anew) is of no interest."""
        assert self.process is not None
        assert self.process.stdout is not None
        while await self.process.stdout.read(4_096):
            pass
        await self.process.wait()

    async def status(self) -> dict[str, Any]:
        """What it says of itself; nothing where it does not answer."""
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                with contextlib.closing(writer):
                    writer.write(f"GET /v1/status HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                    answer = await reader.read(STATUS_BYTES_MAX)
                    while not reader.at_eof():
                        answer += await reader.read(STATUS_BYTES_MAX)
            said: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
        except (OSError, ValueError, TimeoutError):
            return {}
        return said

    def somebody_listens(self) -> bool:
        """Whether a program does where this node did."""
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self.port), ANSWER_S).close()
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal, if that is still ours."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    @property
    def runs(self) -> bool:
        """Whether the process that we started goes on."""
        return self.process is not None and self.process.returncode is None


def planned(count: int, port: int, grace_s: float, origins: Sequence[str] = ()) -> list[DemoNode]:
    """Nodes on `port` and those above it, or on any that are free. CannotStartError, which says
    which one, where another program has a port of theirs."""
    ports = _ports(PORTS_A_NODE * count, port)
    nodes = [
        DemoNode(f"n{number + 1}", ports[2 * number], ports[2 * number + 1])
        for number in range(count)
    ]
    join = ",".join(f"{HOST}:{node.mesh}" for node in nodes)
    pages = ("--cors-origins", ",".join(origins)) if origins else ()
    for number, node in enumerate(nodes):
        node.flags = [
            *("--id", node.id, "--priority", str(PRIORITY - STEP * number)),
            *("--listen", node.address, "--mesh", f"{HOST}:{node.mesh}"),
            *("--join", join, "--expect", str(count), "--grace", f"{grace_s:g}s"),
            *pages,
        ]
    return nodes


def _ports(count: int, first: int) -> list[int]:
    """So many, in a row where there is a first one: all of them free at this moment."""
    with contextlib.ExitStack() as held:
        found = []
        for port in range(first, first + count) if first else [0] * count:
            sock = held.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((HOST, port))
                sock.listen()  # a port that somebody listens on could be bound all the same
            except OSError as exc:
                raise CannotStartError(_no_port(port, count, exc)) from exc
            found.append(int(sock.getsockname()[1]))
        return found


def _no_port(port: int, count: int, problem: OSError) -> str:
    taken = problem.errno == errno.EADDRINUSE
    why = "another program does; stop it, or" if taken else f"{problem.strerror};"
    return (
        f"cannot listen on {HOST}:{port}: {why} choose other ports with --port "
        f"({count} in a row are needed; --port 0 takes any that are free)"
    )


async def until_active(nodes: Sequence[DemoNode]) -> str:
    """Wait until all serve; who leads."""
    waiting, leader = list(nodes), ""
    try:
        async with asyncio.timeout(READY_S):
            while waiting:
                said = await waiting[0].status()
                if said.get("status") == "active" and said.get("leader"):
                    leader = said["leader"]
                    waiting.pop(0)
                elif not waiting[0].runs:
                    raise CannotStartError(
                        f"node {waiting[0].id} has ended {waiting[0].how_it_ended()} before the "
                        "cluster was ready; what it said stands above"
                    )
                else:
                    await asyncio.sleep(LOOK_S)
    except TimeoutError as exc:
        raise CannotStartError(
            f"node {waiting[0].id} does not serve after {READY_S:g} s; {waiting[0].line()} "
            "shows what it logs"
        ) from exc
    return leader


async def stop(nodes: Sequence[DemoNode]) -> None:
    """End those that are ours, in order; those that are not gone in time, at once."""
    for node in nodes:
        node.send(signal.SIGTERM)
    ends = [asyncio.ensure_future(node.wait()) for node in nodes if node.process is not None]
    if ends:
        await asyncio.wait(ends, timeout=STOP_S)
    for node in nodes:
        node.send(signal.SIGKILL)
    await asyncio.gather(*ends)


def shown_command() -> str:
    """How a person calls this program from another terminal."""
    command = _command()
    if len(command) == 1:
        name = Path(command[0]).name
        found = shutil.which(name)
        is_found = found is not None and Path(found).resolve() == Path(command[0]).resolve()
        return name if is_found else shlex.quote(command[0])
    # What a checkout's directory, or a variable, let this Python find must be said there too.
    root = str(Path(__file__).resolve().parents[2])
    by_hand = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    is_installed = root not in [str(Path(each).resolve()) for each in by_hand if each]
    where = [] if is_installed else ["env", f"PYTHONPATH={root}"]
    return shlex.join([*where, *command])


def _command() -> list[str]:
    """How this program was called: by its script, or as a module of this Python."""
    script = Path(sys.argv[0]).absolute()
    is_script = script.name != "__main__.py" and os.access(script, os.X_OK) and script.is_file()
    return [str(script)] if is_script else [sys.executable, "-m", "tlru"]
