"""A node that comes back is eased in, and one that leaves is chosen by nobody, with real nodes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.node.clusters import Nodes, three
from tests.running import a_node, run, until
from tlru import connect
from tlru.errors import BadRequest
from tlru.node import facts
from tlru.node.cluster import easing
from tlru.node.cluster.easing import EASE_S, WEIGHT_FULL, WEIGHT_MIN, eased

CLIENTS = 60


def weights(made: Nodes, at: str) -> dict[str, float]:
    """What a node tells clients of each member."""
    node = made[at]
    told = facts.servers(node, node.services["default"])
    return {server["id"]: server["weight"] for server in told}


def test_the_weight_rises_in_steps_from_the_least_to_the_full_one() -> None:
    assert eased(None) == eased(0) == WEIGHT_MIN
    rising = [eased(EASE_S * part / 8) for part in range(9)]
    assert rising == sorted(rising)
    assert set(rising) == {0.2, 0.4, 0.6, 0.8, 1.0}, "each step is a message to all clients"
    assert eased(EASE_S) == eased(EASE_S * 1_000) == WEIGHT_FULL
    assert eased(EASE_S - 0.1) < WEIGHT_FULL


def test_a_node_that_is_alone_has_its_full_weight_at_once() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            (server,) = facts.servers(node, node.services["default"])
            assert server["weight"] == WEIGHT_FULL

    run(scenario())


def test_a_node_that_comes_back_is_eased_in_and_clients_prefer_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(easing, "EASE_S", 0.4)
        async with three(tmp_path) as made:
            full = dict.fromkeys(("n1", "n2", "n3"), WEIGHT_FULL)
            await until(lambda: all(weights(made, at) == full for at in full))
            config = await made.stop("n3")
            monkeypatch.setattr(easing, "EASE_S", 1_000.0)
            monkeypatch.setattr(made["n1"].health, "_ready_since", -1e9)
            monkeypatch.setattr(made["n2"].health, "_ready_since", -1e9)
            await until(lambda: not made.seats("n1")["n3"]["heard"])
            await made.start(config)
            await until(lambda: made["n3"].health.ready()[0])
            coming = {"n1": WEIGHT_FULL, "n2": WEIGHT_FULL, "n3": WEIGHT_MIN}
            await until(lambda: all(weights(made, at) == coming for at in coming))
            async with contextlib.AsyncExitStack() as clients:
                for _ in range(CLIENTS):
                    cache = await clients.enter_async_context(connect(made["n2"].url))
                    await cache.ping()
                await made.stop("n2")
                await until(lambda: sum(connections(made).values()) == CLIENTS)
                # By weight and priority some nine go to n3; without weights it would be thirty.
                assert connections(made)["n3"] < CLIENTS / 3, connections(made)

    run(scenario())


def connections(made: Nodes) -> dict[str, int]:
    """How many clients each node has."""
    return {id: len(node.connections) for id, node in made.running.items()}


def test_a_node_that_leaves_says_that_it_weighs_nothing() -> None:
    async def scenario() -> None:
        async with three() as made:
            node = made["n3"]
            node.draining = True
            node.desk(node.services["default"]).weights.say_now()
            await until(lambda: weights(made, "n1")["n3"] == weights(made, "n2")["n3"] == 0.0)
            node.draining = False

    run(scenario())


def test_what_is_no_weight_is_refused_and_who_is_no_member_not_kept() -> None:
    async def scenario() -> None:
        async with three() as made:
            node = made["n1"]
            known = node.desk(node.services["default"]).weights
            for wrong in (1.1, -0.1, float("nan"), float("inf"), 1, "0.5", None, True):
                with pytest.raises(BadRequest):
                    known.hear("n2", wrong)
            known.hear("stranger", 0.5)
            assert known.of("stranger") == WEIGHT_MIN
            known.hear("n2", 0.5)
            assert weights(made, "n1")["n2"] == 0.5

    run(scenario())
