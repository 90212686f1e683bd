"""`tlru node snapshot`, and `tlru node restore` of a file, as somebody at a terminal uses them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority
from tests.cli.commands import PATIENCE_S, TLRU, RunningNode, environment, serving
from tests.cli.terminals import terminal
from tests.node.access.holders import token_file
from tlru.cli import main
from tlru.cli.exits import Exit

PIPE_BYTES_MAX = 100_000  # more than a pipe takes that nobody reads from
FILE_BYTES_MAX = 32 << 10  # for a process whose disk is to be full soon


class Shell:
    """Runs command lines in this process."""

    def __init__(self, page: pytest.CaptureFixture[bytes]) -> None:
        self._page = page
        self.out = b""

    def run(self, *argv: str) -> tuple[int, str]:
        """One command line to its end: status and words; what it printed stays as `out`."""
        self._page.readouterr()
        status = main(argv)
        self.out, said = self._page.readouterr()
        return status, said.decode()

    def json(self, *argv: str) -> Any:
        """What a command says to programs."""
        status, said = self.run(*argv, "--json")
        assert status == Exit.OK, said
        return json.loads(self.out)


@pytest.fixture
def shell(capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    """Command lines in this process."""
    return Shell(capfdbinary)


def test_a_backup_is_taken_checked_and_begun_from(
    node: RunningNode, shell: Shell, tmp_path: Path
) -> None:
    """Into a file or through a pipe; never over a file, unless that is said."""
    at = ("--server", node.url)
    for argv in (("a", "words"), ("b", "others", "--ttl", "1h")):
        assert shell.run("set", *argv, *at)[0] == Exit.OK
    path, other = tmp_path / "one.tlru", tmp_path / "two.tlru"
    said = shell.json("node", "snapshot", str(path), *at)
    assert (said["keys"], said["cache"], said["file"]) == (2, "default", str(path))
    assert os.listdir(tmp_path) == ["one.tlru"]
    found = shell.json("node", "snapshot", "--check", str(path))
    told = ("pos", "keys", "epoch", "wall")
    assert {name: found[name] for name in told} == {name: said[name] for name in told}
    assert found["over"] == 0
    assert shell.run("node", "snapshot", "--check", str(path)) == (Exit.OK, "")
    assert shell.out.startswith(b"%b is whole: the cache default with 2 items" % bytes(path))

    whole = path.read_bytes()
    status, words = shell.run("node", "snapshot", str(path), *at)
    assert (status, "say --force" in words, path.read_bytes()) == (Exit.REFUSED, True, whole)
    assert shell.run("node", "snapshot", str(path), "--force", *at)[0] == Exit.OK

    assert shell.run("node", "snapshot", "-", *at)[0] == Exit.OK
    piped = shell.out
    other.write_bytes(piped)
    assert shell.json("node", "snapshot", "--check", str(other))["keys"] == 2
    other.write_bytes(piped[:-1])
    status, words = shell.run("node", "snapshot", "--check", str(other))
    assert (status, "cut short" in words) == (Exit.REFUSED, True), words

    anew = ("node", "restore", str(path), "--as-new-epoch")
    with serving() as blank:
        to = ("--server", blank.url)
        status, words = shell.run(*anew, *to)
        assert (status, "say --yes" in words) == (Exit.USAGE, True)
        status, words = shell.run(*anew, "--yes", *to)
        assert (status, "with 2 items" in words) == (Exit.OK, True), words
        assert shell.run("get", "a", *to)[0] == Exit.OK
        assert shell.out == b"words\n"
        status, words = shell.run("node", "restore", str(path), *to)
        assert (status, "--as-new-epoch" in words) == (Exit.USAGE, True)
        assert shell.run(*anew, "--yes", *to, *at)[0] == Exit.USAGE
        status, words = shell.run("node", "restore", str(other), "--as-new-epoch", "--yes", *to)
        assert (status, "another copy" in words) == (Exit.REFUSED, True)


def test_what_is_no_backup_is_refused_by_name_and_reason(shell: Shell, tmp_path: Path) -> None:
    """Before any node is asked."""
    foreign, nothing, lacking = tmp_path / "foreign", tmp_path / "empty", tmp_path / "none"
    foreign.write_bytes(bytes(range(256)) * 20)
    nothing.touch()
    for path, ends, why in (
        (foreign, Exit.REFUSED, f"{foreign} cannot be used: it does not begin as a backup of tlru"),
        (nothing, Exit.REFUSED, f"{nothing} cannot be used: it ends early"),
        (lacking, Exit.SYSTEM, f"{lacking} cannot be read: No such file"),
        (tmp_path, Exit.SYSTEM, f"{tmp_path} cannot be read: Is a directory"),
    ):
        for argv in (
            ("node", "snapshot", "--check", str(path)),
            ("node", "restore", str(path), "--as-new-epoch", "--yes", "--server", "127.0.0.1:1"),
        ):
            status, words = shell.run(*argv)
            assert (status, why in words) == (ends, True), words


def test_a_bar_is_shown_on_a_terminal(node: RunningNode, tmp_path: Path) -> None:
    path = tmp_path / "one.tlru"
    with terminal(80, 10) as screen:
        screen.start("node", "snapshot", str(path), TLRU_SERVER=node.url)
        assert screen.ended() == Exit.OK
        assert b"taking" in screen.raw
    assert path.exists()


def test_a_full_disk_says_so_and_leaves_nothing(node: RunningNode, tmp_path: Path) -> None:
    assert node.run("set", "large", "x" * (2 * FILE_BYTES_MAX)).status == Exit.OK
    path = tmp_path / "one.tlru"

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # it is told as an error then
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))

    ran = subprocess.run(
        [*TLRU, "node", "snapshot", str(path)],
        capture_output=True,
        text=True,
        env=environment(TLRU_SERVER=node.url, PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=small,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == Exit.SYSTEM, ran.stderr
    assert f"{path} cannot be written: File too large" in ran.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_it_leaves_no_file(
    node: RunningNode, tmp_path: Path, number: signal.Signals
) -> None:
    """Where it writes to is a pipe that nobody reads from: so it is in the middle, for certain."""
    assert node.run("set", "large", "x" * PIPE_BYTES_MAX).status == Exit.OK
    path, part = tmp_path / "one.tlru", tmp_path / "one.tlru.part"
    os.mkfifo(part)
    held: list[int] = []
    begun = threading.Thread(target=lambda: held.append(os.open(part, os.O_RDONLY)))
    begun.start()
    process = subprocess.Popen(
        [*TLRU, "node", "snapshot", str(path)],
        stderr=subprocess.DEVNULL,
        env=environment(TLRU_SERVER=node.url),
    )
    try:
        begun.join(PATIENCE_S)
        process.send_signal(number)
        if number is signal.SIGINT:
            os.close(held.pop())
        assert process.wait(PATIENCE_S) != Exit.OK
    finally:
        process.kill()
        process.wait()
        for each in held:
            os.close(each)
    assert not path.exists()
    assert part.exists() == (number is signal.SIGKILL)


def test_a_backup_goes_over_tls_to_an_admin_alone(shell: Shell, tmp_path: Path) -> None:
    """With a token that says `admin`, and by who trusts the authority of the node."""
    who = Authority(tmp_path)
    cert = who.node("a")
    file, tokens = token_file(tmp_path, ops={"admin": True, "write": ("",)}, all={"read": ("",)})
    for id, token in tokens.items():
        (tmp_path / f"{id}.token").write_text(token)
    told = {
        "TLRU_ID": "a",
        "TLRU_TLS_CERT": str(cert),
        "TLRU_TLS_KEY": str(cert.with_suffix(".key")),
        "TLRU_TOKENS_FILE": str(file),
    }
    path = tmp_path / "one.tlru"
    with serving(env=told) as node:
        assert node.url.startswith("wss://")
        at = ("--server", node.url)
        trusting = (*at, "--ca", str(who.ca))
        admin = ("--bearer-file", str(tmp_path / "ops.token"))
        take = ("node", "snapshot", str(path))
        assert shell.run(*take, *at, *admin, "--timeout", "2s")[0] == Exit.UNAVAILABLE
        status, words = shell.run(*take, *trusting)
        assert (status != Exit.OK, "token" in words) == (True, True), words
        status, words = shell.run(*take, *trusting, "--bearer-file", str(tmp_path / "all.token"))
        assert (status != Exit.OK, "admin" in words) == (True, True), words
        assert not path.exists()
        assert shell.run("set", "k", "1", *trusting, *admin)[0] == Exit.OK
        assert shell.run(*take, *trusting, *admin)[0] == Exit.OK
        anew = ("node", "restore", str(path), "--as-new-epoch", "--yes", *trusting)
        status, words = shell.run(*anew, "--bearer-file", str(tmp_path / "all.token"))
        assert (status != Exit.OK, "admin" in words) == (True, True), words
        status, words = shell.run(*anew, *admin)
        assert (status, "with 1 items" in words) == (Exit.OK, True), words
