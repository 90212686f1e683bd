"""`tlru demo`: a cluster in one command, of which nothing is left however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.cli.commands import PATIENCE_S, TLRU, environment, tlru
from tests.ports import free_ports
from tlru.cli.demo_nodes import DemoNode
from tlru.cli.exits import CannotStartError, Exit


@contextmanager
def demo(*flags: str) -> Iterator[subprocess.Popen[str]]:
    """A demo on free ports; its nodes end with it, which is what one test is about."""
    process = subprocess.Popen(
        [*TLRU, "demo", "--port", "0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)


def first_line(process: subprocess.Popen[str]) -> Any:  # Any: JSON of the demo
    """What a demo says with --json once it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=PATIENCE_S)
    return json.loads(line)


def until(holds: Callable[[], object]) -> None:
    """Look again and again."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def try_what_it_says(lines: list[str]) -> None:
    """Every command of the page."""
    server = re.search(r"export TLRU_SERVER=(\S+)", "\n".join(lines))
    assert server
    ours = [shlex.split(line) for line in lines if "-m tlru " in line and " serve " not in line]
    names = ["set", "get", "scan", "status", "bench"]
    assert [words[words.index("tlru") + 1] for words in ours] == names
    for words in ours:
        argv = ["0.2" if word == "5" else word for word in words]
        ran = subprocess.run(
            argv,
            env=environment(TLRU_SERVER=server[1]),
            capture_output=True,
            timeout=PATIENCE_S,
            cwd="/",
        )
        assert ran.returncode == Exit.OK, ran.stderr
    for curl in (shlex.split(line) for line in lines if line.startswith("  curl ")):
        method = "POST" if "POST" in curl else "GET"
        with urlopen(Request(curl[-1], method=method), timeout=PATIENCE_S) as answer:
            assert answer.status == 200


def test_a_demo_says_what_to_try_and_what_it_says_works() -> None:
    with demo("--nodes", "1") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n")]
        while "curl -X POST" not in lines[-1]:
            lines.append(process.stdout.readline().rstrip("\n"))
            assert process.poll() is None
        try_what_it_says(lines)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (Exit.OK, "", "")


def test_one_node_speaks_json_too() -> None:
    with demo("--nodes", "1", "--json") as process:
        ready = first_line(process)
        assert ready["ready"] is True
        assert tlru("get", "--server", ready["http"], "x").status == Exit.ABSENT
        process.terminate()
        assert process.wait(PATIENCE_S) == Exit.OK


def origins_let_in(ready: Any, origin: str) -> list[str | None]:
    """What each node says of who may read its answers, asked from a page of an origin."""
    said = []
    for node in ready.get("nodes", [ready]):
        request = Request(node["http"] + "/tlru.js", headers={"Origin": origin})
        with urlopen(request, timeout=PATIENCE_S) as answer:
            said.append(answer.headers["Access-Control-Allow-Origin"])
    return said


@pytest.mark.parametrize("count", [1, 3])
def test_pages_of_the_origins_that_are_named_may_talk_to_every_node(count: int) -> None:
    pages = ["http://127.0.0.1:8000", "http://localhost:8000"]
    flags = ("--nodes", str(count), "--cors-origins", ",".join(pages), "--json")
    with demo(*flags) as process:
        ready = first_line(process)
        for page in pages:
            assert origins_let_in(ready, page) == [page] * count
        assert origins_let_in(ready, "http://127.0.0.1:8001") == [None] * count
        for node in ready.get("nodes", ()):
            assert f"--cors-origins {','.join(pages)}" in node["start"]
        process.terminate()
        assert process.wait(PATIENCE_S) == Exit.OK


def test_an_origin_that_is_none_is_told_before_anything_starts() -> None:
    ran = tlru("demo", "--cors-origins", "127.0.0.1:8000")
    assert ran.status == Exit.USAGE
    assert "http://" in ran.err


def test_a_node_of_a_demo_that_is_killed_comes_back_by_the_line_that_is_told() -> None:
    """The page, the line on stderr, the line in another terminal, and Ctrl-C with one node that is
    not the demo's any more."""
    with demo() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline().rstrip("\n")]
        while not re.search(r"serve --id n3 ", lines[-1]):
            lines.append(process.stdout.readline().rstrip("\n"))
            assert process.poll() is None
        page = "\n".join(lines)
        assert page.startswith("3 tlru nodes share one cache: n1 leads. They were ready in ")
        victim = re.search(r"  kill -9 (\d+)\n", page)
        assert victim
        servers = re.search(r"export TLRU_SERVER=(\S+)", page)
        assert servers
        told = environment(TLRU_SERVER=servers[1])
        assert tlru("set", "kept", "by the others", env=told).status == Exit.OK
        os.kill(int(victim[1]), signal.SIGKILL)
        said = process.stderr.readline()
        assert said.startswith("tlru: node n1 has ended by SIGKILL; start it again with: ")
        (line,) = [one.strip() for one in lines if "serve --id n1 " in one]
        assert said.endswith(f": {line}\n")
        with subprocess.Popen(
            shlex.split(line),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
            cwd="/",
        ) as again:
            try:
                assert again.stdout is not None
                assert "node n1 is ready" in again.stdout.readline()
                until(lambda: tlru("get", "kept", env=told).out == "by the others\n")
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE_S)
                assert (process.returncode, out) == (Exit.OK, "")
                assert err == "tlru: node n1 was started again elsewhere: it goes on there\n"
                assert again.poll() is None
            finally:
                again.terminate()
        pids = [int(pid) for pid in re.findall(r"process (\d+)", page)]
        assert [pid for pid in pids if runs(pid)] == []


