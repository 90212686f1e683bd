"""A step of the core that fails, as only a defect could make it: this node's part ends, loudly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tlru
from peers.cluster.cluster import ClusterLog
from peers.core.messages import HandOver
from peers.core.replica import Replica
from peers.errors import RefusedError
from tests.node.clusters import Nodes, three
from tests.running import Talker, run, talking, until
from tlru.errors import TlruError

DEFECT = "a defect that a test has put there"


def _fails(*_: object) -> Any:
    raise ZeroDivisionError(DEFECT)


def on_an_append(replica: Replica) -> None:
    """In the middle of what a leader's word leads to, with the log half changed."""
    real = replica.state.log.append

    def append(batch: Any) -> None:
        real(batch)
        _fails()

    object.__setattr__(replica.state, "log", Failing(replica.state.log, append))


class Failing:
    """A log that fails once it has taken something."""

    def __init__(self, log: Any, append: Callable[[Any], None]) -> None:
        self._log, self.append = log, append

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def on_a_tick(replica: Replica) -> None:
    replica.greeting.tick = _fails  # type: ignore[assignment]


def on_a_forward(replica: Replica) -> None:
    assert replica.office.admission is not None
    replica.office.admission.let_in = _fails  # type: ignore[assignment]


def on_a_word_of_its_own(replica: Replica) -> None:
    replica._on_stored = _fails  # type: ignore[assignment]


CASES = [
    ("n2", on_an_append),
    ("n2", on_a_tick),
    ("n1", on_a_forward),
    ("n3", on_a_word_of_its_own),
]


@pytest.mark.parametrize(("id", "defect"), CASES)
def test_a_step_that_fails_ends_this_node_s_part_and_a_restart_goes_on(
    id: str, defect: Callable[[Replica], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its clients are refused and find the others, which go on; nothing acknowledged is lost."""

    async def test() -> None:
        async with three(tmp_path) as made, talking(made[id]) as client:
            others = [each for each in made.running if each != id]
            kept = {"before": 1}
            assert (await client.ask("set", key="before", value=1))["ok"]
            log: ClusterLog = made.log(id)
            assert log.replica is not None
            defect(log.replica)
            urls = (made[id].url, *(made[each].url for each in others))
            async with tlru.connect(*urls, timeout=20) as cache, asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(note(cache, number, kept))
            await until(lambda: log.replica is None)
            refused = await asked(client, "before")
            assert refused["error"]["code"] == "recovering"
            assert refused["error"]["retry"] == "other"
            ready = await made.ask(id, "GET", "/health/ready")
            assert ready.status == 503
            assert any(DEFECT in alarm for alarm in log.alarms())
            await until(lambda: all(made[each].status == "active" for each in others))
            async with tlru.connect(made[others[0]].url, timeout=10) as cache:
                await cache.set("without it", 1)
            await restarted(made, id)
            kept["without it"] = 1
            async with tlru.connect(made[id].url, timeout=10) as cache:
                assert await cache.get_many(list(kept)) == kept

    run(test())
    loud = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert [each.message for each in loud] == [
        "a step of the core failed, which is a defect: please report it",
        f"node {id} takes no more part, and has to be restarted: a step of the core failed "
        f"(ZeroDivisionError: {DEFECT}), so that what it knows may be half changed; a restart goes "
        "on from what is on its disk",
    ]
    assert loud[0].exc_info is not None, "with its trace"


async def note(cache: tlru.Cache[Any], number: int, kept: dict[str, int]) -> None:
    """Write a key, and note it where that is acknowledged: some are refused, and of some nobody
    knows what became."""
    with contextlib.suppress(TlruError):
        await cache.set(f"during/{number}", number)
        kept[f"during/{number}"] = number


async def asked(client: Talker, key: str) -> Any:
    """What a client is answered, whatever it is told by itself before."""
    await client.send({"id": 99, "op": "get", "key": key})
    while (said := await client.receive()).get("id") != 99:
        assert "push" in said
    return said


async def restarted(made: Nodes, id: str) -> None:
    """Stop and start a node on what it has kept."""
    config = await made.stop(id)
    await made.start(config)
    await made.until_active()


def test_a_wish_that_fails_is_refused_and_ends_this_node_s_part(tmp_path: Path) -> None:
    """Whoever asked is not told that it was done."""

    async def test() -> None:
        async with three(tmp_path) as made:
            log: ClusterLog = made.log("n1")
            with pytest.raises(RefusedError, match=DEFECT):
                log.change(_fails)
            assert log.replica is None
            with pytest.raises(RefusedError, match="n1 is recovering"):
                log.propose(b"x")
            with pytest.raises(RefusedError, match=DEFECT):
                log.hand_over()
            await until(lambda: made["n2"].status == made["n3"].status == "active")
            await restarted(made, "n1")

    run(test())


def test_a_refusal_is_no_failure(tmp_path: Path) -> None:
    """It comes before anything has changed."""

    async def test() -> None:
        async with three(tmp_path) as made:
            log: ClusterLog = made.log("n2")
            with pytest.raises(RefusedError, match="n1 leads"):
                log.change(lambda changing, now: changing.remove("n3", now))
            assert log.replica is not None
            made.log("n1").hear(HandOver("nobody"))
            assert made["n1"].status == "active"

    run(test())


def test_what_fails_on_the_way_into_another_epoch_ends_this_node_s_part(tmp_path: Path) -> None:
    """It goes on in a task, whose failure nobody else would hear of."""

    async def test() -> None:
        async with three(tmp_path) as made:
            log: ClusterLog = made.log("n3")
            log.disk.enter = _fails  # type: ignore[assignment]
            await made.stop("n1")
            await made.stop("n2")
            await until(lambda: made["n3"].status == "isolated")
            log.revive(("n3",))
            await until(lambda: log.alarms())
            assert any(DEFECT in alarm for alarm in log.alarms())
            assert log.replica is None

    run(test())
