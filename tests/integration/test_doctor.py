"""`tlru doctor` at real nodes that are killed, stand still or are cut off from each other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.commands import Ran, tlru
from tests.integration.processes import Processes, processes
from tests.integration.small_disks import small_disk
from tests.integration.test_clocks_of_processes import HOUR_S, Leaps
from tests.running import run
from tlru.cli.exits import Exit

IDS = ("n1", "n2", "n3")
WITHIN_S = 40


async def looked(cluster: Processes, *argv: str) -> Ran:
    """What the doctor says, who is asked to look by way of the first node."""
    servers = argv or (cluster.nodes["n1"].url,)
    return await asyncio.to_thread(tlru, "doctor", *servers, "--json", "--timeout", "1s")


def found(ran: Ran) -> dict[tuple[str, str], dict[str, Any]]:
    """The findings, by code and by whom they are about."""
    return {(one["code"], one["about"] or ""): one for one in ran.json["findings"]}


async def until_it_says(
    cluster: Processes, holds: Callable[[Ran], object], within_s: float = WITHIN_S
) -> Ran:
    """Look again and again: a cluster needs a moment to notice what has been done to it."""
    async with asyncio.timeout(within_s):
        while not holds(ran := await looked(cluster)):
            pass
    return ran


def well(ran: Ran) -> bool:
    """Nothing is broken or at risk."""
    return ran.status == Exit.OK


def says(*wanted: tuple[str, str]) -> Callable[[Ran], bool]:
    """Whether these are among the findings, and told as what they are by the exit status."""
    return lambda ran: ran.status == Exit.WRONG and set(wanted) <= found(ran).keys()


def test_a_doctor_finds_who_is_dead_stands_still_or_is_cut_off(tmp_path: Path) -> None:
    async def test() -> None:
        async with processes(tmp_path, *IDS, linked=True) as cluster:
            web, n2, n3 = cluster.web, cluster.nodes["n2"], cluster.nodes["n3"]
            assert web is not None
            ran = await until_it_says(cluster, well)
            assert (ran.json["leader"], ran.json["may_fail"]) == ("n1", 1)
            assert sorted(ran.json["answering"]) == list(IDS)

            web.part(["n2"], ["n3"])
            ran = await until_it_says(cluster, says(("link_down", "n2")))
            assert "n3" in found(ran)["link_down", "n2"]["said"]
            web.heal()
            await until_it_says(cluster, well)

            n2.send(signal.SIGSTOP)
            ran = await until_it_says(cluster, says(("away", "n2"), ("no_spare", "")))
            assert (ran.json["may_fail"], ran.json["leader"]) == (0, "n1")
            ran = await looked(cluster, cluster.nodes["n1"].url, n2.url.removesuffix("/ws"))
            assert ("away", "n2") in found(ran)
            assert "server_away" not in {code for code, _ in found(ran)}, "it is told once"

            await n2.end(signal.SIGKILL)
            await n3.end(signal.SIGKILL)
            ran = await until_it_says(cluster, says(("no_majority", "")))
            assert ran.json["leader"] is None, "whoever lacks a majority leads nobody"
            assert found(ran)["no_majority", ""]["severity"] == "broken"

            at_n2 = await looked(cluster, n2.url)
            assert at_n2.status == Exit.UNAVAILABLE

    run(test())


def test_a_doctor_speaks_in_sentences(tmp_path: Path) -> None:
    """And says for each finding what is to be done."""

    async def test() -> None:
        async with processes(tmp_path, *IDS) as cluster:
            await until_it_says(cluster, well)
            n1, n3 = cluster.nodes["n1"], cluster.nodes["n3"]
            told = await asyncio.to_thread(tlru, "doctor", n1.url)
            first, last = told.out.splitlines()[0], told.out.splitlines()[-1]
            assert (
                first == "3 members, 3 of which answer here; n1 leads; 1 more of 3 voters may fail"
            )
            assert (last, told.err) == ("nothing is wrong", "")

            await n3.end(signal.SIGKILL)
            await until_it_says(cluster, says(("away", "n3"), ("no_spare", "")))
            told = await asyncio.to_thread(tlru, "doctor", n1.url, "--timeout", "1s")
            assert told.status == Exit.WRONG
            assert "AT RISK  n3: it gives no answer" in told.out
            assert "tlru node remove n3" in told.out
            assert told.out.endswith("things are wrong\n")

    run(test())


@pytest.mark.long
def test_a_doctor_finds_a_wrong_clock_and_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """Both are told of the node that has them, and neither keeps it from serving."""
    leaps = Leaps(tmp_path)
    leaps.leap(HOUR_S)

    async def test() -> None:
        with small_disk(tmp_path / "small", "300m") as disk:
            keeps = {"n1": tmp_path / "n1", "n2": disk, "n3": tmp_path / "n3"}
            env = {"n3": leaps.env}
            async with processes(tmp_path, *IDS, keeps=keeps, env=env) as cluster:
                wanted = {("wall_clock", "n3"), ("check_disk_room", "n2")}
                ran = await until_it_says(
                    cluster,
                    lambda ran: {at for at, one in found(ran).items() if bad(one)} == wanted,
                )
                clock = found(ran)["wall_clock", "n3"]
                assert "60 minutes ahead of" in clock["said"]
                assert abs(clock["figures"]["ahead_s"] - HOUR_S) < 5
                disk_room = found(ran)["check_disk_room", "n2"]
                assert disk_room["said"].startswith("the disk is nearly full (")
                assert 0 < disk_room["figures"]["free_bytes"] < 300 << 20
                assert ran.json["may_fail"] == 1

    run(test())


def bad(one: dict[str, Any]) -> bool:
    """Whether it is more than advice."""
    return bool(one["severity"] != "advice")


@pytest.mark.long
def test_a_doctor_tells_that_a_link_is_tried_seldom_by_now(tmp_path: Path) -> None:
    """After many failures in a row its breaker is open; once it heals nothing is wrong."""

    async def test() -> None:
        async with processes(tmp_path, *IDS, linked=True) as cluster:
            assert cluster.web is not None
            await until_it_says(cluster, well)
            cluster.web.part(["n2"], ["n3"])

            def given_up(ran: Ran) -> bool:
                links = [one for one in ran.json["findings"] if one["code"] == "link_down"]
                return any(one["figures"]["circuit"] != "closed" for one in links)

            # Eight times nobody greets within five seconds.
            ran = await until_it_says(cluster, given_up, 80)
            told = " ".join(one["said"] for one in ran.json["findings"])
            assert "since it has failed so often (its breaker is open)" in told
            metrics = f"http://127.0.0.1:{cluster.nodes['n2'].port}/metrics"
            async with aiohttp.ClientSession() as session, session.get(metrics) as response:
                assert "tlru_link_breaker_open" in await response.text()
            cluster.web.heal()
            await until_it_says(cluster, well)

    asyncio.run(test())  # it takes longer than others may
