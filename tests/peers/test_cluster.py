"""A log that several nodes share, on real sockets and real disks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from peers.clocks import wall_ms
from peers.core.entry import Entry
from peers.core.membership import Role
from peers.core.timing import Bounds
from peers.errors import RefusedError
from peers.ordered_log import Ack, Checked, NodeStatus, Settled
from peers.wire_fields import BATCHES_MAX
from tests.peers.clusters import cluster, until
from tests.peers.notebook import Notebook
from tests.running import run

ROUNDING_MS = 5  # of two clocks that are cut to milliseconds


def test_what_is_written_anywhere_is_read_everywhere_in_one_order() -> None:
    async def test() -> None:
        async with cluster() as made:
            nodes = await made.found("a", "b", "c")
            assert made.leader().log.id == "a", "the highest priority"
            for number in range(20):
                for node in nodes:
                    node.write(f"{node.log.id}{number}")
            await made.until_written(*(f"{id}{n}" for id in "abc" for n in range(20)))
            assert len({node.log.epoch for node in nodes}) == 1

    run(test())


def test_a_read_as_of_now_waits_for_what_was_written_elsewhere() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, b, c = await made.found("a", "b", "c")
            for number in range(10):
                await b.write_through(f"line {number}")
                index = await c.log.read_barrier()
                await c.until_applied(index)
                assert f"line {number}" in c.lines
                assert await a.log.read_barrier() >= index

    run(test())


def test_a_write_is_answered_as_soon_as_was_wished() -> None:
    async def test() -> None:
        async with cluster() as made:
            _, b, _ = await made.found("a", "b", "c")
            dots = {ack: b.log.propose(str(ack).encode(), ack) for ack in (Ack.LEADER, Ack.ALL)}
            told = b.notebook.story
            await until(lambda: (dots[Ack.LEADER].sequence, Settled.APPENDED) in told)
            await until(lambda: (dots[Ack.ALL].sequence, Settled.HELD_BY_ALL) in told)

    run(test())


def test_a_leader_that_stops_lets_another_lead_first() -> None:
    async def test() -> None:
        async with cluster() as made:
            await made.found("a", "b", "c")
            made.nodes["a"].write("before")
            await made.until_written("before")
            await made.stop("a")
            await until(lambda: made.nodes["b"].log.leads or made.nodes["c"].log.leads)
            made.nodes["c"].write("after")
            await made.until_written("before", "after")

    run(test())


def test_the_time_of_a_new_cluster_begins_at_the_time_of_day() -> None:
    async def test() -> None:
        async with cluster() as made:
            before = wall_ms()
            await made.found("a", "b", "c")
            assert before - ROUNDING_MS <= made.leader().log.now() <= wall_ms() + ROUNDING_MS
            await made.stop("a")
            await until(lambda: made.nodes["b"].log.leads or made.nodes["c"].log.leads)
            assert made.leader().log.now() >= before - ROUNDING_MS

    run(test())


def test_a_newcomer_asks_any_node_and_is_caught_up_by_a_snapshot() -> None:
    async def test() -> None:
        async with cluster(bounds=Bounds(window_entries=8, pieces=2)) as made:
            await made.found("a", "b", "c")
            texts = [f"line {number}" for number in range(60)]
            for text in texts:
                await made.nodes["b"].write_through(text)
            d = await made.join("d", made.nodes["c"])
            await made.until_active("d")
            await made.until_written(*texts)
            applied = [part for part in d.notebook.story if isinstance(part, list)]
            assert sum(map(len, applied)) < len(texts)
            await until(lambda: d.log.status().role == "voter")
            d.write("from d")
            await made.until_written(*texts, "from d")

    run(test())


def test_one_that_is_behind_by_very_many_small_batches_catches_up() -> None:
    """They are few bytes, and more than a message may hold."""

    async def test() -> None:
        async with cluster() as made:
            (a,) = await made.found("a")
            texts = [f"line {number}" for number in range(BATCHES_MAX + 1)]
            for text in texts:
                a.write(text)
                a.log.flush()
            await until(lambda: len(a.lines) == len(texts))
            await made.join("b", a)
            await made.until_active("b")
            await made.until_written(*texts)

    run(test())


def test_an_observer_has_everything_and_never_leads() -> None:
    async def test() -> None:
        async with cluster() as made:
            (a,) = await made.found("a")
            o = await made.join("o", a, Role.OBSERVER)
            await made.until_active("o")
            o.write("by o")
            await made.until_written("by o")
            assert o.log.status().role == "observer"
            await made.stop("a")
            await until(lambda: o.log.node_status is NodeStatus.ISOLATED)
            with pytest.raises(RefusedError, match="isolated"):
                o.write("to nobody")

    run(test())


def test_who_is_removed_hears_of_it_and_serves_no_more() -> None:
    async def test() -> None:
        async with cluster() as made:
            await made.found("a", "b", "c")
            made.leader().log.change(lambda changing, now: changing.remove("c", now))
            await until(lambda: made.nodes["c"].log.node_status is NodeStatus.REMOVED)
            await made.stop("c")
            made.nodes["b"].write("without c")
            await made.until_written("without c")

    run(test())


# -- disks


def test_a_node_comes_back_with_what_it_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(tmp_path) as made:
            await made.found("a", "b", "c")
            made.nodes["a"].write("one")
            await made.until_written("one")
            c = await made.stop("c")
            made.nodes["a"].write("two")
            await made.until_written("one", "two")
            again = replace(c.plan, join=(made.nodes["a"].address,))
            c = await made.start(again)
            await made.until_active("c")
            await made.until_written("one", "two")
            assert c.log.promise.incarnation == 3, "founding is a life, too"

    run(test())


def test_a_whole_cluster_goes_on_where_it_was(tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(tmp_path) as made:
            nodes = await made.found("a", "b", "c")
            nodes[1].write("kept")
            await made.until_written("kept")
            epoch = nodes[0].log.epoch
            kept = nodes[0].log.kept
            assert kept is not None
            assert await kept.keep(), "a snapshot of it, too"
            plans = [(await made.stop(id)).plan for id in "abc"]
            first = await made.start(plans[0])
            for plan in plans[1:]:
                await made.start(replace(plan, join=(first.address,)))
            for node in made.nodes.values():
                node.log.mesh.seek([n.address for n in made.nodes.values() if n is not node])
            await made.until_active("a", "b", "c")
            await made.until_written("kept")
            assert {node.log.epoch for node in made.nodes.values()} == {epoch}

    run(test())


def test_a_node_without_a_state_directory_comes_back_as_another() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, _, c = await made.found("a", "b", "c")
            before = c.log.promise.birth
            a.write("one")
            await made.until_written("one")
            await made.stop("c")
            c = await made.join("c", a)
            await made.until_active("c")
            assert c.log.promise.birth != before
            await made.until_written("one")

    run(test())


def test_a_copy_of_a_state_directory_comes_as_another(tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(tmp_path) as made:
            await made.found("a", "b", "c")
            plan = (await made.stop("c")).plan
            copy = tmp_path / "copy"
            shutil.copytree(tmp_path / "c", copy)
            again = replace(plan, join=(made.nodes["a"].address,))
            for _ in range(2):
                before = (await made.start(again)).log.promise.birth
                await made.until_active("c")
                await made.stop("c")
            shutil.rmtree(tmp_path / "c")
            shutil.copytree(copy, tmp_path / "c")
            await made.start(again)
            await until(lambda: made.nodes["c"].log.promise.birth != before)
            await made.until_active("c")

    run(test())


def test_a_person_has_the_only_survivor_go_on() -> None:
    async def test() -> None:
        async with cluster() as made:
            await made.found("a", "b", "c")
            made.nodes["a"].write("kept")
            await made.until_written("kept")
            with pytest.raises(RefusedError, match="nothing to be revived"):
                made.nodes["b"].log.revive(("b",))
            await made.stop("c")
            await made.stop("b")
            a = made.nodes["a"]
            await until(lambda: not a.active)
            a.log.revive(("a",))
            await made.until_active("a")
            a.write("alone")
            await made.until_written("kept", "alone")
            assert a.log.epoch.number == 2

    run(test())


# -- what goes wrong


class Spoilt(Notebook):
    """Fails once, half way through."""

    failed = 0

    def apply(self, entries: Sequence[Entry]) -> Checked | None:
        for entry in entries:
            if entry.operation == b"bad" and not self.failed:
                self.lines.append((entry.index, "half"))
                self.failed += 1
                raise RuntimeError("it was bad")
        return super().apply(entries)


def test_a_node_that_fails_to_apply_replaces_its_state_by_anothers() -> None:
    async def test() -> None:
        async with cluster() as made:
            await made.found("a", "b")
            spoilt = Spoilt()
            await made.join("c", made.nodes["a"], notebook=spoilt)
            await made.until_active("c")
            made.nodes["a"].write("bad")
            await until(lambda: spoilt.failed)
            await made.until_active("c")
            await made.until_written("bad")

    run(test())


def test_another_cluster_is_not_let_in(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with cluster() as made, cluster() as other:
            (a,) = await made.found("a")
            (z,) = await other.found("z")
            z.log.mesh.seek((a.address,))
            await until(lambda: "another cluster" in caplog.text)
            assert [s.node for s in a.log.mesh.status() + z.log.mesh.status()] == []

    run(test())
