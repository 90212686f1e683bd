"""The end of a run, judged: what clients and subscribers were told, and what the log did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from tests.simulation.histories import (
    Denial,
    Grant,
    Violation,
    check_counter,
    check_feed,
    check_locks,
    check_session,
)
from tests.simulation.ledger import Answer, Ledger
from tests.simulation.linearizability import check_linearizable
from tests.simulation.lockers import LOCKS
from tests.simulation.node import Node
from tests.simulation.sessions import Records
from tests.simulation.sources import FILLED, REVISED
from tests.simulation.subscribers import Subscriber, as_told, belongs
from tlru.engine.items import Item, is_reserved
from tlru.engine.operations import Clear, Delete, Evict, GiveUpWait, Lock, Renew, Set, Unlock

Verdict = tuple[int, Violation | None]  # the invariant's number, and how it was broken


def judge(
    records: Records, ledger: Ledger, subscribers: Iterable[Subscriber], nodes: Iterable[Node]
) -> Iterator[Verdict]:
    """Everything that can be judged once a cluster has come to rest."""
    machine = next(iter(nodes)).machine
    yield 8, check_linearizable(records.calls)
    for session, seen in records.observations.items():
        yield 7, check_session(session, seen)
    for counter in COUNTERS:
        item = machine.read(records.space + counter, machine.at)
        final = None if item is None else msgpack.unpackb(item.value)
        mine = [each for name, each in records.increments if name == counter]
        yield 6, check_counter(counter, mine, final)
    yield 6, check_names(list(named(ledger.answers)))
    yield 4, check_digest(machine.items.store.entries.values())
    yield 14, check_locks(*holds(ledger.answers))
    for lock in LOCKS:
        yield 14, check_turns(lock, turns(lock, ledger.answers))
    memory_ms = machine.settings["tombstone_ms"]
    for key in REVISED:
        key = records.space + key
        yield 15, check_revisions(key, list(revisions(key, ledger.answers)), memory_ms)
    for key in FILLED:
        key = records.space + key
        yield 15, check_fills(key, list(changes(key, ledger.answers)))
    effects = [as_told(event) for event in ledger.events]
    yield 16, check_evictions(evictions(ledger.answers), effects)
    for subscriber in subscribers:
        made = [as_told(event) for event in ledger.events if belongs(event, subscriber.prefix)]
        yield 10, check_feed(subscriber.name, 0, subscriber.received, made)


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
