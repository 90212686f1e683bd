"""Named operations: at most once, also when a client repeats one through another node.

Pure. A client names an operation by its session and a number. The first result is kept, and given
again, until `once_ms` after the operation came in order, or after the time that it claims for its
first try, whichever is later; a try whose first came longer ago is `too_old`. Results up to a
number that the client says it is `done` with are dropped at once; what remains is that number.

The table is bounded in records and in bytes, with a place kept for the results that are still owed
to named requests that wait for a lock. A record is never dropped early, since a forgotten one could
be applied again: when the table is full, a new named operation is refused.

Invariant: what was dropped is `too_old` for ever. `horizon` never goes back, even where `once_ms`
grows, and no first try from before it is accepted.
"""

from __future__ import annotations

import enum
from collections import deque
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgpack

from tlru.engine.digest import Digest
from tlru.engine.operations import Once
from tlru.engine.sizes import text_bytes
from tlru.engine.table import AgingTable

RECORDS_MAX = 131_072  # results and sessions together
BYTES_MAX = 64 << 20
SKEW_MS = 5_000  # how far a first try may be ahead of the entry's time
RECORD_OVERHEAD_BYTES = 320  # tests/benchmarks/memory.py, as the next
SESSION_OVERHEAD_BYTES = 1_024
DROPPED_AT_ONCE = 1_024

Name = tuple[str, int]


class Verdict(enum.Enum):
    """What a named operation may do."""

    APPLY = enum.auto()
    TOO_OLD = enum.auto()
    AHEAD = enum.auto()  # its first try claims to be in the future
    FULL = enum.auto()


class Record(NamedTuple):
    """A result, as msgpack, and when it was made."""

    session: str
    n: int
    result: bytes
    at: int


class Session(NamedTuple):
    """A client session: results up to `done` are dropped; `at` is that of its latest operation."""

    name: str
    done: int
    at: int


_at: Final = attrgetter("at")


def _record_bytes(record: Record) -> int:
    return RECORD_OVERHEAD_BYTES + len(record.result)


def _session_bytes(session: Session) -> int:
    return SESSION_OVERHEAD_BYTES + text_bytes(session.name)


class OnceTable:
    """The results of named operations."""

    def __init__(self, digest: Digest) -> None:
        self._records: AgingTable[Name, Record] = AgingTable("once", digest, _record_bytes, _at)
        self._sessions: AgingTable[str, Session] = AgingTable(
            "session", digest, _session_bytes, _at
        )
        # The numbers of each session's records, as they came. They are dropped from the left only:
        # by age in the order of time, and by `done` as far as they are in order. Where a client
        # numbers out of order some stay until they are old, and are not found all the same.
        self._numbers: dict[str, deque[int]] = {}
        self.horizon = 0

    def __len__(self) -> int:
        return len(self._records) + len(self._sessions)

    @property
    def bytes(self) -> int:
        """What the records take, estimated."""
        return self._records.bytes + self._sessions.bytes

    def find(self, once: Once) -> Any | None:
        """The result that was given the first time, or None."""
        record = self._records.records.get((once.session, once.n))
        if record is None or once.n <= self._done(once):
            return None
        return msgpack.unpackb(record.result)

    def judge(self, once: Once, at: int, owed: int) -> Verdict:
        """Whether an operation that `find` does not know may be applied.

        `owed` is the number of named requests that wait: each will have a result of its own.
        """
        if once.at > at + SKEW_MS:
            return Verdict.AHEAD
        if once.at < self.horizon or once.n <= self._done(once):
            return Verdict.TOO_OLD
        if self._is_full(owed):
            self.drop_stale()
            if self._is_full(owed):
                return Verdict.FULL
        return Verdict.APPLY

    def _is_full(self, owed: int) -> bool:
        # Two places for each result that is owed, since its session may be gone by then; and for a
        # newcomer its session at once, and those two if it has to wait.
        size = self.bytes + owed * (RECORD_OVERHEAD_BYTES + SESSION_OVERHEAD_BYTES)
        return len(self) + 2 * owed + 3 > RECORDS_MAX or size > BYTES_MAX

    def _done(self, once: Once) -> int:
        session = self._sessions.records.get(once.session)
        # What is stale counts as forgotten, whether its turn to be dropped has come or not.
        return -1 if session is None or session.at < self.horizon - SKEW_MS else session.done

    def note(self, once: Once, at: int) -> None:
        """Take up what an operation says of its session: it lives, and `done` is done."""
        done = max(self._done(once), -1 if once.done is None else once.done)
        name = once.session
        known = self._sessions.records.get(name)
        if known is not None:
            name = known.name  # one copy of the text for all its records
            if known.at == at and known.done == done:
                return
            self._sessions.remove(name)
        self._sessions.add(name, Session(name, done, at))
        numbers = self._numbers.get(name)
        while numbers and numbers[0] <= done:
            self._drop(name, numbers)
            numbers = self._numbers.get(name)

    def keep(self, once: Once, result: Any, at: int) -> None:
        """Keep the result of an operation that was just applied."""
        session = self._sessions.records.get(once.session)
        if session is None or session.at < at:
            # A waiter's turn comes after its session's latest operation, which may be forgotten.
            # A session is never older than its records, so that it is not forgotten before them.
            self.note(once, at)
            session = self._sessions.records[once.session]
        if once.n <= session.done:
            return
        self._add(Record(session.name, once.n, msgpack.packb(result), at))

    def _add(self, record: Record) -> None:
        name = (record.session, record.n)
        # One name for two requests, of which one waited for a lock: the first result stays.
        if name not in self._records.records:
            self._records.add(name, record)
            self._numbers.setdefault(record.session, deque()).append(record.n)

    def drop_stale(self) -> None:
        """Forget what no accepted try can ask for, a bounded number for each call."""
        before = self.horizon - SKEW_MS
        for record in self._records.remove_stale(before, DROPPED_AT_ONCE):
            self._unlist(record)
        self._sessions.remove_stale(before, DROPPED_AT_ONCE)

    def _drop(self, name: str, numbers: deque[int]) -> None:
        self._unlist(self._records.remove((name, numbers[0])))

    def _unlist(self, record: Record) -> None:
        numbers = self._numbers[record.session]
        first = numbers.popleft()
        assert first == record.n, "a session's results are dropped in the order in which they came"
        if not numbers:
            del self._numbers[record.session]

    # -- snapshots

    def tables(self) -> tuple[AgingTable[Any, Any], ...]:
        """What a snapshot copies."""
        return self._sessions, self._records

    def restore_session(self, *row: Any) -> None:
        """Take up one session; all of them come before the first record."""
        session = Session(*row)
        self._sessions.add(session.name, session)

    def restore_record(self, *row: Any) -> None:
        """Take up one record."""
        record = Record(*row)
        session = self._sessions.records.get(record.session)
        self._add(record if session is None else record._replace(session=session.name))

    def check(self, owed: int) -> None:
        """Assert that the tables agree with each other and keep their bounds."""
        for table in self.tables():
            table.check()
        assert len(self) + owed <= RECORDS_MAX
        numbers: dict[str, deque[int]] = {}
        for name, n in self._records.records:
            numbers.setdefault(name, deque()).append(n)
        assert numbers == self._numbers
        for record in self._records.records.values():
            session = self._sessions.records.get(record.session)
            assert session is None or session.at >= record.at, "a result outlives its session"
