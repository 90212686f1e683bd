"""How a change is printed: a line for a person, a line with tabs for a pipe, or JSON.

Decides what is shown of it. On a terminal a line is as wide as the terminal: the value is
shortened, and what would command the terminal is escaped. A pipe gets everything as it was.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from tlru.cli import say, values
from tlru.wire import strict_json

if TYPE_CHECKING:
    from tlru.client.changes import Change

COLOURS: Final = {
    "set": "green",
    "touch": "cyan",
    "message": "blue",
    "delete": "red",
    "expire": "yellow",
    "evict": "magenta",
    "clear": "bright_red",
}
KIND_WIDTH: Final = 7  # of the longest of them
KEY_WIDTH_MIN, KEY_SHARE = 12, 3  # a key has a third of the line, and grows into it
TTL_WIDTH: Final = 7
WIDTH_MIN: Final = 40
GONE: Final = {"delete": "deleted", "expire": "life over", "evict": "no room"}


def facts(change: Change[bytes], pattern: str | None = None) -> dict[str, Any]:
    """A change for programs; what it has not is left out. `pattern`: which of several it fits."""
    from tlru.client.changes import Reset

    found: dict[str, Any] = {"type": kind_of(change), "key": change.key}
    if isinstance(change, Reset):
        found = {"type": "reset", "reason": change.reason}
    elif (packed := packed_value(change)) is not None:
        found["value"] = values.as_json(packed)
    found["version"] = change.version
    if change.at is not None:
        found["at"] = change.at.isoformat(timespec="milliseconds")
    for name in ("ttl", "rev", "mime"):
        if (fact := getattr(change, name, None)) is not None:
            found[name] = fact
    if getattr(change, "folded", 1) > 1:
        found["folded"] = getattr(change, "folded", 1)
    if pattern is not None:
        found["pattern"] = pattern
    found["position"] = change.position
    return found


def json_line(change: Change[bytes], pattern: str | None = None) -> str:
    """One JSON object."""
    return strict_json.dumps(facts(change, pattern)).decode() + "\n"


def piped_line(change: Change[bytes], ahead: datetime.timedelta) -> str:
    """Time, type, key, ttl and value, with tabs between; what there is none of is empty. `ahead`:
    of the cluster's time, by which changes are dated, is the time of day by so much."""
    at = "" if change.at is None else (change.at + ahead).isoformat(timespec="milliseconds")
    ttl = getattr(change, "ttl", None)
    packed = packed_value(change)
    value = "" if packed is None else values.line(packed)
    return f"{at}\t{kind_of(change)}\t{change.key}\t{'' if ttl is None else f'{ttl:g}'}\t{value}\n"


class Painter:
    """Makes the lines of a terminal. The column of keys grows with the keys that come."""

    def __init__(self) -> None:
        self._key_width = KEY_WIDTH_MIN
        self._colours = not os.environ.get("NO_COLOR")

    def line(self, change: Change[bytes], ahead: datetime.timedelta) -> str:
        """One line, as wide as the terminal at most."""
        width = max(WIDTH_MIN, shutil.get_terminal_size().columns)
        kind = kind_of(change)
        most = max(KEY_WIDTH_MIN, width // KEY_SHARE)
        key = shortened(say.one_line(change.key), most)
        self._key_width = min(most, max(self._key_width, cells(key)))
        when = _clock(change.at, ahead)
        head = f"{self._styled(when, dim=True)} {self._styled(f'{kind:<{KIND_WIDTH}}', kind)} "
        taken = len(when) + 1 + KIND_WIDTH + 1 + self._key_width + 1 + TTL_WIDTH + 1
        key += " " * (self._key_width - cells(key))
        ttl = _life(getattr(change, "ttl", None))
        value = shortened(_shown(change), width - taken)
        tail = f"{self._styled(f'{ttl:>{TTL_WIDTH}}', dim=True)} {value}"
        return f"{head}{key} {tail}".rstrip() + "\n"

    def _styled(self, text: str, kind: str = "", *, dim: bool = False) -> str:
        if not self._colours:
            return text
        return click.style(text, fg=COLOURS.get(kind), dim=dim or None)


def kind_of(change: Change[bytes]) -> str:
    """The type of a change, by the word that the protocol has for it."""
    from tlru.client import changes

    match change:
        case changes.Removed():
            return change.why
        case changes.Changed():
            return change.type
        case _:
            return _KINDS[type(change).__name__]


_KINDS: Final = {
    "Set": "set",
    "Touched": "touch",
    "Cleared": "clear",
    "Message": "message",
    "Reset": "reset",
}


def packed_value(change: Change[bytes]) -> bytes | None:
    """The bytes of its value; None where it has none, or none was asked for."""
    value = getattr(change, "value", None)
    return value if isinstance(value, bytes) else None


def _shown(change: Change[bytes]) -> str:
    packed = packed_value(change)
    folded = getattr(change, "folded", 1)
    told = "" if packed is None else say.one_line(values.line(packed))
    return f"({folded} changes) {told}" if folded > 1 else told


def _clock(at: datetime.datetime | None, ahead: datetime.timedelta) -> str:
    """The time of day here; a watch is looked at today."""
    return " " * 12 if at is None else f"{(at + ahead).astimezone():%H:%M:%S.%f}"[:12]


def _life(ttl: float | None) -> str:
    """About how long, in the unit that fits."""
    if ttl is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if ttl >= size:
            return f"{ttl / size:.1f}".removesuffix(".0") + unit
    return f"{ttl:.3g}s"


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def shortened(text: str, width: int) -> str:
    """What of a line fits; an ellipsis says that there is more."""
    from rich.cells import set_cell_size

    # A long value is not measured to its end.
    text = text[: 2 * max(width, 1) + 1]
    if width < 1:
        return ""
    return text if cells(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def is_terminal() -> bool:
    """Whether a person reads it."""
    return sys.stdout.isatty()
