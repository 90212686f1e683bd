"""Who uses a simulated cluster, and how it is set: drawn from a run's seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulation.clients import Client
from tests.simulation.crowds import BUDGETS, Crowd
from tests.simulation.lockers import Locker
from tests.simulation.sessions import Records, Session
from tests.simulation.sources import Source
from tests.simulation.subscribers import Subscriber
from tests.simulation.world import World
from tlru.engine import feeds, once
from tlru.engine.operations import Settings
from tlru.engine.patterns import Pattern
from tlru.engine.settings import DEFAULTS

LONG_MS = 120_000

# What subscribers watch: of the crowd's keys, and of everybody else's.
CROWDED = ("b*", "b1*", "b3", "b", "c*", "b10", "*")
PLAIN = ("k*", "t*", "f*", "f0", "r*", "n0", "t1", "#*", "#news", "#n*", "fx*")


@dataclass(frozen=True, slots=True)
class Workload:
    """What is not the same in every run."""

    max_entries: int | None = None  # a budget, so that items are evicted all the time
    once_ms: int = LONG_MS
    once_records: int = once.RECORDS_MAX
    tombstone_ms: int = LONG_MS
    events_kept: int | None = None  # by each node, for subscribers
    looks_a_step: int = feeds.LOOKS_A_STEP  # for one subscriber that is behind

    @classmethod
    def drawn(cls, seed: int) -> Workload:
        """That of a run."""
        random = Random(f"workload {seed}")
        small = random.random() < 0.25
        return cls(
            max_entries=random.choice([None, None, *BUDGETS]),
            once_ms=1_500 if small else LONG_MS,
            once_records=random.choice([24, once.RECORDS_MAX]) if small else once.RECORDS_MAX,
            tombstone_ms=random.choice([400, 400, LONG_MS]),
            events_kept=random.choice([None, 8]),
            looks_a_step=random.choice([3, 40, feeds.LOOKS_A_STEP]),
        )

    @property
    def space(self) -> str:
        """What stands before the keys that must not be evicted: reserved ones are not."""
        return "" if self.max_entries is None else "_tlru/"

    def settings(self) -> Settings:
        """What the cluster has to be told."""
        wanted = {name: getattr(self, name) for name in ("max_entries", "once_ms", "tombstone_ms")}
        return Settings(tuple((n, value) for n, value in wanted.items() if value != DEFAULTS[n]))

    def sessions(self, world: World, random: Random, records: Records) -> list[Session]:
        """All clients, at work from now on."""
        # Two write to the crowded keys, so that one changes what is about to go for the other.
        kinds: list[tuple[str, type[Session]]] = [("c", Client)] * 2 + [("l", Locker)] * 3
        kinds += [("c", Client), ("s", Source)] if self.max_entries is None else [("b", Crowd)] * 2
        return [
            kind(world, f"{letter}{number}", random.getrandbits(32), records)
            for number, (letter, kind) in enumerate(kinds)
        ]

    def subscribers(self, world: World, random: Random) -> list[Subscriber]:
        """Several to everything, others to a part: with and without a snapshot, folded or not."""
        chance = Random(random.getrandbits(64))  # of their own, so that they move nobody else's
        always = ["*", "*", "b*"] if self.max_entries else ["*", "*", "#*"]
        wanted = always + chance.sample(CROWDED if self.max_entries else PLAIN, 4)
        return [
            Subscriber(
                world,
                f"{number} to {pattern}",
                Pattern.parse(pattern),
                chance.getrandbits(32),
                snapshot=chance.random() < 0.5,
                fold=chance.random() < 0.5,
                slow=chance.random() < 0.5,
            )
            for number, pattern in enumerate(wanted)
        ]
