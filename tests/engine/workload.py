"""Entries of every kind, drawn from a seed: the same in every process, whatever its hash seed.

Run as a program it prints what a machine makes of them, for comparing two processes.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator

import msgpack

from peers.core.entry import Dot, Entry, Origin
from tlru.engine.machine import Applied, Machine
from tlru.engine.operations import (
    NAMEABLE,
    Checkpoint,
    Clear,
    Delete,
    Evict,
    Expire,
    GiveUpWait,
    Incr,
    Lock,
    Once,
    Operation,
    Publish,
    Renew,
    Rev,
    Set,
    SetMany,
    Settings,
    Touch,
    Unlock,
    encode,
)

START_MS = 1_700_000_000_000
ORIGINS = [Origin(name, f"birth-{name}") for name in "abc"]


class Workload:
    """Draws entries; it looks at nothing but its own dice."""

    def __init__(self, seed: int, keys: int = 40) -> None:
        self.dice = random.Random(seed)
        self.keys = [f"{prefix}{n}" for prefix in ("k", "user:", "ü") for n in range(keys // 3)]
        self.keys += ["_tlru/probe", "_tlru/x", "_", "~"]
        self.at = START_MS
        self.index = 0
        self.lives = dict.fromkeys(ORIGINS, (1, 0))
        # Guesses at what a machine would know, so that evictions and unlocks succeed now and then.
        self.changed: dict[str, int] = {}
        self.fences: dict[str, int] = {}
        self.asked: dict[Origin, tuple[str, int, int]] = dict.fromkeys(ORIGINS, ("", 0, 0))

    def entries(self, count: int) -> list[Entry]:
        """The next entries."""
        return [self._entry() for _ in range(count)]

    def _entry(self) -> Entry:
        dice = self.dice
        self.at += dice.choice([0] * 12 + [1] * 6 + [3, 20, 400, 4_000])
        self.index += 1
        origin = dice.choice(ORIGINS)
        incarnation, sequence = self.lives[origin]
        if dice.random() < 0.01:
            incarnation, sequence = incarnation + 1, 0
        if dice.random() < 0.03 and sequence:  # a dot that comes again
            return self._made(Dot(origin, incarnation, sequence), encode(self._operation(origin)))
        self.lives[origin] = (incarnation, sequence + 1)
        dot = Dot(origin, incarnation, sequence + 1)
        if dice.random() < 0.01:
            return self._made(dot, b"")
        operation = self._operation(origin)
        if isinstance(operation, Lock):
            self.asked[origin] = (operation.name, incarnation, sequence + 1)
        named = isinstance(operation, NAMEABLE) and dice.random() < 0.4
        return self._made(dot, encode(operation, self._once() if named else None))

    def _made(self, dot: Dot, data: bytes) -> Entry:
        until = self.dice.choice([None, None, None, self.at, self.at + 5_000, self.at - 1])
        return Entry(self.index, 1, self.at, dot, until, data)

    def _once(self) -> Once:
        n = self.dice.randrange(40)
        done = n - self.dice.randrange(1, 9) if self.dice.random() < 0.4 else None
        return Once(f"s{self.dice.randrange(6)}", n, self.at - self.dice.randrange(4_000), done)

    def _key(self) -> str:
        return self.dice.choice(self.keys)

    def _life(self) -> int | None:
        return self.dice.choice([None, 1, 50, 2_000, 30_000, 200_000])

    def _rev(self) -> Rev | None:
        return self.dice.choice([None, None, self.dice.randrange(99), f"r{self.dice.randrange(9)}"])

    def _value(self) -> bytes:
        if self.dice.random() < 0.5:
            return bytes(msgpack.packb(self.dice.randrange(-5, 300)))
        return self.dice.randbytes(self.dice.choice([0, 1, 30, 700]))

    def _condition(self) -> tuple[object, ...] | None:
        pos = max(0, self.index - self.dice.randrange(30))
        return self.dice.choice(
            [None, None, None, ("absent",), ("present",), ("version", pos), ("unchanged", pos)]
        )

    def _operation(self, origin: Origin) -> Operation:
        dice = self.dice
        lock = f"lock{dice.randrange(4)}"
        fence = self.fences.get(lock, 0)
        match dice.choices(range(15), (30, 6, 12, 8, 8, 2, 3, 12, 4, 3, 3, 6, 4, 2, 1))[0]:
            case 0:
                keep = dice.random() < 0.1
                life = None if keep else self._life()
                key, condition, old = self._key(), self._condition(), dice.random() < 0.2
                self.changed[key] = self.index
                return Set(key, self._value(), life, keep, condition, self._rev(), None, old)
            case 1:
                keys = dice.sample(self.keys, dice.randrange(1, 6))
                self.changed.update(dict.fromkeys(keys, self.index))
                return SetMany(
                    tuple((key, self._value(), self._life(), self._rev(), "a/b") for key in keys)
                )
            case 2 if dice.random() < 0.5:
                return Delete((self._key(),), self._condition(), self._rev())
            case 2:
                return Delete(tuple(dice.sample(self.keys, dice.randrange(1, 8))))
            case 3:
                key = self._key()
                self.changed[key] = self.index
                return Touch(key, self._life())
            case 4:
                return Incr(self._key(), dice.randrange(-9, 9), self._life())
            case 5:
                return Clear(dice.choice(["", "k1", "k1", "user:1", "ü", "_", "_tlru/", "none"]))
            case 6:
                return Publish(self._key(), self._value())
            case 7:
                self.fences[lock] = self.at
                return Lock(lock, dice.randrange(1, 20_000), dice.choice([0, 10, 5_000, 400_000]))
            case 8:
                return Unlock(lock, fence)
            case 9:
                return Renew(lock, fence, 9_000)
            case 10:
                return GiveUpWait(*self.asked[origin])
            case 11:
                return Expire(self.at)
            case 12:
                keys = dice.sample(self.keys, 20)
                return Evict(tuple((key, self.changed.get(key, 0)) for key in keys))
            case 13:
                return Checkpoint(0, None)
            case _:
                name = dice.choice(["once_ms", "tombstone_ms"])
                return Settings(((name, dice.choice([30_000, 60_000, 300_000])),))


def heard(applied: Applied) -> bytes:
    """Replies and events, as bytes: the order of a reply's fields shows too."""
    packed: bytes = msgpack.packb((applied.replies, applied.events))
    return packed


def trace(machine: Machine, entries: list[Entry]) -> Iterator[tuple[int, bytes]]:
    """The digest, and what was heard, after each entry."""
    for entry in entries:
        applied = machine.apply([entry])
        yield machine.digest(), heard(applied)


def main(seed: int, count: int) -> None:
    """Print one line an entry."""
    for digest, words in trace(Machine(), Workload(seed).entries(count)):
        print(f"{digest:016x} {hashlib.blake2b(words, digest_size=8).hexdigest()}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
