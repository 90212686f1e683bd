"""A terminal for tests: a command runs on it, keys are pressed, and what stands there is read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.cli.commands import PATIENCE_S, TLRU, environment

HOME = b"\x1b[H"
# What a program tells a terminal: a control sequence, or one control character.
_TOLD = re.compile(rb"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>]|[\r\n]")


class Terminal:
    """What a terminal of that size shows. It knows the few sequences that rich writes."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.ours, self.theirs = pty.openpty()
        self.resize(columns, lines)
        self.raw = b""
        self.process: subprocess.Popen[bytes] | None = None

    def resize(self, columns: int, lines: int) -> None:
        """It has another size from now on; who runs on it is told."""
        self.columns, self.lines = columns, lines
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)

    def modes(self) -> object:
        """How it treats what is typed."""
        return termios.tcgetattr(self.theirs)

    def start(self, *argv: str, **env: str) -> None:
        """Run a command on it."""
        told = environment(TERM="xterm-256color", **env)
        del told["COLUMNS"]
        told.pop("LINES", None)  # whoever runs the tests may say it; the terminal's own size counts
        self.process = subprocess.Popen(
            [*TLRU, *argv],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env=told,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(self.theirs, termios.TIOCSCTTY, 0),
        )

    def press(self, keys: str) -> None:
        """Somebody types."""
        os.write(self.ours, keys.encode())

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def until(self, holds: Callable[[list[str]], object]) -> list[str]:
        """What stands there, once it is so."""
        ends = time.monotonic() + PATIENCE_S
        while not holds(shown := self.shown()):
            left = ends - time.monotonic()
            assert left > 0, "\n".join(shown)
            self._read(min(left, 0.5))
        return shown

    def ended(self) -> int:
        """The status of the command, once it has ended."""
        assert self.process is not None
        ends = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < ends, self.shown()
            self._read(0.05)
        self._read(0)
        return self.process.returncode

    def shown(self) -> list[str]:
        """The lines as they stand there now."""
        page = [[" "] * self.columns for _ in range(self.lines)]
        row = column = 0
        # Every view begins at home and is whole: what is older than the last but one is gone.
        at = max(0, self.raw.rfind(HOME, 0, max(0, self.raw.rfind(HOME))))
        for told in (*_TOLD.finditer(self.raw, at), None):
            end = len(self.raw) if told is None else told.start()
            for one in self.raw[at:end].decode("utf-8", "replace"):
                if row < self.lines and column < self.columns:
                    page[row][column] = one
                column += 1
            if told is None:
                break
            at = told.end()
            numbers, what = told.group(1) or b"", (told.group(2) or told.group(0)).decode()
            match what:
                case "\r":
                    column = 0
                case "\n":
                    row += 1
                case "H":
                    row = column = 0
                    assert numbers in (b"", b"1;1")
                case "h" if numbers == b"?1049":
                    page = [[" "] * self.columns for _ in range(self.lines)]
            if row >= self.lines and what == "\n":
                page = [*page[1:], [" "] * self.columns]
                row = self.lines - 1
        return ["".join(line).rstrip() for line in page]

    def _read(self, patience: float) -> None:
        while select.select([self.ours], [], [], patience)[0]:
            self.raw += os.read(self.ours, 65_536)
            patience = 0


@contextmanager
def terminal(columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """A terminal; what runs on it is gone afterwards."""
    made = Terminal(columns, lines)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
        if made.process is not None:
            made.process.wait()
        os.close(made.ours)
        os.close(made.theirs)
