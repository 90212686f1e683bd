"""What the log was asked and what it answered, as the first node to apply each entry put it out.

Every later one must put out the same: the digest has neither answers nor events in it. What the
log did is then judged from here, whether a client was told of it or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from peers.core.entry import Dot, Entry
from tlru.engine.events import Event
from tlru.engine.machine import Applied, Result
from tlru.engine.operations import Once, Operation, decode


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation was answered, and by which entry: a waiter is by a later one."""

    index: int
    at: int
    asked: int  # by which entry
    dot: Dot
    operation: Operation
    once: Once | None
    result: Result

    @property
    def asker(self) -> str:
        """Who asked: a session by its name, else the node."""
        return self.once.session if self.once is not None else str(self.dot.origin.id)

    @property
    def refused(self) -> bool:
        """Whether nothing was done."""
        return "error" in self.result


class Ledger:
    """Everything that the log led to, in its order."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.events: list[Event] = []
        self.entries: list[Applied] = []  # what came of each
        self._asked: dict[Dot, tuple[int, Operation, Once | None]] = {}

    def differs(self, entry: Entry, applied: Applied) -> str | None:
        """What is not as it was where the entry was applied first."""
        if entry.index > len(self.entries):
            self._note(entry, applied)
            return None
        known = self.entries[entry.index - 1]
        for ours, theirs in ((applied.events, known.events), (applied.replies, known.replies)):
            if ours != theirs:
                return f"entry {entry.index} led to {ours}, and elsewhere to {theirs}"
        return None

    def _note(self, entry: Entry, applied: Applied) -> None:
        self.entries.append(applied)
        self.events += applied.events
        if entry.dot is not None and entry.operation:
            self._asked[entry.dot] = (entry.index, *decode(entry.operation))
        # What was asked for comes first: who lets go of a lock makes room for the next.
        for dot, result in sorted(applied.replies, key=lambda reply: reply[0] != entry.dot):
            if dot in self._asked:  # not a void
                asked, operation, once = self._asked[dot]
                self.answers.append(
                    Answer(entry.index, entry.at, asked, dot, operation, once, result)
                )
