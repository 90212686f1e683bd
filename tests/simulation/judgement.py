"""The end of a run, judged: what clients and subscribers were told, and what the log did.

Where an epoch began with a loss, what was before and what came since are judged each by itself, the
latter from what the new epoch began with. What was under way then is unknown in the one; in the
other it has already happened, or never will.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import msgpack

from peers.core.entry import Dot
from tests.simulation.clients import COUNTERS
from tests.simulation.effects import (
    Changed,
    Revised,
    Told,
    Turn,
    check_evictions,
    check_fills,
    check_names,
    check_revisions,
    check_turns,
)
from tests.simulation.following import Held, States, carry_out, check_stream, concerns
from tests.simulation.histories import (
    Denial,
    Event,
    Grant,
    Increment,
    Outcome,
    Violation,
    check_counter,
    check_locks,
    check_session,
)
from tests.simulation.ledger import Answer, Ledger
from tests.simulation.linearizability import Call, Kind, check_linearizable
from tests.simulation.lockers import LOCKS
from tests.simulation.node import Node
from tests.simulation.reference import Loss
from tests.simulation.sessions import Counted, Records
from tests.simulation.sources import FILLED, REVISED
from tests.simulation.subscribers import Stream, Subscriber
from tests.simulation.world import World
from tlru.engine.items import Item, is_reserved
from tlru.engine.machine import Machine
from tlru.engine.operations import Clear, Delete, Evict, GiveUpWait, Lock, Renew, Set, Unlock

Verdict = tuple[int, Violation | None]  # the invariant's number, and how it was broken


def judge(
    records: Records, world: World, subscribers: Iterable[Subscriber], nodes: Iterable[Node]
) -> Iterator[Verdict]:
    """Everything that can be judged once a cluster has come to rest."""
    losses = world.invariants.losses
    machine = next(iter(nodes)).machine
    ends = [*(loss.before.truth for loss in losses), machine]
    ledgers = [*(loss.before.ledger for loss in losses), world.invariants.ledger]
    for part, (end, ledger) in enumerate(zip(ends, ledgers, strict=True)):
        yield from _judge_clients(records, losses, part, end)
        yield from _judge_log(records.space, ledger, end)
        yield 10, check_events(ledger, end)
    for subscriber in subscribers:
        for stream in subscriber.streams:
            yield 10, judge_stream(subscriber, stream)
    for loss, ledger in zip(losses, ledgers[1:], strict=True):
        yield 14, check_fences(loss.before.ledger.answers, ledger.answers, loss.begins)
    for session, seen in records.observations.items():
        yield 7, check_session(session, seen)
    yield 4, check_digest(machine.items.store.entries.values())


def _judge_clients(
    records: Records, losses: Sequence[Loss], part: int, end: Machine
) -> Iterator[Verdict]:
    """What clients were told in one part of a run, by what was there at its end."""
    since = losses[part - 1] if part else None
    yield 8, check_linearizable(list(calls_of(records.calls, losses, part)))
    for counter in COUNTERS:
        key = records.space + counter
        item = end.read(key, end.at)
        final = None if item is None else msgpack.unpackb(item.value)
        first = 0 if since is None else msgpack.unpackb(since.values.get(key, msgpack.packb(0)))
        mine = [each for each in records.increments if each.counter == counter]
        yield 6, check_counter(counter, list(increments_of(mine, part, first)), final)


def _judge_log(space: str, ledger: Ledger, machine: Machine) -> Iterator[Verdict]:
    """What one history of the log led to."""
    yield 6, check_names(list(named(ledger.answers)))
    yield 14, check_locks(*holds(ledger.answers))
    for lock in LOCKS:
        yield 14, check_turns(lock, turns(lock, ledger.answers))
    memory_ms = machine.settings["tombstone_ms"]
    for key in REVISED:
        key = space + key
        yield 15, check_revisions(key, list(revisions(key, ledger.answers)), memory_ms)
    for key in FILLED:
        key = space + key
        yield 15, check_fills(key, list(changes(key, ledger.answers)))
    effects = [Event(each.version, each.key, each.type.value) for each in ledger.events]
    yield 16, check_evictions(evictions(ledger.answers), effects)


# -- subscribers


def judge_stream(subscriber: Subscriber, stream: Stream) -> Violation | None:
    """What a subscriber was told in one epoch, by what the log of it made."""
    made = [e for e in stream.reference.ledger.events if concerns(subscriber.pattern, e)]
    last = stream is subscriber.streams[-1]
    return check_stream(
        subscriber.name, stream.told, made, snapshot=subscriber.snapshot, whole=last
    )


def check_events(ledger: Ledger, end: Machine) -> Violation | None:
    """Whether who is told of all events knows all that there is."""
    known: States = {}
    carry_out((event for event in ledger.events if not is_reserved(event.key)), known)
    items = end.items.store.entries
    there = {key: Held.of_item(item) for key, item in items.items() if not is_reserved(key)}
    if known != there:
        keys = [k for k in sorted({*known, *there}) if known.get(k) != there.get(k)]
        return Violation(f"the events leave {keys[0]!r} as {known.get(keys[0])}", tuple(keys))
    return None


# -- the parts of a run


def calls_of(calls: Iterable[Call], losses: Sequence[Loss], part: int) -> Iterator[Call]:
    """The calls that were made in a part; before them, what was there when it began."""
    begins = losses[part - 1].at if part else 0
    ends = losses[part].at if part < len(losses) else None
    if part:
        for number, (key, value) in enumerate(sorted(losses[part - 1].values.items())):
            if not key.endswith(COUNTERS):
                was = msgpack.unpackb(value)
                at = begins - 1
                yield Call("before", number, Kind.SET, key, was, at, at, Outcome.DONE)
    for call in calls:
        if begins <= call.invoked and (ends is None or call.invoked < ends):
            yield call


def increments_of(mine: Iterable[Counted], part: int, first: int) -> Iterator[Increment]:
    """What becomes of increments in a part that begins with a sum of `first`."""
    if first:
        yield Increment(first, Outcome.DONE, first)
    for each in mine:
        increment = each.increment
        if not each.asked <= part <= each.told:
            continue
        if part < each.told:
            yield replace(increment, outcome=Outcome.UNKNOWN, result=None)
        elif increment.result is None or increment.result > first:
            yield increment  # else it is in the sum that was there


def check_fences(
    before: Iterable[Answer], after: Iterable[Answer], begins: int
) -> Violation | None:
    """Whether fences grow over a loss: of who had a lock before nobody may know any more."""
    highest: dict[str, int] = {}
    for _, lock, fence in fences(before):
        highest[lock] = max(fence, highest.get(lock, 0))
    for index, lock, fence in fences(after):
        if index > begins and fence <= highest.get(lock, 0):
            before_it = f"after {highest[lock]} in the epoch before"
            return Violation(f"lock {lock!r}: fence {fence} at {index}, {before_it}")
    return None


def fences(answers: Iterable[Answer]) -> Iterator[tuple[int, str, int]]:
    """Where somebody got which lock, and his fence."""
    for each in done(answers):
        if isinstance(each.operation, Lock) and each.result["held"]:
            yield each.index, each.operation.name, each.result["fence"]


# -- from the log to what the checkers take


def done(answers: Iterable[Answer]) -> Iterator[Answer]:
    """What was done: refusals left out, and of what is remembered by a name only the first."""
    names: set[tuple[str, int]] = set()
    for answer in answers:
        if answer.refused:
            continue
        if answer.once is not None and not _is_denial(answer):
            name = (answer.once.session, answer.once.n)
            if name in names:
                continue
            names.add(name)
        yield answer


def _is_denial(answer: Answer) -> bool:
    """Whether it says that somebody has no lock: that is not remembered, he may ask again."""
    return isinstance(answer.operation, Lock) and not answer.result["held"]


def named(answers: Iterable[Answer]) -> Iterator[Told]:
    """All results that are remembered by the names of operations."""
    for answer in answers:
        if answer.once is not None and not answer.refused and not _is_denial(answer):
            name = (answer.once.session, answer.once.n)
            yield Told(name, answer.index, answer.result)


def holds(answers: Iterable[Answer]) -> tuple[list[Grant], list[Denial]]:
    """Who held each lock, and who was denied it."""
    current: dict[str, Grant] = {}  # by lock
    over: list[Grant] = []
    denials: list[Denial] = []

    def grant(lock: str, who: str, fence: int, at: int, ends: int) -> None:
        if lock in current:
            over.append(current[lock])
        current[lock] = Grant(lock, who, fence, at, ends)

    for each in done(answers):
        match each.operation:
            case Lock(lock, _, _) if each.result["held"]:
                fence, ttl = each.result["fence"], each.result["ttl"]
                grant(lock, each.asker, fence, each.at, each.at + ttl)
            case Lock(lock, _, 0):
                denials.append(Denial(lock, each.at))
            case Lock():
                pass  # it waited in vain
            case Renew(lock, fence, ttl) if each.result["held"]:
                held = current.get(lock)
                if held is not None and held.fence == fence and each.at < held.until:
                    current[lock] = replace(held, expires=each.at + ttl)
                else:  # a grant like any other, which its fence gives away
                    grant(lock, each.asker, fence, each.at, each.at + ttl)
            case Unlock(lock, fence) if each.result["released"]:
                held = current.get(lock)
                if held is None or held.fence != fence or each.at >= held.until:
                    grant(lock, each.asker, fence, each.at, each.at)
                current[lock] = replace(current[lock], released=each.at)
            case Renew(lock, fence, _) | Unlock(lock, fence):
                denials.append(Denial(lock, each.at, fence))
            case _:
                pass
    return [*over, *current.values()], denials


def turns(lock: str, answers: Iterable[Answer]) -> list[Turn]:
    """When each unnamed request for a lock had it, or left the queue."""
    of: dict[Dot, Turn] = {}
    for each in answers:
        match each.operation:
            case Lock(name=name) if name == lock and each.once is None and not each.refused:
                turn = of.setdefault(each.dot, Turn(each.asked))
                if each.result["held"]:
                    of[each.dot] = replace(turn, asked=each.asked, had=each.index)
            case GiveUpWait(name, incarnation, sequence) if name == lock:
                waiting = Dot(each.dot.origin, incarnation, sequence)
                turn = of.setdefault(waiting, Turn(0))
                if not each.refused and each.result["gave_up"]:
                    of[waiting] = replace(turn, gave_up=each.index)
            case _:
                pass
    return list(of.values())


def revisions(key: str, answers: Iterable[Answer]) -> Iterator[Revised]:
    """What became of the writes to a key with revisions."""
    for each in done(answers):
        match each.operation:
            case Set(key=name, rev=int(rev)) if name == key:
                yield Revised(each.at, rev, each.result["applied"])
            case Delete(keys=(name,), rev=rev) if name == key:
                assert rev is None or isinstance(rev, int)
                # A refused one says what is there, if anything; the other its own version.
                applied = each.result.get("version") == each.index and "value" not in each.result
                yield Revised(each.at, rev, applied, deletes=True)
            case _:
                pass


def changes(key: str, answers: Iterable[Answer]) -> Iterator[Changed]:
    """What changed a key, fills among it."""
    for each in done(answers):
        match each.operation:
            case Set(key=name, condition=condition) if name == key and each.result["applied"]:
                yield Changed(each.index, None if condition is None else condition[1])
            case Delete(keys=keys) if key in keys:
                yield Changed(each.index)
            case Clear(prefix) if key.startswith(prefix) and not is_reserved(key):
                yield Changed(each.index)
            case _:
                pass


def evictions(answers: Iterable[Answer]) -> dict[int, tuple[tuple[str, int], ...]]:
    """The victims of each order to evict, by its index."""
    return {
        each.index: each.operation.victims
        for each in answers
        if isinstance(each.operation, Evict) and not each.refused
    }


# -- the digest


def check_digest(items: Iterable[Item]) -> Violation | None:
    """Whether the digest tells two items apart, whatever it is that differs."""
    for item in islice(items, 3):
        for place, value in enumerate(_another(item)):
            row = list(item.fields())
            row[place] = value
            if Item(*row).hash == item.hash:
                what = f"the digest of {item.key!r} is the same with {value!r} as field {place}"
                return Violation(what, (item,))
    return None


def _another(item: Item) -> tuple[object, ...]:
    """Other values for all that an item has, in the order of `fields`."""
    moments = (item.version, item.changed, item.at, item.created, item.expires or 0)
    return (
        item.key + "x",
        item.value + b"x",
        *(each + 1 for each in moments),
        "another",
        "another",
    )
