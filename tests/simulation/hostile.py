"""A member that means harm: it says what was said in its cluster, with something changed in it.

python -m tests.simulation.hostile --minutes N: runs from one seed after another. In each a cluster
lives through faults while one of its nodes also sends changed messages, and old ones again, which
its receivers take as the shell does: what nobody can mean is refused. Such a member can do what a
leader or a voter can, so a run says nothing of what clients see. What must hold in every node: no
step of its core fails, and what it has committed it keeps (`Watched`).
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from random import Random
from typing import Any

from peers.core.entry import Batch, Dot, Entry
from peers.core.membership import Membership, Role
from peers.core.messages import Append, Envelope, NewerLog, Removed
from peers.core.outcomes import Ack
from peers.core.replica import Replica
from peers.core.sound import TAKEN_BLINDLY_MAX, why_unsound
from peers.core.state import Part
from peers.core.timing import Bounds
from peers.core.vector import Vector
from peers.errors import RefusedError, WireError
from peers.wire import decode, encode, pack_batch
from peers.wire_fields import INT_MAX
from tests.simulation.node import Node
from tests.simulation.world import World
from tlru.engine.operations import Set
from tlru.engine.operations import encode as encode_operation

TERM_MAX = TAKEN_BLINDLY_MAX + TAKEN_BLINDLY_MAX // 2  # in no run do terms come near what ends them
KEPT = 30  # of each kind of message: one of them is changed
WINDOW = Bounds(window_entries=40, pieces=2)


class Watched:
    """What one node has committed in this life, and what must not become of it."""

    def __init__(self) -> None:
        self._life: tuple[object, ...] = ()
        self._commit = 0
        self._terms: dict[int, int] = {}  # of the ends of batches that are committed

    def look(self, replica: Replica) -> None:
        """Assert that the log is whole, that commits do not go back, nor change, and that there are
        terms left."""
        state = replica.state
        life = (state.epoch, state.birth, state.incarnation)
        if life != self._life:
            self._life, self._commit, self._terms = life, 0, {}
        state.log.check()
        assert self._commit <= state.commit <= state.log.last.index, "a commit goes back"
        assert state.term <= TERM_MAX, "terms are used up"
        for batch in state.log.between(state.log.base.position.index, state.commit):
            last = batch.last
            kept = self._terms.setdefault(last.index, last.term)
            assert kept == last.term, f"what is committed at {last.index} has changed"
        self._commit = state.commit


def _with(record: Any, name: str, value: Any) -> Any:
    return record._replace(**{name: value})


class Changer:
    """Changes one thing in a message, or more, as somebody would who knows what matters."""

    def __init__(self, random: Random, replica: Replica, now: int) -> None:
        self._random, self._replica, self._now = random, replica, now

    def changed(self, envelope: Envelope) -> Envelope:
        """The same with a part of it changed; who sends it and whom it is for stay."""
        random = self._random
        if random.random() < 0.1:
            part = random.choice(["incarnation", "epoch", "birth", "life"])
            envelope = _with(envelope, part, self._value(getattr(envelope, part)))
        message: Any = envelope.message
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            message = self._record(message)
        return envelope._replace(message=message)

    def _record(self, record: Any) -> Any:
        """A record with one field changed."""
        if is_dataclass(record):
            names = [field.name for field in fields(record) if field.init]
        else:
            names = list(record._fields)
        if not names:
            return record
        name = self._random.choice(names)
        value = self._value(getattr(record, name))
        if is_dataclass(record):
            return replace(record, **{name: value})  # type: ignore[type-var]
        return _with(record, name, value)

    def _value(self, value: Any) -> Any:
        random = self._random
        if isinstance(value, Role):
            return random.choice(list(Role))
        match value:
            case bool():
                return not value
            case int():
                return self._number(value)
            case str():
                return random.choice([*self._texts(), value[:-1]])
            case bytes():
                return random.choice([b"", value[:-1], random.randbytes(8), value + b"\0"])
            case None:
                return random.choice([None, self._number(0)])
            case Batch():
                return self._batch(value)
            case tuple() if not hasattr(value, "_fields"):
                return self._several(value)
            case _:
                return self._record(value)

    def _number(self, value: int) -> int:
        state = self._replica.state
        log = state.log
        found = self._random.choice(
            [
                *(value + 1, value - 1, value + 2, 2 * value, 0, 1, INT_MAX, INT_MAX - 1),
                *(state.term, state.term + 1, log.last.index, log.last.index + 1, state.commit),
                *(state.commit + 1, state.commit - 1, log.base.position.index, log.last_at),
                *(state.incarnation, self._replica.forwarding.sequence + 1, state.agreed),
                *(1 << 62, 1 << 44, 1 << 30, state.term + (1 << 29), self._random.getrandbits(40)),
                state.clock.running(self._now) + self._random.choice([10, 1_500, 1 << 40]),
            ]
        )
        return min(max(found, 0), INT_MAX)

    def _texts(self) -> list[str]:
        state = self._replica.state
        members = state.membership.members
        names = [text for member in members for text in (member.id, member.birth)]
        return [*names, "", "nobody", state.epoch.random, *state.ancestors]

    def _several(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        random = self._random
        if not values:
            return values
        place = random.randrange(len(values))
        before, there, after = values[:place], values[place], values[place + 1 :]
        what = random.randrange(5)
        if what == 0:
            return (*before, *after)
        if what == 1:
            return (*before, there, there, *after)
        if what == 2:
            return values[::-1]
        return (*before, self._value(there), *after)

    def _batch(self, batch: Batch) -> Batch:
        random = self._random
        entries, vector = list(batch.entries), batch.vector
        if random.random() < 0.25:
            vector = self._several(vector)
        elif random.random() < 0.3:
            first = self._number(batch.first)
            entries = [entry._replace(index=first + n) for n, entry in enumerate(entries)]
        elif random.random() < 0.2:
            name = random.choice(["term", "at"])
            value = self._number(getattr(entries[0], name))
            entries = [_with(entry, name, value) for entry in entries]
        else:
            place = random.randrange(len(entries))
            entries[place] = self._entry(entries[place])
        return pack_batch(entries, vector)

    def _entry(self, entry: Entry) -> Entry:
        changed: Entry = self._record(entry)
        if changed.membership is None and entry.dot is None and self._random.random() < 0.3:
            membership = self._replica.state.membership
            changed = changed._replace(membership=self._record(membership), operation=b"")
        return changed


def usurped(random: Random, replica: Replica) -> Append | NewerLog:
    """Entries that follow what a node has, but for what chance has put into them, from one who
    says that it leads, or has the newer log."""
    state = replica.state
    log = state.log
    ends = [log.base.position, *(batch.last for batch in log.between(state.commit, log.last.index))]
    previous = random.choice([log.last, log.last, random.choice(ends)])
    base = log.base_at(previous.index)
    assert base is not None, "a batch ends there"
    vector, term = Vector(base.vector), state.term + random.choice([0, 1, 1])
    members = [member.origin for member in state.membership.members] or [state.origin]
    at, end, batches = base.at, previous.index, list[Batch]()
    for _ in range(random.choice([1, 1, 2, 3])):
        before, entries = tuple(vector.places()), list[Entry]()
        for _ in range(random.choice([1, 2, 5])):
            origin = random.choice(members)
            life, sequence = vector.of(origin)
            dot: Dot | None = None  # as a leader's own
            if random.random() < 0.7:
                dot = Dot(origin, life, sequence + 1)
                vector.admit(dot)
            operation = b"" if dot is None else random.choice([b"", b"junk", random.randbytes(6)])
            entries.append(Entry(end + 1, max(term, previous.term), at, dot, None, operation))
            end += 1
        batches.append(pack_batch(entries, before))
    if state.part is Part.CANDIDATE and random.random() < 0.7:
        return NewerLog(term, previous, tuple(batches))
    commit = random.choice([state.commit, previous.index, end, end - 1, end + 5])
    return Append(term, previous, tuple(batches), commit, 0, commit, at, random.getrandbits(40), 1)


class Unwatched:
    """In the place of the invariants of a world in which nobody keeps the protocol."""

    def __init__(self, membership: Membership) -> None:
        self.membership = membership

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Attack:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"attack {seed}")
        self.counts: Counter[str] = Counter()
        chance = self.random
        self.world = World(
            seed,
            chance.choice([2, 3, 3, 3, 5]),
            bounds=WINDOW,
            snapshot_every=chance.choice([None, 10]),
            volatile=chance.random() < 0.3,
            forming=chance.random() < 0.1,
            tells_of_links=chance.random() < 0.5,
        )
        unwatched: Any = Unwatched(self.world.membership)
        self.world.invariants = unwatched
        self.watched: dict[str, Watched] = {}
        self.trace: dict[type, deque[Envelope]] = {}  # what was said, by its kind
        self.evil = chance.choice(sorted(self.world.nodes))
        self.last: tuple[str, Envelope] | None = None
        for node in self.world.nodes.values():
            self._take_over(node, unwatched)

    def _take_over(self, node: Node, observer: Any) -> None:
        """Have it take messages as the shell does, and be looked at afterwards."""
        node._observer = observer
        self.watched[node.id] = Watched()
        hear: Any = lambda envelope, now: self.deliver(node, envelope, now)  # noqa: E731
        node.receive = hear  # type: ignore[method-assign]

    def deliver(self, node: Node, envelope: Envelope, now: int) -> None:
        """A message comes, by a link with its sender."""
        kept = self.trace.setdefault(type(envelope.message), deque(maxlen=KEPT))
        kept.append(envelope)
        node.now = now
        moment = node.clock.read(now)
        if why_unsound(envelope, node.replica, moment) is not None:
            self.counts["refused"] += 1
            self.counts[
                f"refused of {'evil' if envelope.sender.id == self.evil else 'others'}"
            ] += 1
            return
        self.last = (node.id, envelope)
        node._carry_out(node.replica.receive(envelope, moment))
        self.watched[node.id].look(node.replica)

    def go(self, moments: int = 40) -> None:
        """All of it. Whatever a node's step raises comes through."""
        world = self.world
        world.run(3_000)
        for _ in range(moments):
            world.run(self.random.choice([1, 20, 200, 700]))
            self._use()
            self._disturb()
            for _ in range(self.random.choice([1, 1, 3, 10])):
                self._strike()
        world.run(2_000)

    def _use(self) -> None:
        for node in self.world.up():
            if self.random.random() < 0.5:
                operation = encode_operation(Set(f"k{self.random.randrange(9)}", b"\x01"))
                rows = [(operation, None, self.random.choice(list(Ack)))]
                try:
                    _, output = node.replica.propose(rows, node.clock.read(self.world.now))
                except RefusedError:
                    continue
                node._carry_out(output)

    def _disturb(self) -> None:
        world, chance = self.world, self.random
        node = world.nodes[chance.choice(sorted(world.nodes))]
        others = {other for other in world.nodes if other != node.id}
        match chance.randrange(14):
            case 0 if node.up:
                world.crash(node.id, lose_log=chance.random() < 0.3)
            case 1:
                world.network.cut({node.id}, others, both=chance.random() < 0.7)
            case 2 | 3:
                world.network.heal()
            case _:
                for other in sorted(world.nodes):
                    world.restart(other)

    def _kind(self) -> type:
        """Every kind as often as another, but for what ends a node's part for good."""
        kinds = sorted(self.trace, key=lambda kind: kind.__name__)
        often = [kind for kind in kinds if kind is not Removed] or kinds
        return self.random.choice(kinds if self.random.random() < 0.05 else often)

    def _strike(self) -> None:
        """The member that means harm says something to another."""
        world, chance = self.world, self.random
        evil = world.nodes[self.evil]
        targets = [node for node in world.up() if node.id != self.evil]
        if not targets or not self.trace:
            return
        node = chance.choice(targets)
        moment = node.clock.read(world.now)
        old = chance.choice(self.trace[self._kind()])
        state = node.replica.state
        sent = old._replace(sender=evil.origin, to=node.id)
        if chance.random() < 0.3:
            sent = sent._replace(message=usurped(chance, node.replica))
        if chance.random() < 0.85:
            sent = sent._replace(epoch=state.epoch, birth=state.birth, life=state.incarnation)
            sent = sent._replace(incarnation=evil.disk.promise.incarnation)
        if chance.random() < 0.8:
            try:
                sent = Changer(chance, node.replica, moment).changed(sent)
                sent = decode(encode(sent))
            except (WireError, AssertionError, AttributeError, TypeError, ValueError):
                self.counts["not to be written"] += 1
                return
        if sent.life > state.incarnation:
            return  # such a word starts a life over, which is another story
        self.counts["struck"] += 1
        self.counts[type(sent.message).__name__] += 1
        self.deliver(node, sent, world.now)


def main() -> int:
    """Runs from one seed after another, for so long; what fails is shown, once a kind."""
    parser = argparse.ArgumentParser("tests.simulation.hostile", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    args = parser.parse_args()
    end, seed, counts = time.monotonic() + 60 * args.minutes, args.first, Counter[str]()
    found: Counter[str] = Counter()
    while time.monotonic() < end:
        attack = Attack(seed)
        try:
            attack.go()
        except Exception as exc:
            where = traceback.extract_tb(exc.__traceback__)[-1]
            kind = f"{type(exc).__name__} at {where.filename}:{where.lineno}"
            if not found[kind]:
                print(f"seed {seed}: {kind}: {exc}\n  after {attack.last}", flush=True)
            found[kind] += 1
        counts.update(attack.counts)
        seed += 1
    print(f"{seed - args.first} runs; {dict(counts)}; {dict(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
