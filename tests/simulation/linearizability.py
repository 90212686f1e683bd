"""Whether the calls made on a key could have taken effect one at a time.

Pure, and exact: every order is tried that could matter. A history is linearizable if each call
that is done, and any of those of unknown outcome, can be given an instant between its beginning
and its end so that in the order of the instants every result is what a single register gives.

The search is that of Wing and Gong with the memory of Lowe: a configuration (which calls have taken
effect, and what that left) is looked at once. Two things keep calls of unknown outcome, which stay
open for ever, from doubling the work each: they take effect only where a known result needs them,
and among those that would do the same the oldest goes first.
"""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.simulation.histories import Outcome, Violation

CONFIGURATIONS_MAX = 400_000  # then the search gives up with an UndecidedError
SHOWN = 4  # calls of the way to a violation that are told

UNSEEN = "\0"  # stands for every value that nobody is left to see

Value = int | str


class UndecidedError(Exception):
    """The history is too entangled to be decided: fewer clients a key, or values that differ."""


class Kind(enum.Enum):
    """What a call does to its key, and what its result tells when it is done.

    Calls of unknown outcome that prepare another take effect in the order of this list.
    """

    SET = "set"  # result: None
    DELETE = "delete"  # result: whether it was there
    ADD = "add"  # set if absent; result: None if applied, else the value that stood in its way
    INCR = "incr"  # result: the sum; what was absent counts as 0
    GET = "get"  # result: the value, or None where it was absent


@dataclass(frozen=True, slots=True)
class Call:
    """A call as its caller saw it, in virtual milliseconds; `returned` counts only where done.

    `expires` is when the life ends that a set, or an add or incr that makes the item, gives it.
    """

    process: str
    number: int
    kind: Kind
    key: str
    argument: Value | None
    invoked: int
    returned: int | None
    outcome: Outcome
    result: Value | bool | None = None
    expires: int | None = None

    def __str__(self) -> str:
        argument = "" if self.argument is None else f" {self.argument!r}"
        done = self.outcome is Outcome.DONE
        result = f" -> {self.result!r}" if done and self.kind is not Kind.SET else ""
        life = "" if self.expires is None else f" until {self.expires}"
        end = self.returned if done else "?"
        what = f"{self.kind.value}{argument}{life}{result}"
        return f"{self.process}#{self.number} {what} [{self.invoked}..{end}]"


class Item(NamedTuple):
    """What a key holds."""

    value: Value
    expires: int | None = None


def check_linearizable(calls: Iterable[Call], slack_ms: int = 0) -> Violation | None:
    """Why some key is not linearizable, or None. Every key begins absent.

    From `slack_ms` before the end of its life an item may be absent, and until `slack_ms` after it
    may be seen. Raises UndecidedError where that would take too long to find out.
    """
    of_key: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.outcome is not Outcome.NOT_DONE:
            of_key[call.key].append(call)
    for key in sorted(of_key):
        violation = _check_key(key, of_key[key], slack_ms)
        if violation is not None:
            return violation
    return None


def _check_key(key: str, calls: list[Call], slack_ms: int) -> Violation | None:
    """Look for the earliest answer that cannot be explained, by halving."""
    done = sorted(
        (call for call in calls if call.outcome is Outcome.DONE),
        key=lambda call: (_end(call), call.invoked),
    )
    search = _Search.of_prefix(calls, done, slack_ms)
    if search.run():
        return None
    explained, failed = 0, len(done)
    while explained + 1 < failed:
        middle = (explained + failed) // 2
        shorter = _Search.of_prefix(calls, done[:middle], slack_ms)
        if shorter.run_or_give_up():
            explained = middle
        else:
            failed, search = middle, shorter
    return _explain(key, done[failed - 1], search)


def _explain(key: str, culprit: Call, search: _Search) -> Violation:
    way = search.way()
    item = search.deepest.item
    holds = "nothing" if item is None else repr(item.value)
    if item is not None and item.expires is not None:
        holds += f" until {item.expires}"
    due = search.due(search.deepest.done).calls
    told = f"after {_listed(way[-SHOWN:])} " if way else ""
    earlier = f"{len(way) - SHOWN} earlier calls fit; " if len(way) > SHOWN else ""
    sentence = (
        f"key {key!r} cannot be explained once {culprit} has returned: {earlier}"
        f"{told}it holds {holds}, and next can come none of {_listed(due)}"
    )
    return Violation(sentence, (*way[-SHOWN:], *due))


