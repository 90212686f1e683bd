"""Running a node in this process: start it, say that it is ready, stop it when asked.

Decides what a signal does and how a failed start is told (`CannotStartError`). The first SIGTERM or
SIGINT lets clients finish for as long as `grace` says; a second one ends the process at once.
SIGHUP has the node reload. What is said when the node is ready, whoever calls this decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from tlru import logs
from tlru._version import __version__
from tlru.cli import anew, say
from tlru.cli.allocator import keep_large_apart
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


@dataclass(frozen=True, slots=True)
class Terms:
    """How a node is run: `resolve` makes its configuration anew, None where nothing can."""

    resolve: Callable[[], Config] | None = None
    until_stdin_ends: bool = False
    listen_flag: str = "--listen"  # how the user of this command says where to listen


ALONE: Final = Terms()


def run_node(config: Config, announce: Announce, terms: Terms = ALONE) -> Exit:
    """Run a node until it is told to stop; `announce` is called once it serves.

    Where it is told to begin anew, this does not return. Raises `CannotStartError`.
    """
    keep_large_apart()
    with asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
        try:
            ended = runner.run(_serve(config, announce, terms))
        except _PortError as failed:
            told = _port_problem(failed.problem, config, terms.listen_flag)
            raise CannotStartError(told) from failed
    if not isinstance(ended, Exit):
        _begin_anew(ended)
    return ended


def _begin_anew(stopped: Node) -> NoReturn:
    try:
        anew.begin_anew(stopped.listener_left, stopped.config.listen)
    except OSError as problem:
        anew.hear_signals()
        raise CannotStartError(f"cannot begin anew: {problem}; start the node again") from problem


def _loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not config.uvloop:
        return None
    try:
        import uvloop
    except ImportError:  # it has no wheel for every platform, and nothing depends on it
        logger.info("uvloop is not installed; using asyncio's own loop")
        return None
    return uvloop.new_event_loop


async def _serve(config: Config, announce: Announce, terms: Terms) -> Exit | Node:
    """The exit status; or the node, which has stopped, to begin anew."""
    logs.about({"node": config.id})
    signals = _Signals()
    if terms.until_stdin_ends:
        signals.stop_when_stdin_ends()
    try:
        process = _Process(config, terms.resolve)
        node = _node(config, process)
        if not await _start(node, signals):
            return Exit.OK
        logs.about({"node": config.id}, lambda: _terms(node))
        _calm_the_collector(node)
        signals.hear_hangups(node)
        logger.info("ready", extra={"node": config.id, "url": node.url, "release": __version__})
        try:
            announce(node)
        except OSError:  # a node serves, whether or not somebody reads what it says
            say.abandon_stdout()
        return await _until_stopped(node, process, signals)
    finally:
        logs.about({"node": config.id})
        signals.forget()


class _Process:
    """What the node may ask of this process."""

    def __init__(self, config: Config, resolve: Callable[[], Config] | None) -> None:
        self._config, self._resolve = config, resolve
        self.begins_anew = asyncio.Event()

    def resolve(self) -> Config:
        """What the sources say now; without any, what was said."""
        return self._config if self._resolve is None else self._resolve()

    def taken_up(self, config: Config) -> None:
        """The log is this process's, not the node's."""
        if self._resolve is not None:
            logs.setup(config.log_level, config.log_format)

    def begin_anew(self) -> None:
        """Stop the node soon, and run the command line again."""
        self.begins_anew.set()


def _node(config: Config, process: _Process) -> Node:
    listener = anew.listener_left(config.listen)
    try:
        return Node(config, process=process, listener=listener)
    except TlruError as problem:
        raise CannotStartError(f"cannot start: {problem}") from problem


def _terms(node: Node) -> dict[str, int]:
    """The term, where there is one of which it can be said."""
    logs_of = [service.log for service in node.services.values()]
    return {"term": logs_of[0].status().term} if len(logs_of) == 1 else {}


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


async def _until_stopped(node: Node, process: _Process, signals: _Signals) -> Exit | Node:
    closed = asyncio.ensure_future(node.wait_closed())
    anew_asked = asyncio.ensure_future(process.begins_anew.wait())
    waits = (closed, anew_asked, signals.first)
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    closed_by_itself = closed.done()
    closed.cancel()
    anew_asked.cancel()
    if closed_by_itself:
        say.word("the node closed without having been asked to")
        return Exit.DEFECT
    return await _stop(node, signals)


async def _stop(node: Node, signals: _Signals) -> Exit | Node:
    grace = node.config.grace
    why = signals.first.result().name if signals.first.done() else "restart"
    logger.info("stopping", extra={"signal": why, "grace_s": grace})
    try:
        async with asyncio.timeout(grace + STOP_MARGIN_S):
            await node.stop(grace=grace, leave_open=not signals.first.done())
    except TimeoutError:
        late = f"the node had not stopped {STOP_MARGIN_S:g} s after its grace"
        if not signals.first.done():
            say.word(f"{late}; beginning anew without waiting")
            anew.hold_signals()
            _begin_anew(node)  # from here: the loop might wait for what does not end, too
        say.word(f"{late}; ending it")
        _end(signal.SIGTERM)
    if not signals.first.done():  # it may have come while the node stopped to begin anew
        anew.hold_signals()
        return node
    logger.info("stopped")
    return Exit.OK


class _Signals:
    """The signals that stop a node: the first is told, the second ends the process. SIGHUP is for
    the node: one that comes earlier waits until it serves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.first: asyncio.Future[signal.Signals] = self._loop.create_future()
        self._hung_up = asyncio.Event()
        self._reloads: asyncio.Task[None] | None = None
        for each in _STOP_SIGNALS:
            self._loop.add_signal_handler(each, self._came, each)
        self._at_terminal = os.isatty(0)
        self._loop.add_signal_handler(signal.SIGHUP, self._hangup)
        anew.hear_signals()

    def hear_hangups(self, node: Node) -> None:
        """Have the node reload at each SIGHUP from now on; several at once are one."""
        self._reloads = self._loop.create_task(self._reload(node))

    async def _reload(self, node: Node) -> None:
        while await self._hung_up.wait():
            self._hung_up.clear()
            try:
                told = await node.reload()
                outcome = "refused" if told["mistakes"] else "ok"
                node.audit.note("SIGHUP", "", "reload", outcome, {"target": node.config.id})
            except Exception:  # the node goes on, and so do later hangups
                logger.exception("a reload failed in a way that nobody foresaw")

    def _hangup(self) -> None:
        """A person asks for a reload; or the terminal is gone that the node was started in."""
        if self._at_terminal and not os.isatty(0):
            self._came(signal.SIGHUP)
        else:
            self._hung_up.set()

    def stop_when_stdin_ends(self) -> None:
        """Have the end of stdin do what SIGTERM does: whoever holds its other end has gone."""
        threading.Thread(target=self._read_stdin, name="reads stdin", daemon=True).start()

    def _read_stdin(self) -> None:
        while os.read(0, 4_096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped already
            self._loop.call_soon_threadsafe(self._stdin_ended)

    def _stdin_ended(self) -> None:
        if not self.first.done():
            self.first.set_result(signal.SIGTERM)

    def forget(self) -> None:
        """Leave signals to Python again."""
        if self._reloads is not None:
            self._reloads.cancel()
        for each in (*_STOP_SIGNALS, signal.SIGHUP):
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
