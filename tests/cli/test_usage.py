"""Help, mistakes on the command line, and servers that are not there."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from tests.cli.commands import PATIENCE_S, TLRU, environment, tlru
from tlru._version import __version__
from tlru.cli import page as pages
from tlru.cli.app import COMMANDS, app, main
from tlru.cli.commands import Command
from tlru.cli.exits import Exit, exit_for
from tlru.errors import (
    BadRequest,
    Forbidden,
    Internal,
    NotEnoughReplicas,
    Overloaded,
    RateLimited,
    Timeout,
    TlruError,
    Unavailable,
    UnknownOutcome,
    from_wire,
)

ROOT = Path(__file__).parents[2]
NAMES = [name for group in COMMANDS.values() for name in group]


def command_of(name: str) -> click.Command:
    """The command of that name."""
    command = app.get_command(click.Context(app), name)
    assert command is not None
    return command


def leaves() -> list[tuple[str, click.Command]]:
    """Every command that does something, by what one types for it."""
    found = []
    for name in NAMES:
        command = command_of(name)
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
        else:
            found.append((name, command))
    return found


# Help


def test_the_help_names_every_command_with_its_sentence() -> None:
    ran = tlru("--help")
    assert (ran.status, ran.err) == (Exit.OK, "")
    assert tlru() == ran
    assert tlru("config") == tlru("config", "--help")
    for name in NAMES:
        sentence = (command_of(name).help or "").split("\n")[0]
        assert name in ran.out.split()
        assert sentence.endswith(".")
        assert _table_says(name) in ran.out


def _table_says(name: str) -> str:
    return next(group[name] for group in COMMANDS.values() if name in group)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("name", "command"), leaves(), ids=[name for name, _ in leaves()])
def test_the_help_of_a_command_teaches(name: str, command: click.Command, width: int) -> None:
    """It fits the terminal, has an example, and says of every option what it is."""
    ctx = click.Context(
        command, info_name=f"tlru {name}", terminal_width=min(width, 100), max_content_width=100
    )
    shown = command.get_help(ctx)
    assert max(map(len, shown.splitlines())) <= width
    assert "\u00a0" not in shown
    assert isinstance(command, Command)
    assert f"Examples:\n  {command.examples[0]}\n" in shown
    assert all("tlru " in example for example in command.examples)
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help
            assert param.help.strip()[-1] in ".]"


def test_the_page_is_what_the_commands_say() -> None:
    text = (ROOT / pages.PAGE).read_text("utf-8")
    assert pages.filled(text) == text, "run: python -m tlru.cli.page"


def test_the_version_is_told() -> None:
    ran = tlru("--version")
    assert (ran.status, ran.out) == (Exit.OK, f"tlru {__version__}\n")


def test_the_console_script_is_the_module() -> None:
    (script,) = entry_points(group="console_scripts", name="tlru")
    assert script.load() is main


@pytest.mark.parametrize("argv", [["--help"], ["get", "--help"], ["get", "--timeout", "nothing"]])
def test_what_needs_no_server_code_does_not_load_it(argv: list[str]) -> None:
    """The start of every command is what a shell script pays for each."""
    program = (
        "import sys\n"
        "from tlru.cli import main\n"
        f"main({argv!r})\n"
        "print(sorted(sys.modules.keys() & "
        "{'aiohttp', 'uvloop', 'rich', 'websockets', 'tomllib', 'tlru.node', 'prometheus_client'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_asking_a_server_loads_no_server() -> None:
    program = (
        "import sys\n"
        "from tlru.cli import main\n"
        "assert main(['get', '--server', '127.0.0.1:1', 'key']) == 5\n"
        "print(sorted(sys.modules.keys() & {'aiohttp', 'uvloop', 'rich', 'tomllib', 'tlru.node'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert ran.stdout == "[]\n"


# Mistakes on the command line


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["gett", "x"], "tlru: there is no command 'gett'; did you mean get?"),
        (["frobnicate"], "tlru: there is no command 'frobnicate'"),
        (["get"], "tlru get: missing argument 'KEY'."),
        (["get", "-key"], "tlru get: there is no option -k; if it is a key or a value, put -- "
         "before it\n"),
        (["set", "--tll", "1", "x"], "tlru set: there is no option --tll; did you mean --ttl?\n"),
        (["set", "x", "y", "--ttl", "soon"], "tlru set: invalid value for '--ttl': found 'soon', "
         "expected a duration from 1ms to 3650d, such as 500ms, 1h30m or a number of seconds"),
        (["set", "x", "y", "--ttl", "0"], "tlru set: invalid value for '--ttl': found '0'"),
        (["set", "x", "y", "--ttl", "1s", "--keep-ttl"],
         "tlru set: --ttl and --keep-ttl contradict each other; give one of them"),
        (["set", "x", "y", "--if", "maybe"], "tlru set: invalid value for '--if': found 'maybe', "
         "expected absent, present or a version (a number)"),
        (["set", "x", "y", "--type", "xml"], "tlru set: invalid value for '--type': 'xml' is not "
         "one of 'str', 'json', 'int', 'bytes', 'file'."),
        (["get", b"\xe9"], "tlru get: invalid value for 'KEY': '\\udce9' is not UTF-8 text"),
        (["scan", b"\xe9"], "tlru scan: invalid value for '[PREFIX]': '\\udce9' is not UTF-8 text"),
        (["touch", "x"], "tlru touch: give either --ttl or --forever"),
        (["touch", "x", "--ttl", "1s", "--forever"], "tlru touch: give either --ttl or --forever"),
        (["delete"], "tlru delete: missing argument 'KEY...'."),
        (["incr", "x", "--by", "1.5"], "tlru incr: invalid value for '--by': found '1.5', expected "
         "a whole number from"),
        (["scan", "--limit", "0"], "tlru scan: invalid value for '--limit': found '0', expected a "
         "whole number from 1"),
        (["get", "x", "--cache", "a b"], "tlru get: invalid value for '--cache': found 'a b', "
         "expected a name"),
        (["bench", "--reads", "101"], "tlru bench: invalid value for '--reads': found '101', "
         "expected a whole number from 0 to 100"),
        (["config", "chek"], "tlru config: there is no command 'chek'; did you mean check?\n"),
        (["--json", "get", "x"], "tlru: there is no option --json here; the options of a command "
         "stand after its name\n"),
        (["demo", "--port", "70000"], "tlru demo: invalid value for '--port': found '70000'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_a_line_with_where_to_look(argv: list[str | bytes], told: str) -> None:
    ran = tlru(*argv)
    assert (ran.status, ran.out) == (Exit.USAGE, "")
    assert ran.err.startswith(told)
    lines = ran.err.splitlines()
    assert len(lines) == 2
    path = told.split(":")[0]
    assert lines[1] == f"Try '{path} --help'."


# Servers that are not there


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "argv",
    ["get x", "set x y", "delete x", "incr x", "touch x --ttl 1", "scan", "status", "bench"],
)
def test_a_refused_connection_is_one_line_with_the_url(argv: str) -> None:
    server = f"ws://127.0.0.1:{free_port()}"
    ran = tlru(*argv.split(), "--server", server)
    assert (ran.status, ran.out) == (Exit.UNAVAILABLE, "")
    assert ran.err == f"tlru: cannot reach {server}: connection refused\n"


def test_every_server_that_is_away_is_named() -> None:
    servers = [f"ws://127.0.0.1:{free_port()}", f"ws://localhost:{free_port()}"]
    ran = tlru("get", "--json", "--server", servers[0], "--server", servers[1], "x")
    assert ran.status == Exit.UNAVAILABLE
    assert ran.error["message"] == "; ".join(
        f"cannot reach {server}: connection refused" for server in servers
    )
    assert (ran.error["code"], ran.error["retry"]) == ("unavailable", "other")


@pytest.mark.parametrize(
    "server", ["ftp://x", "ws://", "ws://h:x", "ws://u:p@h", "ws://h/#x", "ws://["]
)
def test_what_is_no_address_of_a_server_is_told(server: str) -> None:
    ran = tlru("get", "--server", server, "x")
    assert (ran.status, ran.out) == (Exit.REFUSED, "")
    assert ran.err.startswith("tlru: ")
    assert ran.err.count("\n") == 1


def test_a_host_that_nobody_knows_is_told() -> None:
    ran = tlru("get", "--server", "tlru.invalid:1", "x")
    assert ran.status == Exit.UNAVAILABLE
    assert ran.err.startswith("tlru: cannot reach ws://tlru.invalid:1: no such host (")


def test_a_server_that_is_something_else_is_told_before_long() -> None:
    with _SomethingElse() as port:
        ran = tlru("get", "--server", f"127.0.0.1:{port}", "--timeout", "500ms", "x")
    assert (ran.status, ran.out) == (Exit.UNAVAILABLE, "")
    assert f"ws://127.0.0.1:{port}" in ran.err
    assert ran.err.count("\n") == 1


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    """It is stopped while it waits for a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        get = subprocess.Popen(
            [*TLRU, "get", "--server", url, "--timeout", "1h", "x"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        with get:
            probe, _ = listener.accept()
            waiting, _ = listener.accept()
            with probe, waiting:
                waiting.recv(1)  # the upgrade: now it waits for the answer
                get.send_signal(signal.SIGINT)
                out, err = get.communicate(timeout=PATIENCE_S)
    assert (get.returncode, out, err) == (Exit.INTERRUPTED, b"", b"")


class _SomethingElse:
    """A server of HTTP that knows nothing but 404."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65_536):
                    connection.sendall(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )


# Streams that do not take what is written


def in_a_shell(words: str, **env: str) -> tuple[int, bytes, bytes]:
    """A line of shell with `tlru` in it: its status, stdout and stderr."""
    line = words.replace("tlru", " ".join(TLRU), 1)
    ran = subprocess.run(
        ["sh", "-c", line], capture_output=True, env=environment(**env), timeout=PATIENCE_S
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_a_disk_that_is_full_is_told_without_a_traceback() -> None:
    told = b"tlru: cannot go on: No space left on device\n"
    assert in_a_shell("tlru config show > /dev/full") == (Exit.SYSTEM, b"", told)
    assert in_a_shell("tlru --version > /dev/full") == (Exit.SYSTEM, b"", told)


def test_streams_that_are_closed_are_no_hindrance() -> None:
    assert in_a_shell("tlru config show >&-") == (Exit.OK, b"", b"")
    assert in_a_shell("tlru get >&- 2>&-") == (Exit.USAGE, b"", b"")


def test_letters_that_the_terminal_does_not_have_are_escaped() -> None:
    show = "tlru config show --json --label 'a=é🎉'"
    status, out, _ = in_a_shell(f"{show} | cut -c 1-10", PYTHONIOENCODING="latin-1")
    assert (status, out) == (Exit.OK, b'{"id":{"va\n')
    status, out, _ = in_a_shell("tlru config show --label 'a=é🎉'", PYTHONIOENCODING="latin-1")
    assert status == Exit.OK
    assert b"a=\xe9\\U0001f389" in out


# Exit statuses


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest("x"), Exit.REFUSED),
        (Forbidden("x"), Exit.REFUSED),
        (Unavailable("x"), Exit.UNAVAILABLE),
        (Overloaded("x"), Exit.UNAVAILABLE),
        (RateLimited("x"), Exit.UNAVAILABLE),
        (Timeout("x"), Exit.UNKNOWN),
        (Timeout("x", outcome_known=True), Exit.UNAVAILABLE),
        (UnknownOutcome("x"), Exit.UNKNOWN),
        (NotEnoughReplicas("x"), Exit.UNKNOWN),
        (Internal("x"), Exit.UNKNOWN),
        (from_wire({"code": "new_one", "retry": "no"}), Exit.REFUSED),
        (from_wire({"code": "new_one", "retry": "other"}), Exit.UNAVAILABLE),
        (from_wire({"code": "new_one", "retry": "unknown"}), Exit.UNKNOWN),
    ],
)
def test_an_error_ends_a_command_by_what_is_known_of_the_outcome(
    error: TlruError, status: Exit
) -> None:
    assert exit_for(error) is status


def test_the_statuses_are_what_scripts_rely_on() -> None:
    assert {one.name: int(one) for one in Exit} == {
        "OK": 0,
        "ABSENT": 1,
        "USAGE": 2,
        "NOT_APPLIED": 3,
        "REFUSED": 4,
        "UNAVAILABLE": 5,
        "UNKNOWN": 6,
        "CONFIG": 7,
        "CANNOT_START": 8,
        "DEFECT": 70,
        "SYSTEM": 74,
        "INTERRUPTED": 130,
        "CLOSED_PIPE": 141,
        "TERMINATED": 143,
    }


# Colour


def on_a_terminal(*argv: str, **env: str) -> bytes:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*TLRU, *argv], stdout=theirs, stderr=theirs, env=environment(TERM="xterm-256color", **env)
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux tells that nobody has the other end any more
                break
            if not part:
                break
            shown += part
        assert process.wait(PATIENCE_S) == Exit.OK
    os.close(ours)
    return shown


def test_colour_is_for_terminals_that_want_it() -> None:
    assert b"\x1b[" in on_a_terminal("config", "show")
    assert b"\x1b" not in on_a_terminal("config", "show", NO_COLOR="1")
    assert "\x1b" not in tlru("config", "show").out