def test_nothing_is_left_of_a_demo_that_is_killed() -> None:
    with demo("--nodes", "2", "--json") as process:
        ready = first_line(process)
        assert [node["id"] for node in ready["nodes"]] == ["n1", "n2"]
        assert (ready["url"], ready["leader"]) == (ready["nodes"][0]["url"], "n1")
        pids = [node["pid"] for node in ready["nodes"]]
        assert all(map(runs, pids))
        process.kill()
        process.wait(PATIENCE_S)
        until(lambda: not any(map(runs, pids)))


def test_a_demo_without_a_node_of_its_own_ends() -> None:
    with demo("--nodes", "2", "--json") as process:
        for node in first_line(process)["nodes"]:
            os.kill(node["pid"], signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (Exit.UNAVAILABLE, "")
    assert err.splitlines()[-1] == "tlru: none of the nodes that this demo started runs any more"


def test_a_port_that_is_taken_is_told_before_anything_is_started() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        ran = tlru("demo", "--port", str(port))
    assert (ran.status, ran.out) == (Exit.CANNOT_START, "")
    assert ran.err == (
        f"tlru: cannot listen on 127.0.0.1:{port}: another program does; stop it, or choose other "
        "ports with --port (6 in a row are needed; --port 0 takes any that are free)\n"
    )
    ran = tlru("demo", "--port", "65531")
    assert (ran.status, ran.err.count("\n")) == (Exit.CANNOT_START, 1)


def test_a_node_that_cannot_start_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    node = DemoNode("n1", 1, 2, ["--priority", "many"])
    with pytest.raises(CannotStartError, match=r"^node n1 has ended with status 7 before"):
        asyncio.run(node.start())
    assert "--priority: found 'many'" in capfd.readouterr().err


def test_the_line_of_a_node_calls_the_script_that_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name where the shell finds it, else by its path."""
    script = tmp_path / "tlru"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(script), "demo"])
    node = DemoNode("n1", 1, 2, ["--id", "n1"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert node.line() == f"{script} serve --id n1"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin")
    assert node.line() == "tlru serve --id n1"