def _listed(calls: Sequence[Call]) -> str:
    return ", ".join(str(call) for call in calls)


def _end(call: Call) -> int:
    assert call.returned is not None, "what is done has returned"
    return call.returned


class _Config(NamedTuple):
    """A point of the search."""

    done: int  # a bit for each call that has taken effect: the known ones first
    item: Item | None
    now: int  # the earliest instant at which all of them can have


class _Due(NamedTuple):
    """The known calls that may come next, and the end of the first of them."""

    calls: tuple[Call, ...]
    bits: tuple[int, ...]
    deadline: float


@dataclass(frozen=True, slots=True)
class _Alike:
    """Calls of unknown outcome that would do the same, the oldest first."""

    call: Call
    bits: list[int]
    invoked: list[int]

    def waiting(self, done: int, deadline: float) -> list[tuple[int, int]]:
        """The bit and the beginning of each that can still take effect by `deadline`."""
        pairs = zip(self.bits, self.invoked, strict=True)
        return [(bit, at) for bit, at in pairs if not done & bit and at <= deadline]


class _Search:
    """The search for an order of the calls of one key."""

    def __init__(self, known: Iterable[Call], maybe: Iterable[Call], slack_ms: int) -> None:
        self.known = sorted(known, key=lambda call: (call.invoked, _end(call)))
        # A read of unknown outcome changes nothing and tells nothing.
        self.maybe = sorted(
            (call for call in maybe if call.kind is not Kind.GET), key=lambda call: call.invoked
        )
        self.slack_ms = slack_ms
        self.all_known = (1 << len(self.known)) - 1
        self.perishable = any(call.expires is not None for call in (*self.known, *self.maybe))
        self.counted = any(call.kind is Kind.INCR for call in (*self.known, *self.maybe))
        self.readers, self.writers = self._index()
        self.alike = self._group()
        began = min((call.invoked for call in (*self.known, *self.maybe)), default=0)
        self.start = _Config(0, None, began)
        self.deepest = self.start
        self.came_from: dict[_Config, _Config] = {}
        self.earliest: dict[tuple[int, Item | None], int] = {}

    @classmethod
    def of_prefix(cls, calls: Iterable[Call], done: Sequence[Call], slack_ms: int) -> _Search:
        """The history as it stood when the last of `done` returned: the others are open."""
        known = set(done)
        end = max(map(_end, done), default=0)
        maybe = (call for call in calls if call not in known and call.invoked <= end)
        return cls(done, maybe, slack_ms)

    def run(self) -> bool:
        """Whether an order was found."""
        waiting = [self.start]
        while waiting:
            config = waiting.pop()
            if config.done & self.all_known == self.all_known:
                return True
            if len(self.came_from) > CONFIGURATIONS_MAX:
                raise UndecidedError(f"not decided after {CONFIGURATIONS_MAX} configurations")
            for step in reversed(self._steps(config)):
                if not self._is_new(step):
                    continue
                self.came_from[step] = config
                if self._depth(step) > self._depth(self.deepest):
                    self.deepest = step
                if not self._is_missed(config.item, step):
                    waiting.append(step)
        return False

    def run_or_give_up(self) -> bool:
        """As `run`, and True where that is not decided."""
        try:
            return self.run()
        except UndecidedError:
            return True

    def _is_new(self, step: _Config) -> bool:
        """Whether nothing at least as good was found before."""
        place = (step.done, self._essence(step))
        if self.earliest.get(place, math.inf) <= step.now:
            return False
        self.earliest[place] = step.now
        return True

    def _is_missed(self, item: Item | None, step: _Config) -> bool:
        """Whether `step` ends a value that a call still must see, and none that is left makes."""
        if self.counted or (item is None and self.perishable):
            return False
        value = _value(item)
        if value == _value(step.item) or not self.readers[value] & ~step.done:
            return False
        return not self.writers[value] & ~step.done

    def _essence(self, config: _Config) -> Item | None:
        """What the item comes to for the calls that are left."""
        item = config.item
        if item is None or (item.expires is not None and item.expires + self.slack_ms < config.now):
            return None
        if self.counted or self.readers[item.value] & ~config.done:
            return item
        return Item(UNSEEN, item.expires)

    def way(self) -> list[Call]:
        """The calls that led to the deepest configuration, in order."""
        calls: list[Call] = []
        config = self.deepest
        while config != self.start:
            before = self.came_from[config]
            # One known call ends a step; those of unknown outcome prepared it.
            last, *prepared = self._calls_of(config.done & ~before.done)
            prepared.sort(key=lambda call: list(Kind).index(call.kind))
            calls += [last, *reversed(prepared)]
            config = before
        return calls[::-1]

    def due(self, done: int) -> _Due:
        """What may come next: whatever began before all that is left has ended."""
        calls: list[Call] = []
        bits: list[int] = []
        deadline = math.inf
        first = (~done & (done + 1)).bit_length() - 1
        for index in range(first, len(self.known)):
            call = self.known[index]
            if call.invoked > deadline:
                break
            if not done >> index & 1:
                calls.append(call)
                bits.append(1 << index)
                deadline = min(deadline, _end(call))
        return _Due(tuple(calls), tuple(bits), deadline)

    def _depth(self, config: _Config) -> int:
        return (config.done & self.all_known).bit_count()

    def _calls_of(self, bits: int) -> list[Call]:
        every = (*self.known, *self.maybe)
        return [call for index, call in enumerate(every) if bits >> index & 1]

    def _index(self) -> tuple[defaultdict[Value | None, int], defaultdict[Value | None, int]]:
        """For each value the bits of the calls that must see it, and of those that make it."""
        readers: defaultdict[Value | None, int] = defaultdict(int)
        writers: defaultdict[Value | None, int] = defaultdict(int)
        for index, call in enumerate((*self.known, *self.maybe)):
            known = index < len(self.known)
            if known and call.kind in (Kind.GET, Kind.ADD):
                readers[call.result] |= 1 << index
            if not (known and _looks(call)):
                writers[call.argument] |= 1 << index
        return readers, writers

    def _group(self) -> dict[Kind, list[_Alike]]:
        seen = {call.result for call in self.known if call.kind in (Kind.GET, Kind.ADD)}
        groups: dict[tuple[Kind, Value | None, int | None], _Alike] = {}
        for index, call in enumerate(self.maybe, start=len(self.known)):
            # Values that nobody saw cannot be told apart.
            value = call.argument if self.counted or call.argument in seen else None
            group = groups.setdefault((call.kind, value, call.expires), _Alike(call, [], []))
            group.bits.append(1 << index)
            group.invoked.append(call.invoked)
        return {
            kind: [group for (each, _, _), group in groups.items() if each is kind] for kind in Kind
        }

    # Steps: a known call, after as few of unknown outcome as it needs.

    def _steps(self, config: _Config) -> list[_Config]:
        due = self.due(config.done)
        direct: list[_Config] = []
        prepared: list[_Config] = []
        for call, bit in zip(due.calls, due.bits, strict=True):
            taken = list(self._take(call, bit, config, due.deadline))
            early = next((at for at in taken if at.now <= max(config.now, call.invoked)), None)
            if early and _looks(call) and early.item == config.item:
                if early.now == config.now or not self.perishable:
                    # It changes nothing and holds nothing up: no other order is better.
                    return [early]
                direct += taken
                continue  # whatever could prepare it can as well come after it
            direct += taken
            for ready in self._prepare(call, config, due.deadline):
                steps = self._take(call, bit, ready, due.deadline)
                prepared += [step for step in steps if not early or step.item != early.item]
        return direct + prepared

    def _take(self, call: Call, bit: int, config: _Config, deadline: float) -> Iterator[_Config]:
        """The configurations that `call` leads to if it is next."""
        for seen, now in self._sights(config.item, max(config.now, call.invoked)):
            if now <= deadline and _agrees(call, seen):
                # Not to see an item at the end of its life does not remove it: until the
                # slack is over another node may see it.
                item = config.item if call.kind is Kind.GET else _after(call, seen)
                yield _Config(config.done | bit, item, now)

    def _sights(self, item: Item | None, now: int) -> Iterator[tuple[Item | None, int]]:
        """What can be seen from `now` on, each with the earliest instant."""
        if item is None or item.expires is None:
            yield item, now
            return
        if now <= item.expires + self.slack_ms:
            yield item, now
        yield None, max(now, item.expires - self.slack_ms)

    def _prepare(self, call: Call, config: _Config, deadline: float) -> Iterator[_Config]:
        """Where calls of unknown outcome can lead to, so that `call` may fit.

        All but the last that overwrites could be left out, so that it is at most one set or
        delete, then one call that makes an item where none is seen, then increments.
        """
        if call.kind is Kind.SET or not self.maybe:
            return
        bases = [config, *self._overwrite(config, deadline)]
        bases += [made for base in bases for made in self._make(base, deadline)]
        yield from bases[1:]
        total = _total_before(call)
        if total is not None and self.alike[Kind.INCR]:
            for base in bases:
                yield from self._count(base, total, deadline)

    def _overwrite(self, config: _Config, deadline: float) -> Iterator[_Config]:
        groups = [*self.alike[Kind.SET], *self.alike[Kind.DELETE]]
        for group in groups:
            for bit, invoked in group.waiting(config.done, deadline)[:1]:
                item = _after(group.call, config.item)
                yield _Config(config.done | bit, item, max(config.now, invoked))

    def _make(self, config: _Config, deadline: float) -> Iterator[_Config]:
        groups = [*self.alike[Kind.ADD], *self.alike[Kind.INCR]]
        for seen, now in self._sights(config.item, config.now) if groups else ():
            if seen is not None:
                continue
            for group in groups:
                for bit, invoked in group.waiting(config.done, deadline)[:1]:
                    yield _Config(config.done | bit, _after(group.call, None), max(now, invoked))

    def _count(self, config: _Config, total: int, deadline: float) -> Iterator[_Config]:
        """Add what increments make `total`, in every way that does."""
        if config.item is None or not isinstance(config.item.value, int):
            return
        groups = [
            (by, waiting)
            for group in self.alike[Kind.INCR]
            if (by := _by(group.call)) and (waiting := group.waiting(config.done, deadline))
        ]
        # The least and the most that the groups from each on can add.
        least, most = [0], [0]
        for by, waiting in reversed(groups):
            least.append(least[-1] + min(0, by * len(waiting)))
            most.append(most[-1] + max(0, by * len(waiting)))
        stack = [(len(groups), total - config.item.value, config.done, config.now)]
        while stack:
            left, gap, done, now = stack.pop()
            if not least[left] <= gap <= most[left]:
                continue
            if left == 0:
                if done != config.done:
                    yield _Config(done, Item(total, config.item.expires), now)
                continue
            by, waiting = groups[len(groups) - left]
            stack.append((left - 1, gap, done, now))
            for bit, invoked in waiting:
                gap, done, now = gap - by, done | bit, max(now, invoked)
                stack.append((left - 1, gap, done, now))


