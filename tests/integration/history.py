"""What clients of real nodes were told, and whether it can be true: the simulation's own checkers.

Pure. Times are whole microseconds of one monotonic clock, since all clients live in the test's
process. A write under a condition (`if` version) that adds one to what was read is judged as an
increment: where it is applied, it is one, and none may be applied over the same version twice.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.simulation.histories import (
    Increment,
    Observation,
    Outcome,
    Violation,
    check_counter,
    check_session,
)
from tests.simulation.linearizability import Call, Kind, check_linearizable

MICRO = 1_000_000


@dataclass
class History:
    """All that a test's clients did."""

    calls: list[Call] = field(default_factory=list)
    observations: defaultdict[str, list[Observation]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def judge(self, finals: Mapping[str, int | None]) -> list[Violation]:
        """What cannot be true; `finals` is what the counted keys hold in the end."""
        assert set(finals) >= {call.key for call in self._counted()}, "each has an end"
        return [violation for violation in self._verdicts(finals) if violation is not None]

    def _verdicts(self, finals: Mapping[str, int | None]) -> Iterator[Violation | None]:
        yield check_linearizable(self.calls)
        for key, final in sorted(finals.items()):
            yield check_counter(key, self.increments(key), final)
        for session, seen in self.observations.items():
            yield check_session(session, seen)

    def _counted(self) -> Iterator[Call]:
        return (call for call in self.calls if call.kind is Kind.INCR)

    def increments(self, key: str) -> list[Increment]:
        """Each increment of one key."""
        found = []
        for call in self._counted():
            if call.key == key:
                assert isinstance(call.argument, int)
                result = call.result if isinstance(call.result, int) else None
                found.append(Increment(call.argument, call.outcome, result))
        return found

    def count(self, outcome: Outcome) -> int:
        """How many calls ended so."""
        return sum(call.outcome is outcome for call in self.calls)

    def gap_s(self, since: int = 0) -> float:
        """The longest time without an acknowledged write, from this instant on, in seconds."""
        writes = sorted(
            call.returned
            for call in self.calls
            if call.returned is not None
            and call.returned >= since
            and call.kind is not Kind.GET
            and call.outcome is Outcome.DONE
        )
        pairs = itertools.pairwise(writes)
        return max((later - earlier for earlier, later in pairs), default=0) / MICRO
