"""Running a node in this process: start it, say that it is ready, stop it when asked.

Decides what a signal does and how a failed start is told (`CannotStartError`). The first SIGTERM or
SIGINT lets clients finish for as long as `grace` says; a second one ends the process at once. What
is said when the node is ready, whoever calls this decides.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from tlru._version import __version__
from tlru.cli import say
from tlru.cli.collector import Collector
from tlru.cli.exits import CannotStartError, Exit
from tlru.config import Config
from tlru.errors import TlruError
from tlru.node import Node

# A node that has not stopped this long after its grace is ended without further waiting.
STOP_MARGIN_S = 5.0

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)

Announce = Callable[[Node], None]


def run_node(config: Config, announce: Announce, *, listen_flag: str = "--listen") -> Exit:
    """Run a node until it is told to stop; `announce` is called once it serves.

    `listen_flag` is how the user of this command says where to listen. Raises `CannotStartError`.
    """
    with asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
        try:
            return runner.run(_serve(config, announce))
        except _PortError as failed:
            raise CannotStartError(_port_problem(failed.problem, config, listen_flag)) from failed


def _loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not config.uvloop:
        return None
    try:
        import uvloop
    except ImportError:  # it has no wheel for every platform, and nothing depends on it
        logger.info("uvloop is not installed; using asyncio's own loop")
        return None
    return uvloop.new_event_loop


async def _serve(config: Config, announce: Announce) -> Exit:
    signals = _Signals()
    try:
        node = Node(config)
        if not await _start(node, signals):
            return Exit.OK
        _calm_the_collector(node)
        logger.info("ready", extra={"node": config.id, "url": node.url, "release": __version__})
        try:
            announce(node)
        except BrokenPipeError:  # a node serves, whether or not somebody reads what it says
            say.abandon_stdout()
        return await _until_stopped(node, config.grace, signals)
    finally:
        signals.forget()


def _calm_the_collector(node: Node) -> None:
    """For as long as the process lives."""
    Collector(lambda: node.connections_total - len(node.connections)).start()


async def _start(node: Node, signals: _Signals) -> bool:
    """Start the node; False where it was told to stop before it was ready."""
    starting = asyncio.ensure_future(node.start())
    await asyncio.wait((starting, signals.first), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
        logger.info("stopped before it was ready")
        return False
    try:
        starting.result()
    except OSError as problem:
        raise _PortError(problem) from problem
    except TlruError as problem:
        raise CannotStartError(f"cannot start: {problem}{_hint(problem, node.config)}") from problem
    return True


async def _until_stopped(node: Node, grace: float, signals: _Signals) -> Exit:
    closed = asyncio.ensure_future(node.wait_closed())
    await asyncio.wait((closed, signals.first), return_when=asyncio.FIRST_COMPLETED)
    if signals.first.done():
        closed.cancel()
        return await _stop(node, grace, signals)
    closed.result()
    say.word("the node closed without having been asked to")
    return Exit.DEFECT


async def _stop(node: Node, grace: float, signals: _Signals) -> Exit:
    logger.info("stopping", extra={"signal": signals.first.result().name, "grace_s": grace})
    try:
        async with asyncio.timeout(grace + STOP_MARGIN_S):
            await node.stop(grace=grace)
    except TimeoutError:
        say.word(f"the node had not stopped {STOP_MARGIN_S:g} s after its grace; ending it")
        _end(signal.SIGTERM)
    logger.info("stopped")
    return Exit.OK


class _Signals:
    """The signals that stop a node: the first is told, the second ends the process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.first: asyncio.Future[signal.Signals] = self._loop.create_future()
        for each in _STOP_SIGNALS:
            self._loop.add_signal_handler(each, self._came, each)

    def forget(self) -> None:
        """Leave signals to Python again."""
        for each in _STOP_SIGNALS:
            self._loop.remove_signal_handler(each)

    def _came(self, number: signal.Signals) -> None:
        if self.first.done():
            _end(number)
        self.first.set_result(number)


def _end(number: signal.Signals) -> NoReturn:
    """End now: threads that write a snapshot, and tasks that wait, are not waited for."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(128 + number)


def _hint(problem: TlruError, config: Config) -> str:
    about_directory = config.data_dir is not None and str(config.data_dir) in str(problem)
    return "; name a directory that can be written with --data-dir" if about_directory else ""


class _PortError(Exception):
    """What the system says when a port cannot be had."""

    def __init__(self, problem: OSError) -> None:
        super().__init__(problem)
        self.problem = problem


def _port_problem(problem: OSError, config: Config, listen_flag: str) -> str:
    """Why a port could not be had, in one line that says what to do."""
    name, address = _address_of(problem, config)
    flag = listen_flag if name == "listen" else "--mesh"
    where = f"cannot listen on {address}"
    if isinstance(problem, socket.gaierror):
        return f"{where}: no such host; choose another with {flag}"
    match problem.errno:
        case errno.EADDRINUSE:
            return (
                f"{where}: another program does; stop it, or choose another port with {flag} "
                "(port 0 is any free one)"
            )
        case errno.EACCES | errno.EPERM:
            return f"{where}: not permitted; choose a port above 1023 with {flag}"
        case errno.EADDRNOTAVAIL:
            return f"{where}: this machine has no such address; choose another with {flag}"
        case _:
            return f"cannot start: {problem.strerror or problem}"


def _address_of(problem: OSError, config: Config) -> tuple[str, str]:
    """Which of the two addresses the problem is about: the system names it only in its words."""
    words = str(problem).replace(",", " ").replace(")", " ").split()
    port = config.mesh_address.port
    about_mesh = port != 0 and str(port) in words
    return ("mesh", config.mesh) if about_mesh else ("listen", config.listen)
