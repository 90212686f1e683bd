"""What Python's collector looks at in a node's process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tlru.cli.collector import CLOSED_MAX, OLD, Collector


class Thing:
    """Something that a cycle can be made of."""

    def __init__(self) -> None:
        self.other: Thing | None = None


@contextmanager
def collecting(closed: list[int]) -> Iterator[None]:
    """A collector at work; `closed` holds how many connections have ended."""
    collector = Collector(lambda: closed[0])
    collector.start()
    try:
        yield
    finally:
        collector.stop()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Whatever happens, the other tests find the collector as it was."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def a_cycle() -> weakref.ref[Thing]:
    """Two things that nobody refers to but each other."""
    one, two = Thing(), Thing()
    one.other, two.other = two, one
    return weakref.ref(one)


def test_what_has_survived_is_not_looked_at_again() -> None:
    with collecting([0]):
        before = gc.get_freeze_count()
        kept = [Thing() for _ in range(1_000)]
        gc.collect(1)
        assert gc.get_freeze_count() >= before + len(kept)
        gone = weakref.ref(kept.pop())
        assert gone() is None, "it is freed all the same, when nobody refers to it"


def test_young_garbage_is_found() -> None:
    with collecting([0]):
        garbage = a_cycle()
        gc.collect(0)
        assert garbage() is None


def test_after_many_connections_all_is_looked_at_once() -> None:
    closed = [0]
    with collecting(closed):
        one, two = Thing(), Thing()
        gc.collect(1)
        one.other, two.other = two, one
        garbage = weakref.ref(one)
        del one, two
        gc.collect(OLD)
        assert garbage() is not None, "it was left out"
        closed[0] = CLOSED_MAX
        gc.collect(1)
        gc.collect(1)
        assert garbage() is not None, "only a look at all finds it"
        gc.collect(OLD)
        assert garbage() is None
        assert gc.get_freeze_count() > 0, "and then it goes on as before"


def test_all_is_as_before_when_it_ends() -> None:
    thresholds = gc.get_threshold()
    with collecting([0]):
        assert gc.get_threshold() != thresholds
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0
