"""`tlru serve`: one line when it is ready, one line where it cannot start, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.cli.commands import PATIENCE_S, TLRU, RunningNode, environment, serving, start, tlru
from tlru.cli import serving as runner
from tlru.cli.exits import CannotStartError, Exit
from tlru.config import Config
from tlru.node import Node

READY = re.compile(
    r"tlru: node (\S+) is ready at ws://127\.0\.0\.1:(\d+)/ws and http://127\.0\.0\.1:\2\n"
)


def at_free_ports(**more: object) -> Config:
    """A configuration for a node inside this process."""
    flags = {"listen": "127.0.0.1:0", "mesh": "127.0.0.1:0", "grace": 0.0, **more}
    return Config.from_sources(env={}, flags=flags)


# Ready


def test_one_line_says_where_a_node_is_ready_and_it_stops_when_told() -> None:
    process = start("--id", "cache-1")
    assert process.stdout is not None
    line = process.stdout.readline()
    found = READY.fullmatch(line)
    assert found
    assert found[1] == "cache-1"
    assert tlru("get", "--server", f"127.0.0.1:{found[2]}", "x").status == Exit.ABSENT
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (Exit.OK, "")
    lines = err.splitlines()
    assert "tlru.cli.serving: stopping  signal=SIGTERM  grace_s=10.0" in lines[-2]
    assert "tlru.cli.serving: stopped" in lines[-1]
    assert "Traceback" not in err


def test_with_json_the_ready_line_is_an_object() -> None:
    with serving("--id", "n7") as node:
        port = node.url.removeprefix("ws://127.0.0.1:").removesuffix("/ws")
        assert node.ready == {
            "ready": True,
            "node": "n7",
            "url": f"ws://127.0.0.1:{port}/ws",
            "http": f"http://127.0.0.1:{port}",
            "pid": node.process.pid,
        }
        assert node.end(signal.SIGINT).status == Exit.OK


def test_a_node_is_told_by_a_file_the_environment_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('id = "file"\nzone = "file"\nlog_format = "json"\ncaches = ["a", "b"]\n')
    env = {"TLRU_CONFIG": str(file), "TLRU_ZONE": "environment", "TLRU_HOMEPAGE": "x"}
    with serving("--region", "flag", env=env) as node:
        facts = node.run("status", "--json", "--cache", "b").json
        told = {name: facts[name] for name in ("node", "zone", "region", "caches")}
        assert told == {
            "node": "file",
            "zone": "environment",
            "region": "flag",
            "caches": ["a", "b"],
        }
        lines = [json.loads(line) for line in node.end().err.splitlines()]
    assert lines[0]["level"] == "warning"
    assert lines[0]["message"].startswith("TLRU_HOMEPAGE is set, but there is no such option")


def test_a_node_serves_though_nobody_reads_what_it_says() -> None:
    """Its ready line goes into a pipe whose reader has gone already; its log tells where it is."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [*TLRU, "serve", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    os.close(writer)
    assert process.stderr is not None
    with process:
        found = re.search(
            r"tlru\.cli\.serving: ready  node=n1  url=(\S+)", process.stderr.readline()
        )
        assert found
        assert tlru("get", "--server", found[1], "x").status == Exit.ABSENT
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()
        assert process.wait(PATIENCE_S) == Exit.OK


# Stopping


@contextmanager
def waiting(node: RunningNode) -> Iterator[Callable[[], dict[str, Any]]]:
    """A client whose request the node cannot answer for a minute; gives what it hears next."""
    with connect(node.url) as socket:

        def hear() -> dict[str, Any]:
            message: dict[str, Any] = json.loads(socket.recv(PATIENCE_S))
            return message

        socket.send('{"id":1,"op":"lock","name":"busy","ttl":60}')
        assert hear()["held"] is True
        socket.send('{"id":2,"op":"lock","name":"busy","ttl":60,"wait":60}')
        socket.send('{"id":3,"op":"ping"}')
        assert hear()["id"] == 3  # so the wait for the lock has reached the node as well
        yield hear


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)]
)
def test_a_second_signal_ends_a_node_that_waits_for_its_clients(
    number: signal.Signals, status: Exit
) -> None:
    with serving("--grace", "1h") as node, waiting(node) as hear:
        node.process.send_signal(signal.SIGTERM)
        assert hear()["push"] == "goaway"
        ended = node.end(number)
    assert (ended.status, ended.out) == (status, "")
    assert "stopping" in ended.err
    assert "stopped" not in ended.err
    assert "Traceback" not in ended.err


def test_a_node_waits_no_longer_than_its_grace() -> None:
    with serving("--grace", "100ms") as node, waiting(node):
        ended = node.end()
    assert (ended.status, ended.out) == (Exit.OK, "")
    assert "tlru.cli.serving: stopped" in ended.err.splitlines()[-1]


def test_what_was_kept_is_there_after_an_orderly_stop_and_a_node_rises_after_a_kill(
    tmp_path: Path,
) -> None:
    folder = str(tmp_path / "data")
    with serving("--data-dir", folder) as node:
        assert node.run("set", "kept", "value").status == Exit.OK
        assert node.end().status == Exit.OK
    with serving("--data-dir", folder) as node:
        assert node.run("get", "kept").out == "value\n"
        assert node.end(signal.SIGKILL).status == -signal.SIGKILL
    with serving("--data-dir", folder) as node:
        assert node.run("set", "kept", "again").status == Exit.OK
        assert node.end().status == Exit.OK


