"""The terminal of `tlru top`: taken whole, and given back however the command ends.

Decides how keys are read (one at a time, unseen) and which signals end it. Ctrl-Z would leave the
terminal as it is in the middle of a view, so it does nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
# Arrows and their like: one key each, and none of ours.
_SEQUENCE: Final = re.compile(rb"\x1b(\[[0-9;]*[A-Za-z~]|O[A-Za-z])?")
_CONTROL = 6  # where termios keeps the control characters


class Screen:
    """The other screen of a terminal, which is redrawn in place."""

    def __init__(self) -> None:
        colour = None if os.environ.get("NO_COLOR") else "auto"
        self.console = Console(highlight=False, color_system=colour)  # type: ignore[arg-type]
        self._live = Live(console=self.console, screen=True, auto_refresh=False)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        return self.console.size.width, self.console.size.height

    def show(self, lines: Sequence[Text]) -> None:
        """Draw these lines where the last ones were."""
        self._live.update(Group(*lines), refresh=True)

    @contextlib.contextmanager
    def taken(
        self, pressed: Callable[[str], None], ends: Callable[[], None], resized: Callable[[], None]
    ) -> Iterator[None]:
        """Within it the terminal is ours; keys, signals that end, and new sizes are told."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as back:
            for number in ENDING:
                loop.add_signal_handler(number, ends)
                back.callback(loop.remove_signal_handler, number)
            loop.add_signal_handler(signal.SIGWINCH, resized)
            back.callback(loop.remove_signal_handler, signal.SIGWINCH)
            back.enter_context(_keys(loop, pressed, ends))
            back.enter_context(self._live)
            yield


@contextlib.contextmanager
def _keys(
    loop: asyncio.AbstractEventLoop, pressed: Callable[[str], None], ends: Callable[[], None]
) -> Iterator[None]:
    """Tell each key that is pressed; none, where stdin is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def came() -> None:
        try:
            found = os.read(file, 64)
        except OSError:
            found = b""
        if not found:  # the terminal is gone
            loop.remove_reader(file)
            ends()
        for one in _SEQUENCE.sub(b"", found).decode("ascii", "ignore"):
            pressed(one)

    try:
        tty.setcbreak(file)
        mode = termios.tcgetattr(file)
        mode[_CONTROL][termios.VSUSP] = b"\0"
        termios.tcsetattr(file, termios.TCSANOW, mode)
        loop.add_reader(file, came)
        yield
    finally:
        loop.remove_reader(file)
        with contextlib.suppress(termios.error):  # where it is gone there is nothing to restore
            termios.tcsetattr(file, termios.TCSADRAIN, before)
