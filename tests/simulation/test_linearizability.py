"""A register's histories pass, no planted fault does, and the verdict is that of the definition."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.histories import Outcome
from tests.simulation.linearizability import Call, Item, Kind, Value, check_linearizable

DONE, NOT_DONE, UNKNOWN = Outcome.DONE, Outcome.NOT_DONE, Outcome.UNKNOWN
EVERY_KIND = tuple(Kind)
MAKING = (Kind.SET, Kind.ADD, Kind.INCR)


class Recorder:
    """Writes calls down, one after another where no times are given."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(
        self,
        kind: Kind,
        argument: Value | None = None,
        result: Value | bool | None = None,
        *,
        times: tuple[int, int] | None = None,
        outcome: Outcome = DONE,
        expires: int | None = None,
    ) -> None:
        number = len(self.calls)
        invoked, returned = times or (10 * number, 10 * number + 5)
        end = returned if outcome is DONE else None
        self.calls.append(
            Call("p", number, kind, "k", argument, invoked, end, outcome, result, expires)
        )


# Histories of a real register


@dataclass
class Register:
    """One item and a clock that is wrong by up to the slack."""

    slack_ms: int
    item: Item | None = None

    def apply(self, call: Call, at: int, chance: random.Random) -> Value | bool | None:
        """Carry `call` out at an instant, and give its result."""
        seen = self.item
        if seen is not None and seen.expires is not None:
            over = at + chance.randint(-self.slack_ms, self.slack_ms) > seen.expires
            seen = None if over else seen
        value = None if seen is None else seen.value
        match call.kind:
            case Kind.GET:
                return value
            case Kind.DELETE:
                self.item = None
                return seen is not None
            case Kind.INCR:
                assert isinstance(call.argument, int)
                assert not isinstance(value, str)
                total = (value or 0) + call.argument
                self.item = Item(total, call.expires if seen is None else seen.expires)
                return total
            case Kind.ADD if seen is not None:
                return value
            case Kind.ADD | Kind.SET:
                assert call.argument is not None
                self.item = Item(call.argument, call.expires)
                return None


@dataclass(frozen=True)
class Workload:
    calls: int
    processes: int
    kinds: tuple[Kind, ...]
    unknown: float = 0.15
    perishable: float = 0.0
    slack_ms: int = 0
    alike: bool = False  # few values, over and over

    def history(self, chance: random.Random) -> list[Call]:
        """Calls to a real register, each at a random instant of its time."""
        clocks = [0] * self.processes
        planned = [self._plan(number, clocks, chance) for number in range(self.calls)]
        register = Register(self.slack_ms)
        calls = [call for at, call in planned if at is None]
        in_order = sorted(
            ((at, call) for at, call in planned if at is not None), key=lambda pair: pair[0]
        )
        for at, call in in_order:
            result = register.apply(call, at, chance)
            calls.append(replace(call, result=result) if call.outcome is DONE else call)
        return calls

    def _plan(
        self, number: int, clocks: list[int], chance: random.Random
    ) -> tuple[int | None, Call]:
        process = chance.randrange(self.processes)
        invoked = clocks[process] + chance.randint(0, 6)
        at: int | None = invoked + chance.randint(0, 12)
        returned = clocks[process] = invoked + 12 + chance.randint(0, 12)
        outcome = UNKNOWN if chance.random() < self.unknown else DONE
        if outcome is UNKNOWN:  # late, or never
            at = invoked + chance.randint(0, 200) if chance.random() < 0.7 else None
        elif chance.random() < 0.05:
            at, outcome = None, NOT_DONE
        kind = chance.choice(self.kinds)
        argument = chance.randint(1, 3) if self.alike else number
        lives = kind in MAKING and chance.random() < self.perishable
        call = Call(
            process=f"p{process}",
            number=number,
            kind=kind,
            key="k",
            argument=None if kind in (Kind.GET, Kind.DELETE) else argument,
            invoked=invoked,
            returned=returned if outcome is DONE else None,
            outcome=outcome,
            expires=(at or invoked) + chance.randint(1, 60) if lives else None,
        )
        return at, call


workloads = st.builds(
    Workload,
    calls=st.integers(1, 40),
    processes=st.integers(1, 5),
    kinds=st.sampled_from(
        [
            (Kind.SET, Kind.GET),
            (Kind.SET, Kind.DELETE, Kind.GET),
            (Kind.ADD, Kind.DELETE, Kind.GET),
            (Kind.INCR, Kind.GET),
            EVERY_KIND,
        ]
    ),
    unknown=st.sampled_from([0.0, 0.2, 0.5]),
    perishable=st.sampled_from([0.0, 0.5, 1.0]),
    slack_ms=st.integers(0, 10),
    alike=st.booleans(),
)


