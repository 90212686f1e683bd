"""What a node was told of founding a cluster, against the cluster that it belongs to."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.cli.commands import tlru
from tests.node.clusters import three
from tests.running import run, until
from tlru.node import founding
from tlru.node.founding import FoundingWatch, Misfit, misfit


def members(*ids: str, observers: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """A cluster of these."""
    return [{"id": id, "role": "observer" if id in observers else "voter"} for id in ids]


@pytest.mark.parametrize(
    ("bootstrap", "expect", "ids", "said"),
    [
        ((), 0, "abc", ""),
        ((), 3, "abc", ""),
        ((), 3, "abcde", ""),  # it has grown, and three of five are a majority
        (("a", "b", "c"), 0, "abcd", ""),
        ((), 3, "", ""),
        (
            (),
            5,
            "abc",
            "`expect` has 5 nodes found a cluster, and the one that it belongs to",
        ),
        ((), 2, "abcd", "`expect` has 2 of 4 voters found a cluster, which is no majority"),
        ((), 1, "ab", "`expect` has 1 of 2 voters found a cluster, which is no majority"),
        (("a", "x"), 0, "abc", "`bootstrap` names x, and the cluster that it belongs to has a, b"),
        (("a",), 0, "abc", "`bootstrap` has 1 of 3 voters found a cluster, which is no majority"),
    ],
)
def test_what_does_not_fit_is_said(
    bootstrap: tuple[str, ...], expect: int, ids: str, said: str
) -> None:
    found = misfit(bootstrap, expect, members(*ids))
    assert (found is None) is (not said)
    if found is not None:
        assert found.said.startswith(said)
        assert found.splits is ("no majority" in said)


def test_observers_found_nothing() -> None:
    assert misfit((), 2, members("a", "b", "c", "d", observers=("c", "d"))) is None


def test_the_log_is_told_once_of_what_lasts(caplog: pytest.LogCaptureFixture) -> None:
    watch, found = FoundingWatch("n1"), Misfit("it does not fit")
    watch.look(found, 0.0)
    watch.look(None, 1.0)  # a member was replaced
    watch.look(found, 2.0)
    watch.look(found, 2.0 + founding.LASTS_S - 0.1)
    assert caplog.messages == []
    for later_s in (0.0, 1.0, 100.0):
        watch.look(found, 2.0 + founding.LASTS_S + later_s)
    assert caplog.messages == [
        "node n1: it does not fit; correct it before it matters (docs/cluster.md)"
    ]


def test_a_node_that_joins_with_another_number_in_mind_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(founding, "LASTS_S", 0.2)

    async def scenario() -> None:
        async with three() as made:
            newcomer = made.config("n4", "127.0.0.1:0", expect=2)
            node = await made.start(newcomer)
            await made.until_active()
            with caplog.at_level(logging.WARNING):
                await until(lambda: "node n4: `expect` has 2 of 4 voters" in caplog.text)
            said = (await made.ask("n4", "GET", "/v1/status")).json["setup"]["founding"]
            assert said["splits"]
            assert node.status == "active"
            told = await asyncio.to_thread(tlru, "doctor", node.url, "--json", "--timeout", "5s")
            (one,) = (one for one in told.json["findings"] if one["code"] == "founding")
            assert (one["about"], one["severity"]) == ("n4", "at risk")
            of_a_founder = (await made.ask("n1", "GET", "/v1/status")).json["setup"]["founding"]
            assert of_a_founder is None

    run(scenario())
