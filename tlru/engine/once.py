"""Named operations: at most once, also when a client repeats one through another node.

Pure. A client names an operation by its session and a number. The first result is kept, and given
again, until `once_ms` and the allowed skew have passed; a repeat that comes later is `too_old`.
Results up to a number that the client says it is `done` with are dropped at once; what remains of
them is that number.

The table is bounded in records and in bytes. A record is never dropped early, since a forgotten one
could be applied again: when the table is full, a new named operation is refused.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgpack

from tlru.engine.digest import Digest, record_hash
from tlru.engine.operations import Once

RECORDS_MAX = 131_072  # results and sessions together
BYTES_MAX = 32 << 20
SKEW_MS = 5_000  # how far a first try may be ahead of the entry's time
RECORD_OVERHEAD_BYTES = 256
DROPPED_AT_ONCE = 256


class Verdict(enum.Enum):
    """What a named operation may do."""

    APPLY = enum.auto()
    TOO_OLD = enum.auto()
    AHEAD = enum.auto()  # its first try claims to be in the future
    FULL = enum.auto()


class Record(NamedTuple):
    """A result, as msgpack, and when it was made."""

    result: bytes
    at: int


class Session(NamedTuple):
    """A client session: results up to `done` are dropped; `at` is that of its latest operation."""

    done: int
    at: int
    numbers: dict[int, None]


class OnceTable:
    """The results of named operations."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._records: OrderedDict[tuple[str, int], Record] = OrderedDict()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._records) + len(self._sessions)

    def find(self, once: Once) -> Any | None:
        """The result that was given the first time, or None."""
        record = self._records.get((once.session, once.n))
        return None if record is None else msgpack.unpackb(record.result)

    def judge(self, once: Once, at: int, once_ms: int) -> Verdict:
        """Whether an operation that `find` does not know may be applied."""
        if once.at > at + SKEW_MS:
            return Verdict.AHEAD
        session = self._sessions.get(once.session)
        if once.at + once_ms < at or (session is not None and once.n <= session.done):
            return Verdict.TOO_OLD
        if len(self) + 2 > RECORDS_MAX or self.bytes > BYTES_MAX:
            return Verdict.FULL
        return Verdict.APPLY

    def note(self, once: Once, at: int) -> None:
        """Take up what an operation says of its session: it lives, and `done` is done."""
        known = self._sessions.pop(once.session, None)
        done, numbers = (-1, {}) if known is None else (known.done, known.numbers)
        if known is not None:
            self._digest.remove(_hash_session(once.session, known))
        else:
            self.bytes += RECORD_OVERHEAD_BYTES
        if once.done is not None and once.done > done:
            done = once.done
            for n in [n for n in numbers if n <= done]:
                del numbers[n]
                self._drop_record(once.session, n)
        session = Session(done, at, numbers)
        self._sessions[once.session] = session
        self._digest.add(_hash_session(once.session, session))

    def keep(self, once: Once, result: Any, at: int) -> None:
        """Keep the result of an operation that was just applied."""
        if once.session not in self._sessions:  # a waiter's turn can come long after its session
            self.note(once, at)
        session = self._sessions[once.session]
        if once.n <= session.done:
            return
        record = Record(msgpack.packb(result), at)
        session.numbers[once.n] = None
        self._records[once.session, once.n] = record
        self.bytes += len(record.result) + RECORD_OVERHEAD_BYTES
        self._digest.add(_hash_record(once.session, once.n, record))

    def drop_before(self, at: int) -> None:
        """Forget what no accepted repeat can ask for any more, a bounded number for each call."""
        for _ in range(DROPPED_AT_ONCE):
            if not self._records or next(iter(self._records.values())).at >= at:
                break
            session, n = next(iter(self._records))
            self._sessions[session].numbers.pop(n)
            self._drop_record(session, n)
        for _ in range(DROPPED_AT_ONCE):
            if not self._sessions:
                break
            name, oldest = next(iter(self._sessions.items()))
            if oldest.at >= at or oldest.numbers:
                break
            del self._sessions[name]
            self.bytes -= RECORD_OVERHEAD_BYTES
            self._digest.remove(_hash_session(name, oldest))

    def _drop_record(self, session: str, n: int) -> None:
        record = self._records.pop((session, n))
        self.bytes -= len(record.result) + RECORD_OVERHEAD_BYTES
        self._digest.remove(_hash_record(session, n, record))

    # -- snapshots

    def copy(self) -> tuple[list[Any], list[Any]]:
        """Sessions and records in their order, exact now."""
        sessions = [(name, s.done, s.at) for name, s in self._sessions.items()]
        records = [(name, n, *record) for (name, n), record in self._records.items()]
        return sessions, records

    def restore_session(self, name: str, done: int, at: int) -> None:
        """Take up one session; all of them before the first record."""
        session = self._sessions[name] = Session(done, at, {})
        self.bytes += RECORD_OVERHEAD_BYTES
        self._digest.add(_hash_session(name, session))

    def restore_record(self, name: str, n: int, result: bytes, at: int) -> None:
        """Take up one record."""
        record = self._records[name, n] = Record(result, at)
        self._sessions[name].numbers[n] = None
        self.bytes += len(result) + RECORD_OVERHEAD_BYTES
        self._digest.add(_hash_record(name, n, record))

    def check(self) -> None:
        """Assert that the tables agree with each other and keep their bounds."""
        assert len(self) <= RECORDS_MAX
        listed = {(name, n) for name, s in self._sessions.items() for n in s.numbers}
        assert listed == set(self._records)
        assert all(n > self._sessions[name].done for name, n in self._records)
        sizes = sum(len(record.result) for record in self._records.values())
        assert self.bytes == sizes + RECORD_OVERHEAD_BYTES * len(self)

    def hashes(self) -> Iterator[int]:
        """The hash of every record, for checking the digest."""
        yield from (_hash_session(name, session) for name, session in self._sessions.items())
        yield from (_hash_record(name, n, record) for (name, n), record in self._records.items())


def _hash_session(name: str, session: Session) -> int:
    return record_hash("session", name, session.done, session.at)


def _hash_record(session: str, n: int, record: Record) -> int:
    return record_hash("once", session, n, record.at, value=record.result)
