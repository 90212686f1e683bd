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
from tlru.engine import once
from tlru.engine.operations import Settings
from tlru.engine.settings import DEFAULTS

LONG_MS = 120_000


@dataclass(frozen=True, slots=True)
class Workload:
    """What is not the same in every run."""

    max_entries: int | None = None  # a budget, so that items are evicted all the time
    once_ms: int = LONG_MS
    once_records: int = once.RECORDS_MAX
    tombstone_ms: int = LONG_MS
    events_kept: int | None = None  # by each node, for subscribers

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
        """One to everything, one to a part."""
        prefixes = {"all": "", "part": "b" if self.max_entries else "f"}
        return [
            Subscriber(world, name, prefix, random.getrandbits(32), world.counts)
            for name, prefix in prefixes.items()
        ]
