"""A node that runs: what SIGHUP has it take up, and how it begins anew in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

import tlru as client
from tests.cli.commands import PATIENCE_S, TLRU, environment
from tests.ports import free_ports
from tlru.cli import anew
from tlru.cli.exits import Exit


class Serving:
    """`tlru serve` by a file, whose log is read as it comes."""

    def __init__(self, folder: Path, text: str, *command: str, **env: str) -> None:
        self.file = folder / "node.toml"
        self.write(text)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*(command or (*TLRU, "serve")), "--json", "--config", str(self.file)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(**env),
            )

    def write(self, text: str) -> None:
        """Have the file say this."""
        self.file.write_text(f'mesh = "127.0.0.1:0"\n{text}\n')

    def said(self) -> Any:  # Any: JSON of the node, or of the test's own
        """The next line on its stdout."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def reload(self, until: str) -> str:
        """SIGHUP; the new lines of its log, up to one that has these words."""
        known = len(self.log.read_text())
        self.process.send_signal(signal.SIGHUP)
        return self.until(until, known)

    def until(self, words: str, known: int = 0) -> str:
        """Wait for these words in what its log says from here on."""

        def new() -> str:
            return self.log.read_text()[known:]

        until(lambda: words in new() and new().endswith("\n"), self.log.read_text)
        return new()

    def status(self, port: int) -> Any:  # Any: JSON of the node
        """What it says of itself at a port."""
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/status")
            return json.loads(connection.getresponse().read())


@contextmanager
def by_file(folder: Path, text: str, *command: str, **env: str) -> Iterator[Serving]:
    """A node that is told by a file, and gone afterwards."""
    serving = Serving(folder, text, *command, **env)
    try:
        yield serving
    finally:
        if serving.process.poll() is None:
            serving.process.kill()
        serving.process.communicate(timeout=PATIENCE_S)


def test_a_hangup_has_a_node_take_up_what_its_file_says_now(tmp_path: Path) -> None:
    old, new = free_ports(2)
    first = f'listen = "127.0.0.1:{old}"\nid = "n1"\n'
    with by_file(tmp_path, first) as node:
        node.said()
        with connect(f"ws://127.0.0.1:{old}/ws") as there:
            there.send('{"id":1,"op":"set","key":"k","value":1}')
            assert json.loads(there.recv(PATIENCE_S))["ok"]
            node.write(
                f'listen = "127.0.0.1:{new}"\nid = "n2"\nzone = "b"\nlog_format = "json"\n'
                'max_entries = 5\npriority = 7\ngrace = "0s"'
            )
            found = map(json.loads, node.reload("restart is needed").splitlines())
            lines = [line for line in found if line["logger"] != "tlru.audit"]
            changed = "zone, priority, listen, max_entries, grace, log_format"
            assert lines[-2]["changed"] == changed
            assert lines[-1]["message"].startswith("a restart is needed to change id: ")
            there.send('{"id":2,"op":"get","key":"k"}')
            assert json.loads(there.recv(PATIENCE_S))["value"] == 1, "who was there stays"
        said = node.status(new)
        told = {name: said[name] for name in ("node", "zone", "priority", "max_entries", "keys")}
        assert told == {"node": "n1", "zone": "b", "priority": 7, "max_entries": 5, "keys": 1}
        assert said["addresses"] == [f"ws://127.0.0.1:{new}/ws"]
        with pytest.raises(ConnectionRefusedError):
            node.status(old)


def test_with_a_mistake_in_its_file_a_node_stays_as_it_is(tmp_path: Path) -> None:
    (port, taken_port) = free_ports(2)
    text = f'listen = "127.0.0.1:{port}"\n'
    with by_file(tmp_path, text) as node, contextlib.ExitStack() as stack:
        node.said()
        node.write(f'{text}zone = "b"\npriority = -1\nprot = 1')
        new = node.reload("prot: ")
        assert f"not reloaded, nothing has changed: {node.file}, line 4: priority: found -1" in new
        stack.enter_context(socket.create_server(("127.0.0.1", taken_port)))
        node.write(f'listen = "127.0.0.1:{taken_port}"\nzone = "b"')
        new = node.reload("cannot listen")
        assert f"listen: cannot listen on 127.0.0.1:{taken_port}: Address already in use" in new
        node.file.unlink()
        assert "cannot be read: No such file" in node.reload("cannot be read")
        said = node.status(port)
        assert (said["zone"], said["priority"], said["status"]) == ("", 100, "active")
        node.write(f'{text}zone = "b"')
        node.reload("changed=zone")
        assert node.status(port)["zone"] == "b"


