"""Commands and nodes as real processes, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Longer than any command of a test needs on a busy machine; nothing waits for it to pass.
PATIENCE_S = 60.0

TLRU = (sys.executable, "-W", "error", "-m", "tlru")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would speak to tlru or change its looks."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TLRU_") and name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    usual = {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8", "TLRU_TIMEOUT": f"{PATIENCE_S}s"}
    return {**kept, **usual, **more}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: what a command printed
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:  # Any: what a command printed
        """The one JSON error on stderr."""
        return json.loads(self.err)["error"]


def tlru(
    *argv: str | bytes,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Ran:
    """Run one command line to its end."""
    ran = subprocess.run(
        [*TLRU, *argv],
        input=stdin,
        capture_output=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout.decode("utf-8", "surrogateescape"), ran.stderr.decode())


@dataclass(slots=True)
class RunningNode:
    """A node in a process of its own."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]  # Any: the JSON that it said when it was ready

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return str(self.ready["url"])

    @property
    def http(self) -> str:
        """Where HTTP clients reach it."""
        return str(self.ready["http"])

    def run(self, *argv: str | bytes, stdin: bytes = b"", **env: str) -> Ran:
        """A command that talks to this node."""
        return tlru(*argv, stdin=stdin, env={"TLRU_SERVER": self.url, **env})

    def end(self, number: signal.Signals = signal.SIGTERM) -> Ran:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Ran(self.process.returncode, out, err)


def start(
    *flags: str, env: dict[str, str] | None = None, module: str = "tlru"
) -> subprocess.Popen[str]:
    """`tlru serve` on a free port."""
    return subprocess.Popen(
        [*TLRU[:-1], module, "serve", "--listen", "127.0.0.1:0", "--mesh", "127.0.0.1:0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
    )


@contextmanager
def serving(
    *flags: str, env: dict[str, str] | None = None, module: str = "tlru"
) -> Iterator[RunningNode]:
    """A node that is ready, and gone afterwards."""
    process = start("--json", *flags, env=env, module=module)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the node did not start: {process.communicate()[1]}")
        yield RunningNode(process, json.loads(line))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)
