"""A snapshot is exact at its index whatever happens during the walk; a damaged one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.machine_helpers import Writer, bounds, order_of, through_a_snapshot
from tests.engine.workload import Workload, trace
from tlru.engine import snapshot
from tlru.engine.machine import Machine
from tlru.engine.operations import Clear, Delete, Set, SetMany
from tlru.engine.snapshot import FORMAT, Loader, SnapshotError

seeds = st.integers(0, 2**32)


def content(machine: Machine) -> dict[str, tuple[Any, ...]]:
    return {key: item.fields() for key, item in machine.items.store.entries.items()}


def machine_after(seed: int, count: int) -> tuple[Machine, Workload]:
    machine, work = Machine(), Workload(seed)
    machine.apply(work.entries(count))
    return machine, work


class Walk:
    """A capture that is walked bit by bit, and what it has to give."""

    def __init__(self, machine: Machine) -> None:
        self.capture = machine.capture()
        self.digest = machine.digest()
        self.content = content(machine)
        self.order = order_of(machine)
        self.chunks: list[bytes] = []
        self._more: Iterator[bytes] = self.capture.chunks()

    def step(self) -> bool:
        """One more chunk; whether there was one."""
        for chunk in self._more:
            self.chunks.append(chunk)
            return True
        return False

    def restored(self) -> Machine:
        """What the chunks hold, when all have come."""
        while self.step():
            pass
        machine = Machine.from_snapshot(self.chunks)
        machine.check()
        assert machine.digest() == self.digest
        assert content(machine) == self.content
        assert order_of(machine) == self.order
        return machine


@settings(deadline=None, max_examples=60)
@given(seeds, st.data())
def test_a_walk_gives_the_state_at_its_beginning(seed: int, data: st.DataObject) -> None:
    """Whatever is applied between two chunks, and however many walks go on at once."""
    machine, work = machine_after(seed, data.draw(st.integers(0, 120)))
    walks: list[Walk] = []
    since = []
    with bounds(snapshot, CHUNK_RECORDS=data.draw(st.integers(1, 4)), CHUNK_BYTES=600):
        for _ in range(data.draw(st.integers(1, 12))):
            if len(walks) < 3:
                walks.append(Walk(machine))
                since.append(work.index)
            for walk in walks:
                for _ in range(data.draw(st.integers(0, 4))):
                    walk.step()
            machine.apply(work.entries(data.draw(st.integers(0, 25))))
        restored = [walk.restored() for walk in walks]
    assert machine.items.observers == []
    assert [walk.capture.aside_bytes for walk in walks] == [0] * len(walks)
    # And from there, by the entries after it, one comes to where the machine is now.
    again = Workload(seed)
    entries = again.entries(work.index)
    for late, index in zip(restored, since, strict=True):
        late.apply(entries[index:])
        assert late.digest() == machine.digest()
        assert order_of(late) == order_of(machine)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.one_of(
            st.builds(Clear, st.sampled_from(["", "a", "b", "k"])),
            st.integers(0, 60).map(lambda n: Set(f"a{n}", b"\x02", 1)),
            st.integers(0, 60).map(lambda n: Delete((f"b{n}",))),
            st.just(None),
        ),
        max_size=60,
    ),
    st.integers(1, 30),
)
def test_clears_and_changes_during_a_walk_are_not_in_it(steps: list[Any], records: int) -> None:
    write = Writer()
    write(SetMany(tuple((f"{p}{n}", b"\x01", None, None, None) for p in "ab" for n in range(30))))
    with bounds(snapshot, CHUNK_RECORDS=records):
        walk = Walk(write.machine)
        for step in steps:
            if step is None:
                walk.step()
            else:
                write(step)
        walk.restored()


def test_what_is_set_aside_is_counted_and_let_go() -> None:
    write = Writer()
    write(SetMany(tuple((f"k{n}", bytes(1_000), None, None, None) for n in range(10))))
    capture = write.machine.capture()
    write(Clear())
    assert 10_000 < capture.aside_bytes < 20_000
    write(Set("new", bytes(100_000)))
    assert capture.aside_bytes < 20_000
    assert len(Machine.from_snapshot(list(capture.chunks())).items.store) == 10
    assert capture.aside_bytes == 0


def test_nothing_is_set_aside_of_what_was_walked_already() -> None:
    write = Writer()
    write(SetMany(tuple((f"k{n}", b"\x01", None, None, None) for n in range(10))))
    with bounds(snapshot, CHUNK_RECORDS=4):
        walk = Walk(write.machine)
        walk.step()
        walk.step()
        for n in range(4):
            write(Set(f"k{n}", b"\x02"))
        assert walk.capture.aside_bytes == 0
        write(Set("k4", b"\x02"))
        write(Delete(("k4",)))
        once = walk.capture.aside_bytes
        write(Set("k4", b"\x03"))
        assert walk.capture.aside_bytes == once > 0
        walk.restored()


def test_a_walk_ends_even_where_keys_are_added_before_it_all_the_time() -> None:
    """Keys that begin with the time grow at the end, faster than some reader may walk."""
    write = Writer()
    with bounds(snapshot, CHUNK_RECORDS=2):
        for n in range(20):
            write(Set(f"log:{n:06}", b"\x01"))
        walk = Walk(write.machine)
        steps = 0
        while walk.step():
            steps += 1
            for n in range(10):
                write(Set(f"log:{steps * 10 + n + 20:06}", b"\x01"))
        assert steps < 20
        walk.restored()


def test_no_chunk_is_larger_than_a_bound_and_one_value() -> None:
    write = Writer()
    with bounds(snapshot, CHUNK_RECORDS=8, CHUNK_BYTES=1_000):
        for n in range(40):
            write(Set(f"k{n}", bytes(n * 20)))
            write(Delete((f"gone{n}",)))
        chunks = list(write.machine.capture().chunks())
    assert max(map(len, chunks)) < 3_000
    rows = [msgpack.unpackb(chunk)[2] for chunk in chunks[1:-1]]
    assert all(len(each) <= 8 for each in rows)


def test_a_capture_that_was_closed_watches_no_more_and_cannot_be_walked_to_its_end() -> None:
    machine, _ = machine_after(1, 50)
    capture = machine.capture()
    chunks = capture.chunks()
    next(chunks)
    capture.close()
    capture.close()
    assert machine.items.observers == []
    with pytest.raises(RuntimeError, match="closed"):
        list(chunks)


def test_an_empty_machine_has_a_snapshot_too() -> None:
    restored = through_a_snapshot(Machine())
    assert restored.index == 0
    assert restored.digest() == Machine().digest()


def test_what_was_read_last_goes_last_after_a_restore_too() -> None:
    """Who read what is not replicated; the order of the last changes is the nearest to it."""
    write = Writer()
    for key in ("c", "a", "b"):
        write(Set(key, b"\x01"))
    write(Set("c", b"\x02"))
    restored = through_a_snapshot(write.machine)
    assert list(restored.items.store.entries) == ["a", "b", "c"]


# -- damage


def chunks_of(seed: int) -> list[bytes]:
    machine, _ = machine_after(seed, 300)
    with bounds(snapshot, CHUNK_RECORDS=5):
        return list(machine.capture().chunks())


CHUNKS = chunks_of(53)
places = st.integers(0, len(CHUNKS) - 1)


def refused(chunks: list[bytes]) -> str:
    with pytest.raises(SnapshotError) as caught:
        Machine.from_snapshot(chunks)
    return str(caught.value)


def test_a_snapshot_of_many_chunks_is_whole() -> None:
    assert len(CHUNKS) > 15
    kinds = {msgpack.unpackb(chunk)[1] for chunk in CHUNKS}
    assert kinds == {"head", "items", "end", *Machine().tables()}
    Machine.from_snapshot(CHUNKS).check()


@given(places)
def test_a_missing_chunk_is_noticed(at: int) -> None:
    words = refused([*CHUNKS[:at], *CHUNKS[at + 1 :]])
    assert "came as chunk" in words or "ends early" in words


@given(places)
def test_a_repeated_chunk_is_noticed(at: int) -> None:
    words = refused([*CHUNKS[: at + 1], *CHUNKS[at:]])
    assert "came as chunk" in words or "after its end" in words


@given(st.lists(places, min_size=2, max_size=2, unique=True))
def test_chunks_in_another_order_are_noticed(two: list[int]) -> None:
    chunks = list(CHUNKS)
    one, other = two
    chunks[one], chunks[other] = chunks[other], chunks[one]
    assert "came as chunk" in refused(chunks)


@given(places, st.data())
def test_a_chunk_that_is_cut_short_is_noticed(at: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(CHUNKS[at]) - 1))
    assert "cannot be read" in refused([*CHUNKS[:at], CHUNKS[at][:length], *CHUNKS[at + 1 :]])


@settings(max_examples=300)
@given(places, st.data())
def test_one_wrong_bit_is_noticed(at: int, data: st.DataObject) -> None:
    chunk = bytearray(CHUNKS[at])
    chunk[data.draw(st.integers(0, len(chunk) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refused([*CHUNKS[:at], bytes(chunk), *CHUNKS[at + 1 :]])


def test_rows_in_another_order_are_noticed_though_the_digest_is_the_same() -> None:
    """The order of tombstones decides which of them is forgotten first."""
    at = next(n for n, chunk in enumerate(CHUNKS) if msgpack.unpackb(chunk)[1] == "gone")
    number, kind, rows = msgpack.unpackb(CHUNKS[at])
    turned = msgpack.packb((number, kind, rows[::-1]))
    assert "checksum" in refused([*CHUNKS[:at], turned, *CHUNKS[at + 1 :]])


def test_a_snapshot_without_its_end_or_its_head_is_refused() -> None:
    assert "ends early" in refused([])
    assert "ends early" in refused(CHUNKS[:-1])
    assert "its head" in refused([msgpack.packb((0, "items", ()))])
    assert "its head" in refused([CHUNKS[0], msgpack.packb((1, "head", {}))])
    assert "after its end" in refused([*CHUNKS, CHUNKS[-1]])


def test_a_snapshot_of_another_format_is_refused() -> None:
    number, kind, head = msgpack.unpackb(CHUNKS[0])
    later = msgpack.packb((number, kind, {**head, "format": FORMAT + 1}))
    assert f"this release reads {FORMAT}" in refused([later, *CHUNKS[1:]])


junk: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.binary(max_size=4),
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from(["head", "items", "end", "junk", *Machine().tables()]), junk, junk)
def test_chunks_of_nonsense_raise_nothing_else(kind: str, one: Any, other: Any) -> None:
    """What a file or another node sends must not be able to break more than the attempt."""
    for content in (one, [other], [[other] * 9], [["k", *[other] * 8]]):
        loader = Loader(Machine())
        loader.take(CHUNKS[0])
        try:
            loader.take(msgpack.packb((1, kind, content)))
        except SnapshotError:
            continue
        with pytest.raises(SnapshotError):
            loader.finish()


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_else(chunk: bytes) -> None:
    refused([chunk])
    refused([CHUNKS[0], chunk])


def test_a_machine_goes_on_where_its_snapshot_was_refused() -> None:
    """A new machine is filled; the old one is not touched before the new one is whole."""
    machine, work = machine_after(5, 100)
    twin, _ = machine_after(5, 100)
    refused(CHUNKS[:-1])
    rest = work.entries(50)
    assert list(trace(machine, rest)) == list(trace(twin, rest))