def test_a_stop_that_does_not_end_is_ended() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from tlru.cli import serving\n"
        "from tlru.config import Config\n"
        "async def stop(self, **how):\n"
        "    await asyncio.Event().wait()\n"
        "serving.Node.stop = stop\n"
        "serving.STOP_MARGIN_S = 0.05\n"
        "config = Config(listen='127.0.0.1:0', mesh='127.0.0.1:0', grace=0)\n"
        "serving.run_node(config, lambda node: os.kill(os.getpid(), signal.SIGTERM))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ran.returncode == Exit.TERMINATED
    assert "tlru: the node had not stopped 0.05 s after its grace; ending it\n" in ran.stderr


def test_a_signal_stops_a_node_that_is_still_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = []

    class Slow(Node):
        async def start(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

    monkeypatch.setattr(runner, "Node", Slow)
    assert runner.run_node(at_free_ports(), _never_ready) is Exit.OK
    assert cancelled == [True]


def _never_ready(node: Node) -> None:
    raise AssertionError("it was announced")


def test_a_node_that_closes_by_itself_is_a_defect(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = []

    def announce(node: Node) -> None:
        tasks.append(asyncio.get_running_loop().create_task(node.stop()))

    assert runner.run_node(at_free_ports(), announce) is Exit.DEFECT
    assert capsys.readouterr().err == "tlru: the node closed without having been asked to\n"


@pytest.mark.parametrize(("wanted", "module"), [(True, "uvloop"), (False, "asyncio.unix_events")])
def test_the_loop_is_the_one_that_was_asked_for(wanted: bool, module: str) -> None:
    loops = []

    def announce(node: Node) -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)
        os.kill(os.getpid(), signal.SIGTERM)

    assert runner.run_node(at_free_ports(uvloop=wanted), announce) is Exit.OK
    assert loops == [module]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_without_uvloop_the_loop_is_asyncio_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert runner.run_node(at_free_ports(), _stop_at_once()) is Exit.OK


def _stop_at_once() -> Callable[[Node], None]:
    return lambda node: os.kill(os.getpid(), signal.SIGTERM)


# What keeps a node from starting


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = tlru("serve", "--listen", f"127.0.0.1:{port}")
        as_json = tlru("serve", "--json", "--listen", f"127.0.0.1:{port}")
        demo = tlru("demo", "--nodes", "1", "--port", str(port))
    told = (
        f"cannot listen on 127.0.0.1:{port}: another program does; stop it, or choose another port "
        "with --listen (port 0 is any free one)"
    )
    assert (ran.status, ran.out, ran.err) == (Exit.CANNOT_START, "", f"tlru: {told}\n")
    assert (as_json.status, as_json.out) == (Exit.CANNOT_START, "")
    assert as_json.error == {"code": "cannot_start", "message": told, "retry": "no"}
    assert (demo.status, demo.err) == (
        Exit.CANNOT_START,
        f"tlru: {told.replace('--listen', '--port')}\n",
    )


def test_an_address_of_another_machine_is_told_in_one_line() -> None:
    ran = tlru("serve", "--insecure", "--listen", "192.0.2.1:8400")
    assert (ran.status, ran.out) == (Exit.CANNOT_START, "")
    assert ran.err == (
        "tlru: cannot listen on 192.0.2.1:8400: this machine has no such address; choose another "
        "with --listen\n"
    )


def test_a_host_that_nobody_knows_is_told_in_one_line() -> None:
    ran = tlru("serve", "--insecure", "--listen", "tlru.invalid:8400")
    assert (ran.status, ran.out) == (Exit.CANNOT_START, "")
    assert ran.err == (
        "tlru: cannot listen on tlru.invalid:8400: no such host; choose another with --listen\n"
    )


def test_a_directory_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    ran = tlru("serve", "--listen", "127.0.0.1:0", "--data-dir", str(file))
    assert (ran.status, ran.out) == (Exit.CANNOT_START, "")
    assert ran.err.startswith("tlru: cannot start: ")
    assert str(file) in ran.err
    assert ran.err.endswith("; name a directory that can be written with --data-dir\n")
    assert ran.err.count("\n") == 1


def test_a_problem_that_nobody_foresaw_is_still_one_line() -> None:
    class Odd(Node):
        async def start(self) -> None:
            raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "Node", Odd)
        with pytest.raises(CannotStartError, match=r"^cannot start: No space left on device$"):
            runner.run_node(at_free_ports(), _never_ready)


def test_every_mistake_of_a_configuration_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("port = 9\nscan = 0\n")
    ran = tlru("serve", "--config", str(file), "--id", "a b", env={"TLRU_MAX_BYTE": "1"})
    assert (ran.status, ran.out) == (Exit.CONFIG, "")
    assert ran.err.splitlines() == [
        f"tlru: {file}, line 1: port: there is no such option; did you mean listen?",
        f"tlru: {file}, line 2: scan: found 0, expected a whole number from 1 to 100,000",
        "tlru: TLRU_MAX_BYTE: there is no such option; did you mean TLRU_MAX_BYTES?",
        "tlru: --id: found 'a b', expected a name of 1 to 64 letters, digits, '_', '.' or '-'",
    ]


def test_a_node_that_others_can_reach_must_be_told_so() -> None:
    ran = tlru("serve", "--listen", ":0")
    assert (ran.status, ran.out) == (Exit.CONFIG, "")
    assert ran.err.startswith("tlru: --listen: :0 can be reached from other machines, and ")