def _value(item: Item | None) -> Value | None:
    return None if item is None else item.value


def _agrees(call: Call, seen: Item | None) -> bool:
    """Whether `call` gives its result where it sees `seen`."""
    value = _value(seen)
    match call.kind:
        case Kind.SET:
            return True
        case Kind.DELETE:
            return call.result is (seen is not None)
        case Kind.INCR:
            return not isinstance(value, str) and (value or 0) + _by(call) == call.result
        case Kind.ADD | Kind.GET:
            return call.result == value


def _after(call: Call, seen: Item | None) -> Item | None:
    """What `call` leaves where it sees `seen`."""
    match call.kind:
        case Kind.GET:
            return seen
        case Kind.DELETE:
            return None
        case Kind.ADD if seen is not None:
            return seen
        case Kind.INCR if seen is not None:
            assert isinstance(seen.value, int)
            return Item(seen.value + _by(call), seen.expires)
        case Kind.SET | Kind.ADD | Kind.INCR:
            assert call.argument is not None, "what makes an item has a value"
            return Item(call.argument, call.expires)


def _looks(call: Call) -> bool:
    """Whether `call`, where it gives its result, changes nothing."""
    refused = call.kind is Kind.ADD and call.result is not None
    return call.kind is Kind.GET or refused or (call.kind is Kind.DELETE and not call.result)


def _by(call: Call) -> int:
    assert isinstance(call.argument, int), "an increment is a number"
    return call.argument


def _total_before(call: Call) -> int | None:
    """The number that `call` must see to give its result."""
    if not isinstance(call.result, int) or call.kind is Kind.DELETE:
        return None
    return call.result - _by(call) if call.kind is Kind.INCR else call.result
