"""`tlru doctor`, a process of its own, at real nodes with something wrong about them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority, shown
from tests.cli.commands import Ran, tlru
from tests.node.access.holders import token_file
from tests.node.clusters import Nodes
from tests.ports import free_ports
from tests.running import a_node, run, talking, until
from tlru.cli.exits import Exit
from tlru.node import Node

IDS = ("n1", "n2", "n3")
DAY_S = 86_400
Findings = dict[tuple[str, str], dict[str, Any]]


async def doctor(node: Node, *argv: str) -> Ran:
    """What it says, who is asked by way of this node."""
    return await asyncio.to_thread(
        tlru, "doctor", node.url, "--json", "--timeout", "5s", *map(str, argv)
    )


def found(ran: Ran) -> Findings:
    """The findings, by code and by whom they are about."""
    return {(one["code"], one["about"] or ""): one for one in ran.json["findings"]}


def wrong(ran: Ran) -> set[tuple[str, str]]:
    """Those that are more than advice."""
    return {at for at, one in found(ran).items() if one["severity"] != "advice"}


@contextlib.asynccontextmanager
async def cluster(each: Mapping[str, dict[str, Any]], **all_of_them: Any) -> AsyncIterator[Nodes]:
    """Three nodes, each of which is told something of its own."""
    meshes = [f"127.0.0.1:{port}" for port in free_ports(3)]
    made = Nodes(None, meshes)
    try:
        told = [
            made.config(id, mesh, **{**all_of_them, **each[id]})
            for id, mesh in zip(IDS, meshes, strict=True)
        ]
        await asyncio.gather(*map(made.start, told))
        await made.until_active()
        yield made
    finally:
        for id in list(made.running):
            await made.stop(id)


async def until_wrong(made: Nodes, wanted: set[tuple[str, str]], *argv: str) -> Ran:
    """Look until exactly that is wrong: a young cluster needs a moment."""
    async with asyncio.timeout(30):
        while wrong(ran := await doctor(made["n1"], *argv)) != wanted:
            pass
    return ran


def test_nodes_with_tls_and_tokens_are_looked_at_by_who_may(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tokens_file, tokens = token_file(tmp_path, seer={}, boss={"admin": True})
    places = [{"region": "eu", "zone": zone} for zone in "abc"]
    days = {"n1": 5, "n2": 60, "n3": 60}
    each = {
        id: {**shown(authority.node(id, days=days[id])), **place}
        for id, place in zip(IDS, places, strict=True)
    }
    bearers = {id: tmp_path / id for id in tokens}
    for id, file in bearers.items():
        file.write_text(tokens[id])

    async def scenario() -> None:
        async with cluster(each, tokens_file=tokens_file) as made:
            trusting = ("--ca", str(authority.ca))
            for bearer in bearers.values():
                argv = (*trusting, "--bearer-file", str(bearer))
                ran = await until_wrong(made, {("certificate", "n1")}, *argv)
                assert (ran.status, sorted(ran.json["answering"])) == (Exit.WRONG, list(IDS))
                soon = found(ran)["certificate", "n1"]
                assert soon["said"] == "its certificate (tls_cert) ends in 5 days"
                assert 4 * DAY_S < soon["figures"]["left_s"] < 5 * DAY_S
                assert ran.json["leader"]
                assert ("one_zone", "") not in found(ran)
            nobody = await doctor(made["n1"], *trusting)
            assert nobody.status == Exit.REFUSED
            assert nobody.error["code"] == "unauthenticated"
            stranger = tmp_path / "stranger"
            stranger.write_text("tlru_of-elsewhere")
            refused = await doctor(made["n1"], *trusting, "--bearer-file", str(stranger))
            assert refused.error["code"] == "unauthenticated"
            distrusted = await doctor(made["n1"])
            assert distrusted.status == Exit.UNAVAILABLE
            assert "certificate verify failed" in distrusted.error["message"]

    run(scenario())


@pytest.mark.long
def test_certificates_that_end_soon_are_over_or_of_elsewhere_are_told_apart(tmp_path: Path) -> None:
    ours, elsewhere = Authority(tmp_path), Authority(tmp_path, "elsewhere")
    each = {
        "n1": shown(ours.node("n1", days=5)),
        "n2": shown(ours.node("n2", days=-1)),
        "n3": shown(elsewhere.node("n3", days=60)),
    }

    async def scenario() -> None:
        async with cluster(each) as made:
            wanted = {
                ("certificate", "n1"),
                ("certificate_refused", "n2"),
                ("certificate_refused", "n3"),
            }
            ran = await until_wrong(made, wanted, "--ca", str(ours.ca))
            assert ran.status == Exit.WRONG
            assert found(ran)["certificate", "n1"]["severity"] == "at risk"
            over = found(ran)["certificate_refused", "n2"]
            assert over["said"] == "its certificate is not believed: certificate has expired"
            assert found(ran)["certificate_refused", "n3"]["said"].endswith("issuer certificate")

            ours.node("n2", days=15, to=each["n2"]["tls_cert"])  # renewed in its place
            await made["n2"].reloading.reload()
            still = wanted - {("certificate_refused", "n2")}
            ran = await until_wrong(made, still, "--ca", str(ours.ca))
            assert found(ran)["certificate", "n2"]["severity"] == "advice"

    run(scenario())


@pytest.mark.long
def test_voters_that_all_stand_in_one_zone_are_told() -> None:
    async def scenario() -> None:
        alike = {id: {"region": "eu", "zone": "a"} for id in IDS}
        async with cluster(alike) as made:
            ran = await until_wrong(made, set())
            one = found(ran)["one_zone", ""]
            assert one["said"] == (
                "3 of 3 voters are in the zone eu/a: without it there is no majority"
            )
            assert sorted(one["figures"]["voters"]) == list(IDS)

    run(scenario())


def test_a_node_that_refuses_for_overload_is_told_with_what_is_too_much() -> None:
    """One that has more in memory than it may: the least important are refused at once."""

    async def scenario() -> None:
        async with a_node(id="n1", memory_max=64 << 20) as node, talking(node) as client:
            await until(lambda: min(node.strain.overload.shares) < 0.1)

            async def until_told() -> Ran:
                while True:
                    for _ in range(100):
                        await client.send({"id": 1, "op": "get", "key": "k"})
                        await client.receive()
                    if ("overloaded", "n1") in found(ran := await doctor(node)):
                        return ran

            async with asyncio.timeout(30):
                ran = await until_told()
            one = found(ran)["overloaded", "n1"]
            assert one["severity"] in ("at risk", "broken")
            assert "of rank 2" in one["said"]
            assert one["figures"]["memory"] > 1
            assert ("websocket", "n1") not in found(ran), "that it refuses is an answer"

    run(scenario())


@pytest.mark.long
def test_backups_that_fail_are_told_once_and_old_ones_with_their_age(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "no directory"
    file.write_text("")

    async def scenario() -> None:
        told = {"id": "n1", "backup_interval": 1.0}
        async with a_node(**told, backup_dir=file / "backups") as node:
            await until(lambda: node.backups.records["default"].failed)
            ran = await doctor(node)
            assert wrong(ran) == {("backup_fails", "n1")}
            said = found(ran)["backup_fails", "n1"]["said"]
            assert said.startswith(f"no backup of default in {file / 'backups'}: ")
            assert said.endswith("it has never made one")

        async with a_node(**told, backup_dir=tmp_path / "backups") as node:
            await until(lambda: node.backups.records["default"].made)
            assert wrong(await doctor(node)) == set()
            await node.backups.stop()  # as if a disk did not answer
            async with asyncio.timeout(20):
                while wrong(ran := await doctor(node)) != {("backup_old", "n1")}:
                    pass
            assert "and one is due every 1.0 s" in found(ran)["backup_old", "n1"]["said"]

        async with a_node(id="n1", data_dir=tmp_path / "data") as node:
            await until(lambda: node.health.ready()[0])
            ran = await doctor(node)
            assert ("no_backups", "") in found(ran)
            assert wrong(ran) == set()

    run(scenario())