def test_a_node_listens_more_widely_on_the_port_that_it_has(tmp_path: Path) -> None:
    """Both sockets are of one port; the new one is open before the old one is closed."""
    (port,) = free_ports(1)
    with by_file(tmp_path, f'listen = "127.0.0.1:{port}"') as node:
        node.said()
        node.write(f'listen = ":{port}"\ninsecure = true')
        node.reload("changed=")
        assert node.status(port)["status"] == "active"
        node.write(f'listen = "127.0.0.1:{port}"\ninsecure = true')
        node.reload("changed=listen")
        assert node.status(port)["status"] == "active"


def files_of(process: int) -> set[str]:
    """What a process has open, without what differs by its number only."""
    folder = Path(f"/proc/{process}/fd")
    return {re.sub(r"\d+", "", os.readlink(each)) for each in folder.iterdir()}


def count_of(process: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_a_node_begins_anew_in_its_process_and_nobody_is_refused(tmp_path: Path) -> None:
    """What needs a new process is taken up; whoever comes meanwhile waits in the queue of the
    socket, whose port is one that the system chose."""
    command = (sys.executable, "-m", "tests.cli.beginning_anew", "serve")
    text = f'listen = "127.0.0.1:0"\ndata_dir = "{tmp_path / "data"}"\n'
    with by_file(tmp_path, text, *command) as node:
        ready = node.said()
        pid, port = node.process.pid, int(ready["http"].rpartition(":")[2])
        node.status(port)
        before = count_of(pid)
        with counting(port) as counted, knocking(port):
            for id in ("n2", "n3"):
                node.write(f'{text}id = "{id}"')
                node.process.send_signal(signal.SIGUSR1)
                first, second = node.said()
                assert first["restarting"]
                assert second == {
                    "restarting": True,
                    "changed": [],
                    "needs_restart": [],
                    "mistakes": [],
                }
                assert first["needs_restart"] == ["id"]
                assert node.said() == {**ready, "node": id}
                counted.more(20)
        assert (node.process.pid, node.status(port)["node"]) == (pid, "n3")
        until(lambda: count_of(pid) <= before, lambda: files_of(pid))
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(PATIENCE_S) == Exit.OK


@contextmanager
def knocking(port: int) -> Iterator[None]:
    """Somebody who comes again and again, and is never refused."""
    knocked: list[OSError | None] = []
    going = threading.Event()

    def knock() -> None:
        while not going.wait(0.002):
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
                knocked.append(None)
            except OSError as exc:
                knocked.append(exc)

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield
    finally:
        going.set()
        thread.join(PATIENCE_S)
    assert len(knocked) > 50
    assert set(knocked) == {None}


def until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    """Look again and again; `what` is told where it never holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what()
        time.sleep(0.01)


class Counted:
    """A client that counts in a thread of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.done = 0
        self.errors: list[Exception] = []
        self._going = True
        self._thread = threading.Thread(target=lambda: asyncio.run(self._count()))
        self._thread.start()

    async def _count(self) -> None:
        async with client.connect(f"ws://127.0.0.1:{self._port}", timeout=20) as cache:
            while self._going:
                try:
                    assert await cache.incr("count") == self.done + 1
                    self.done += 1
                except Exception as exc:
                    self.errors.append(exc)
                    return

    def more(self, count: int) -> None:
        """Wait until it has counted so much further."""
        wanted = self.done + count
        until(lambda: self.done >= wanted or bool(self.errors), lambda: self.done)

    def end(self) -> None:
        """Count no more."""
        self._going = False
        self._thread.join(PATIENCE_S)
        assert self.errors == []


@contextmanager
def counting(port: int) -> Iterator[Counted]:
    """A client that counts on while something happens."""
    counted = Counted(port)
    try:
        counted.more(20)
        yield counted
    finally:
        counted.end()


def test_a_node_does_not_begin_anew_where_it_could_not_start(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.cli.beginning_anew", "serve")
    (tmp_path / "file").write_text("no directory")
    (port,) = free_ports(1)
    text = f'listen = "127.0.0.1:{port}"\n'
    with by_file(tmp_path, text, *command) as node:
        node.said()
        for more, mistake in (
            ("priority = -1", "priority: found -1"),
            (f'data_dir = "{tmp_path / "file" / "data"}"', "data_dir: "),
        ):
            node.write(text + more)
            node.process.send_signal(signal.SIGUSR1)
            for answer in node.said():
                assert not answer["restarting"]
                assert mistake in answer["mistakes"][0]
        assert node.status(port)["status"] == "active"


def test_a_signal_that_comes_while_it_begins_anew_still_stops_it(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.cli.beginning_anew", "serve")
    with by_file(tmp_path, 'listen = "127.0.0.1:0"\n', *command) as node:
        node.said()
        node.process.send_signal(signal.SIGUSR1)
        node.until("beginning anew")
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(PATIENCE_S) == Exit.OK
        assert "Traceback" not in node.log.read_text()


def test_a_node_that_does_not_stop_begins_anew_all_the_same(tmp_path: Path) -> None:
    """Nobody would start it again; what it has open, and holds locked, the system closes."""
    command = (sys.executable, "-m", "tests.cli.beginning_anew", "serve")
    text = f'listen = "127.0.0.1:0"\ngrace = 0\ndata_dir = "{tmp_path / "data"}"'
    with by_file(tmp_path, text, *command, NEVER_STOPS="yes") as node:
        ready = node.said()
        node.process.send_signal(signal.SIGUSR1)
        node.said()
        assert node.said() == ready
        assert "had not stopped 0.1 s after its grace; beginning anew" in node.log.read_text()


def test_a_node_stops_when_stdin_ends_if_it_is_told_so() -> None:
    flags = ("--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0", "--until-stdin-ends")
    with subprocess.Popen(
        [*TLRU, "serve", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("what it says is of no matter\n")
        process.stdin.flush()
        assert "is ready" in process.stdout.readline()
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (Exit.OK, "")
    assert "stopping  signal=SIGTERM" in err


def test_a_node_ends_with_the_terminal_that_it_was_started_in() -> None:
    """There, a hangup is no wish for a reload."""
    flags = ("serve", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0")
    pid, terminal = pty.fork()
    if not pid:
        os.execve(sys.executable, [sys.executable, "-m", "tlru", *flags], environment())
    try:
        said = b""
        while b"is ready" not in said:
            readable, _, _ = select.select([terminal], [], [], PATIENCE_S)
            assert readable, said
            said += os.read(terminal, 4_096)
        os.close(terminal)
        ended: list[int] = []
        until(lambda: _has_ended(pid, ended), lambda: "it goes on")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    assert ended == [Exit.OK]


def _has_ended(pid: int, statuses: list[int]) -> bool:
    found, status = os.waitpid(pid, os.WNOHANG)
    if found:
        statuses.append(os.waitstatus_to_exitcode(status))
    return bool(statuses)


def test_a_listener_is_taken_up_only_where_it_is_ours_and_listens_there() -> None:
    here = os.getpid()
    with socket.create_server(("127.0.0.1", 0)) as left:

        def found(told: str) -> socket.socket | None:
            os.environ[anew.VARIABLE] = told
            taken = anew.listener_left("127.0.0.1:0")
            assert anew.VARIABLE not in os.environ
            return taken

        assert found("") is found("1 2") is found(f"{here} x 127.0.0.1:0") is None
        assert found(f"{here + 1} {left.fileno()} 127.0.0.1:0") is None, "another process's"
        assert found(f"{here} {left.dup().detach()} 127.0.0.1:1") is None, "another address"
        assert found(f"{here} {os.open(os.devnull, os.O_RDONLY)} 127.0.0.1:0") is None
        assert found(f"{here} {socket.socket().detach()} 127.0.0.1:0") is None, "it listens nowhere"
        taken = found(f"{here} {left.dup().detach()} 127.0.0.1:0")
        assert taken is not None
        assert taken.getsockname() == left.getsockname()
        assert not taken.get_inheritable()
        taken.close()