@settings(deadline=None, max_examples=200)
@given(workload=workloads, seed=st.integers(0, 2**32))
def test_what_a_register_did_is_linearizable(workload: Workload, seed: int) -> None:
    history = workload.history(random.Random(seed))
    assert check_linearizable(history, workload.slack_ms) is None


LARGE = {
    "sets": Workload(300, 5, (Kind.SET, Kind.GET, Kind.GET)),
    "deletes": Workload(300, 5, (Kind.SET, Kind.DELETE, Kind.GET, Kind.GET)),
    "lives": Workload(300, 5, (Kind.SET, Kind.GET), perishable=0.5, slack_ms=5),
    "counts": Workload(300, 5, (Kind.INCR, Kind.INCR, Kind.GET), alike=True),
}


@pytest.mark.parametrize("workload", LARGE.values(), ids=LARGE)
def test_a_large_history_is_decided(workload: Workload) -> None:
    """Three hundred calls to one key, some forty of unknown outcome; then one result is wrong."""
    chance = random.Random(7)
    history = workload.history(chance)
    assert sum(call.outcome is UNKNOWN for call in history) > 30
    assert check_linearizable(history, workload.slack_ms) is None
    reads = [
        index
        for index, call in enumerate(history)
        if call.kind is Kind.GET and call.outcome is DONE
    ]
    wrong = reads[len(reads) // 2]
    history[wrong] = replace(history[wrong], result=10**9)
    violation = check_linearizable(history, workload.slack_ms)
    assert violation is not None
    assert history[wrong] in violation.evidence


def test_increments_of_unknown_outcome_do_not_double_the_work() -> None:
    """Of forty distinct powers of two the reads tell which ones counted."""
    record = Recorder()
    for power in range(40):
        record(Kind.INCR, 1 << power, times=(0, 0), outcome=UNKNOWN)
    record(Kind.GET, result=0b1011)
    record(Kind.GET, result=(1 << 40) - 1)
    assert check_linearizable(record.calls) is None
    record(Kind.GET, result=1 << 41)
    assert check_linearizable(record.calls) is not None


# Against the definition


def is_linearizable(calls: Sequence[Call], slack_ms: int) -> bool:
    """The slow way: every order of the calls, every instant of each."""
    certain = [call for call in calls if call.outcome is not NOT_DONE]
    end = max((call.returned for call in calls if call.returned is not None), default=0)

    def any_order(left: list[Call], states: set[tuple[Item | None, int]]) -> bool:
        if all(call.outcome is UNKNOWN for call in left):
            return True
        for index, call in enumerate(left):
            latest = end if call.returned is None else call.returned
            after = {
                (item, at)
                for before, now in states
                for at in range(max(now, call.invoked), latest + 1)
                for item in effects(call, before, at, slack_ms)
            }
            if after and any_order(left[:index] + left[index + 1 :], after):
                return True
        return False

    return any_order(certain, {(None, 0)})


def effects(call: Call, item: Item | None, at: int, slack_ms: int) -> Iterator[Item | None]:
    """What the call may leave where it takes effect at an instant and gives its result."""
    sights = [item]
    if item is not None and item.expires is not None:
        seen = [item] if at <= item.expires + slack_ms else []
        sights = seen + [None] * (at >= item.expires - slack_ms)
    for sight in sights:
        register = Register(0, sight and Item(sight.value))
        result = register.apply(call, at, random.Random(0))
        if call.outcome is DONE and result != call.result:
            continue
        if call.kind is Kind.GET:
            yield item
        elif sight is not None and call.kind is not Kind.SET and register.item is not None:
            yield Item(register.item.value, sight.expires)
        else:
            yield register.item


@st.composite
def small_calls(draw: st.DrawFn, kinds: tuple[Kind, ...], perishable: bool) -> Call:
    kind = draw(st.sampled_from(kinds))
    invoked = draw(st.integers(0, 5))
    outcome = draw(st.sampled_from([DONE, DONE, UNKNOWN, NOT_DONE]))
    results: st.SearchStrategy[Value | bool | None] = st.sampled_from([None, 1, 2, 3])
    if kind is Kind.SET:
        results = st.none()
    elif kind is Kind.DELETE:
        results = st.booleans()
    elif kind is Kind.INCR:
        results = st.integers(1, 4)
    lives = perishable and kind in MAKING
    return Call(
        process="p",
        number=draw(st.integers(0, 2**32)),
        kind=kind,
        key="k",
        argument=None if kind in (Kind.GET, Kind.DELETE) else draw(st.integers(1, 2)),
        invoked=invoked,
        returned=draw(st.integers(invoked, 5)) if outcome is DONE else None,
        outcome=outcome,
        result=draw(results),
        expires=draw(st.none() | st.integers(0, 6)) if lives else None,
    )


@st.composite
def small_histories(draw: st.DrawFn) -> list[Call]:
    kinds = draw(st.sampled_from([EVERY_KIND, (Kind.SET, Kind.GET), (Kind.INCR, Kind.GET)]))
    call = small_calls(kinds, draw(st.booleans()))
    return draw(st.lists(call, min_size=1, max_size=6, unique_by=lambda call: call.number))


@settings(deadline=None, max_examples=500)
@given(calls=small_histories(), slack_ms=st.integers(0, 2))
def test_the_verdict_is_that_of_all_orders(calls: list[Call], slack_ms: int) -> None:
    violation = check_linearizable(calls, slack_ms)
    assert (violation is None) == is_linearizable(calls, slack_ms)


# Planted faults of a key


def test_a_stale_read_is_caught_and_explained() -> None:
    record = Recorder()
    record(Kind.SET, "a")
    record(Kind.SET, "b")
    record(Kind.GET, result="a")
    record(Kind.GET, result="b")
    violation = check_linearizable(record.calls)
    assert violation is not None
    assert violation.sentence == (
        "key 'k' cannot be explained once p#2 get -> 'a' [20..25] has returned: after "
        "p#0 set 'a' [0..5], p#1 set 'b' [10..15] it holds 'b', and next can come none of "
        "p#2 get -> 'a' [20..25]"
    )
    assert violation.evidence == tuple(record.calls[:3])


def test_calls_that_touch_are_concurrent() -> None:
    """What returns at an instant may come after what is called at it."""
    record = Recorder()
    record(Kind.SET, "a", times=(0, 5))
    record(Kind.GET, result=None, times=(5, 9))
    assert check_linearizable(record.calls) is None
    record(Kind.GET, result=None, times=(10, 12))
    assert check_linearizable(record.calls) is not None


def test_a_lost_update_is_caught() -> None:
    record = Recorder()
    record(Kind.INCR, 1, 1)
    record(Kind.INCR, 1, 2)
    record(Kind.INCR, 1, 2)
    assert check_linearizable(record.calls) is not None


def test_an_increment_applied_twice_is_caught() -> None:
    """One of unknown outcome may count, but once."""
    record = Recorder()
    record(Kind.INCR, 1, outcome=UNKNOWN)
    record(Kind.GET, result=1)
    assert check_linearizable(record.calls) is None
    record(Kind.GET, result=2)
    assert check_linearizable(record.calls) is not None


def test_a_write_that_comes_back_is_caught() -> None:
    record = Recorder()
    record(Kind.SET, "a", outcome=UNKNOWN)
    record(Kind.GET, result="a")
    record(Kind.SET, "b")
    record(Kind.GET, result="b")
    assert check_linearizable(record.calls) is None
    record(Kind.GET, result="a")
    assert check_linearizable(record.calls) is not None


@pytest.mark.parametrize("outcome", [DONE, UNKNOWN])
def test_a_value_seen_and_then_not_seen_is_caught(outcome: Outcome) -> None:
    record = Recorder()
    record(Kind.SET, "a")
    record(Kind.SET, "b", times=(10, 90), outcome=outcome)
    record(Kind.GET, result="a")
    record(Kind.GET, result="b")
    assert check_linearizable(record.calls) is None
    record(Kind.GET, result="a")
    assert check_linearizable(record.calls) is not None


def test_a_value_never_written_is_caught() -> None:
    record = Recorder()
    record(Kind.SET, "a", outcome=NOT_DONE)
    record(Kind.GET)
    record(Kind.GET, result="a")
    assert check_linearizable(record.calls) is not None


def test_two_that_both_added_are_caught() -> None:
    record = Recorder()
    record(Kind.ADD, "a", times=(0, 9))
    record(Kind.ADD, "b", "a", times=(0, 9))
    assert check_linearizable(record.calls) is None
    record(Kind.ADD, "c", times=(0, 9))
    assert check_linearizable(record.calls) is not None


def test_two_that_both_deleted_are_caught() -> None:
    record = Recorder()
    record(Kind.SET, "a")
    record(Kind.DELETE, result=True)
    record(Kind.DELETE, result=False)
    assert check_linearizable(record.calls) is None
    record(Kind.DELETE, result=True)
    assert check_linearizable(record.calls) is not None


@pytest.mark.parametrize(
    ("at", "result", "fits"),
    [
        (94, None, False),  # within its life
        (95, None, True),
        (95, "a", True),
        (105, "a", True),
        (106, "a", False),  # after it
        (106, None, True),
    ],
)
def test_a_life_ends_within_the_slack(at: int, result: str | None, fits: bool) -> None:
    record = Recorder()
    record(Kind.SET, "a", expires=100)
    record(Kind.GET, result=result, times=(at, at))
    assert (check_linearizable(record.calls, slack_ms=5) is None) == fits


def test_keys_are_judged_apart() -> None:
    record = Recorder()
    record(Kind.SET, "a")
    record(Kind.GET)
    apart = [replace(call, key=str(index)) for index, call in enumerate(record.calls)]
    assert check_linearizable(apart) is None
    assert check_linearizable(record.calls) is not None
