"""A node's readiness, with real nodes: it falls when the log stands, and comes back by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.node.clusters import three
from tests.node.http.visiting import visit
from tests.node.test_stale_reads import two_nodes
from tests.ports import free_ports
from tests.running import a_node, run, until
from tlru.node import health
from tlru.node.steadiness import SUCCESSES_MIN


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that come soon after one another."""
    monkeypatch.setattr(health, "CHECK_EVERY_S", 0.1)


def test_every_check_of_a_node_that_keeps_things_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_node(data_dir=tmp_path) as node:
            await until(lambda: node.health.ready()[0])
            said = (await visit(node, "GET", "/health/ready")).json
            assert list(said["checks"]) == [
                *("status", "checked", "steady", "loop_lag", "disk", "disk_room"),
                *("probe_default", "lag_default", "digest_default", "clock_error_default"),
            ]
            assert said["checks"]["lag_default"] == {"ok": True, "entries": 0, "most": 20_000}
            assert said["checks"]["disk_room"]["free_bytes"] > 0

    run(scenario())


@pytest.mark.usefixtures("quick")
def test_without_a_majority_a_node_is_not_ready_and_says_why_and_is_again_with_one(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with three(tmp_path) as made:
            node = made["n1"]
            await until(lambda: node.health.ready()[0])
            told = [await made.stop("n2"), await made.stop("n3")]
            await until(lambda: not node.health.ready("read")[0])
            await until(lambda: node.health.ready()[1]["checks"]["steady"]["ok"] is False)
            answer = await made.ask("n1", "GET", "/health/ready")
            assert answer.status == 503
            probe = answer.json["checks"]["probe_default"]
            assert probe["problem"]
            assert "majority" in probe["do"]
            assert (await made.ask("n1", "GET", "/health/live")).status == 200
            assert node.health.startup()[0], "it has come up once, and that stays"
            await asyncio.gather(*(made.start(config) for config in told))
            await until(lambda: node.health.ready()[0])
            steady = node.health.ready()[1]["checks"]["steady"]
            assert steady["successes"] >= SUCCESSES_MIN

    run(scenario())


def test_a_founder_that_waits_for_the_others_is_alive_and_not_ready() -> None:
    """What a set of pods that start together relies on: nobody has to be ready for others."""

    async def scenario() -> None:
        told = {"bootstrap": ["n1", "n2"], "join": [f"127.0.0.1:{free_ports(1)[0]}"]}
        async with a_node(id="n1", mesh="127.0.0.1:0", **told) as n1:
            answers = [await visit(n1, "GET", f"/health/{what}") for what in ("live", "startup")]
            assert [answer.status for answer in answers] == [200, 503]
            ready = await visit(n1, "GET", "/health/ready")
            assert (ready.status, ready.json["checks"]["status"]["is"]) == (503, "starting")

    run(scenario())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stale_reads", [False, True])
def test_a_node_that_is_cut_off_is_ready_for_reads_where_old_answers_are_better_than_none(
    stale_reads: bool,
) -> None:
    """That it stays so all the while, not only from when it knows that it is cut off."""

    async def scenario() -> None:
        async with two_nodes(stale_reads=stale_reads) as (node, let_go):
            await until(lambda: node.health.ready()[0] and node.health.ready("read")[0])
            await let_go()
            await until(lambda: node.health.ready()[1]["checks"]["steady"]["ok"] is False)
            for purpose, ready in (("write", False), ("read", stale_reads)):
                answer = await visit(node, "GET", f"/health/ready?for={purpose}")
                assert (answer.status == 200) is ready, (purpose, answer.json)
                status = answer.json["checks"]["status"]
                assert status["is"] == "isolated"
                assert ("stale_s" in status) is (stale_reads and purpose == "read")
            failures = node.health.ready("read")[1]["checks"]["steady"]["failures"]
            assert (failures == 0) is stale_reads

    run(scenario())
