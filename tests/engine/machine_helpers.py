"""What the tests of the machine share: a writer of entries, and a way through a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

from peers.core.entry import Dot, Entry, Origin
from tlru.engine.events import Event
from tlru.engine.machine import Applied, Machine, Result
from tlru.engine.operations import Once, Operation, encode

ORIGIN = Origin("a", "birth-a")
START_MS = 1_000_000


class Writer:
    """Writes entries for one machine, as a leader that is also the only origin would."""

    def __init__(self, machine: Machine | None = None, at: int = START_MS) -> None:
        self.machine = Machine() if machine is None else machine
        self.at = max(at, self.machine.at)
        self.incarnation, self.sequence = self.machine.vector.of(ORIGIN)
        self.incarnation = max(1, self.incarnation)
        self.last = Applied([], [])
        self.entries: list[Entry] = []

    def entry(
        self, operation: Operation | None, once: Once | None = None, until: int | None = None
    ) -> Entry:
        """The next entry; to be applied before another one is made."""
        self.sequence += 1
        data = b"" if operation is None else encode(operation, once)
        dot = Dot(ORIGIN, self.incarnation, self.sequence)
        return Entry(self.machine.index + 1, 1, self.at, dot, until, data)

    def apply(self, entry: Entry) -> Applied:
        """Apply an entry and keep it in mind."""
        self.entries.append(entry)
        self.last = self.machine.apply([entry])
        return self.last

    def __call__(
        self, operation: Operation | None, once: Once | None = None, until: int | None = None
    ) -> Result | None:
        """Apply an operation; its own reply, None where it waits."""
        replies = self.apply(self.entry(operation, once, until)).replies
        return dict(replies).get(self.dot())

    def pass_time(self, ms: int) -> None:
        """Let the next entry be later."""
        self.at += ms

    def dot(self) -> Dot:
        """The dot of the last entry."""
        return Dot(ORIGIN, self.incarnation, self.sequence)

    def events(self) -> list[tuple[Any, ...]]:
        """Type and key of each event of the last entry."""
        return [(str(event.type), event.key) for event in self.last.events]


def error_of(result: Result | None) -> str:
    """The code of a refusal."""
    assert result is not None
    return str(result["error"])


def through_a_snapshot(machine: Machine) -> Machine:
    """A machine that was made from the chunks of another."""
    restored = Machine.from_snapshot(list(machine.capture().chunks()))
    restored.check()
    return restored


def dots(applied: Applied) -> list[tuple[int, Result]]:
    """The replies, with the sequence of each dot."""
    return [(dot.sequence, result) for dot, result in applied.replies]


def order_of(machine: Machine) -> list[Any]:
    """All that a digest does not show: the order of every table's records."""
    return [(kind, table.rows()) for kind, table in machine.tables().items()]


def messages_left_out(applied: Applied) -> tuple[list[tuple[Dot, Result]], list[Event]]:
    """Replies and events, without the words of refusals, which are for people."""
    replies = [
        (dot, {name: value for name, value in result.items() if name != "message"})
        for dot, result in applied.replies
    ]
    return replies, applied.events


@contextmanager
def bounds(module: ModuleType, **values: int) -> Iterator[None]:
    """Let the bounds of a module be small for a while."""
    with ExitStack() as patches:
        for name, value in values.items():
            patches.enter_context(patch.object(module, name, value))
        yield
