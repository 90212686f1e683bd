"""Nodes that go over to another authority and another token, one by one, while they serve."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peers.mesh.status import PeerState
from tests.authority import Authority, between
from tests.node.clusters import QUICK
from tests.node.test_reload import Told, log_of
from tests.ports import free_ports
from tests.running import run, until
from tlru.config import Config
from tlru.errors import TlruError
from tlru.node import Node, certificates

IDS = ("n1", "n2", "n3")
OLD, NEW = "the token that is given up", "the token that comes instead"


@contextlib.asynccontextmanager
async def three(folder: Path, authority: Authority) -> AsyncIterator[dict[str, tuple[Node, Told]]]:
    """Three nodes, each with a certificate of its own in a file of its own."""
    meshes = [f"127.0.0.1:{port}" for port in free_ports(3)]
    nodes: dict[str, tuple[Node, Told]] = {}
    for id, mesh in zip(IDS, meshes, strict=True):
        ca = folder / f"{id}-ca.pem"
        ca.write_bytes(authority.ca.read_bytes())
        files = between(authority.node(id, to=folder / f"{id}.pem"), ca)
        places = {"listen": "127.0.0.1:0", "mesh": mesh, "join": meshes}
        config = Config(id=id, token=OLD, **{**QUICK, **places, **files})
        process = Told(config)
        nodes[id] = Node(config, process=process), process
    try:
        await asyncio.gather(*(node.start() for node, _ in nodes.values()))
        await until(lambda: all(node.status == "active" for node, _ in nodes.values()))
        yield nodes
    finally:
        for node, _ in nodes.values():
            await node.stop()


def linked(nodes: dict[str, tuple[Node, Told]]) -> bool:
    """Whether each has a link with both others."""
    return all(
        [each.state for each in log_of(node).mesh.status()] == [PeerState.CONNECTED] * 2
        for node, _ in nodes.values()
    )


async def relinked(nodes: dict[str, tuple[Node, Told]], id: str) -> None:
    """Cut what links one node with the others, and wait for new links: old ones prove nothing."""
    mesh = log_of(nodes[id][0]).mesh
    before = {each.node: each.reconnects for each in mesh.status()}
    for link in list(mesh._links):
        link.abort("a test wants another one")
    await until(
        lambda: linked(nodes) and all(each.reconnects > before[each.node] for each in mesh.status())
    )


async def reloaded(nodes: dict[str, tuple[Node, Told]], id: str, **told: Any) -> None:
    """Have one node go by other options, or by files that are other ones now; relink it."""
    node, process = nodes[id]
    process.wanted = replace(node.config, **told)
    assert (await node.reload())["mistakes"] == []
    await relinked(nodes, id)


def test_authorities_and_tokens_are_changed_node_by_node(tmp_path: Path) -> None:
    """In each of three rounds each node in turn; after every single step all can link anew."""
    (tmp_path / "old").mkdir()
    old, new = Authority(tmp_path / "old", "old"), Authority(tmp_path / "old", "new")
    both = old.ca.read_bytes() + new.ca.read_bytes()

    async def scenario() -> None:
        async with three(tmp_path, old) as nodes:
            for id in IDS:  # both are taken, the old ones shown
                (tmp_path / f"{id}-ca.pem").write_bytes(both)
                await reloaded(nodes, id, token_also=NEW)
            for id in IDS:  # both are taken, the new ones shown
                new.node(id, to=tmp_path / f"{id}.pem")
                await reloaded(nodes, id, token=NEW, token_also=OLD)
            for id in IDS:  # the new ones alone
                (tmp_path / f"{id}-ca.pem").write_bytes(new.ca.read_bytes())
                await reloaded(nodes, id, token_also="")
            # The old token is worth nothing any more, nor is the old authority.
            for lost in ({"token": OLD}, between(old.node("n3"), tmp_path / "n3-ca.pem")):
                node, process = nodes["n3"]
                before, process.wanted = node.config, replace(node.config, **lost)
                assert (await node.reload())["mistakes"] == []
                mesh = log_of(node).mesh
                for link in list(mesh._links):
                    link.abort("a test wants another one")
                await until(lambda mesh=mesh: all(each.why for each in mesh.status()))  # type: ignore[misc]
                assert not linked(nodes)
                process.wanted = before
                await node.reload()
                for each in IDS[:2]:
                    mesh.hurry(each)
                    log_of(nodes[each][0]).mesh.hurry("n3")
                await until(lambda: linked(nodes))

    run(scenario())


def test_a_mesh_certificate_is_taken_up_by_itself_and_links_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(certificates, "LOOK_S", 0.05)
    caplog.set_level("INFO", "tlru.node.certificates")
    authority = Authority(tmp_path)

    async def scenario() -> None:
        async with three(tmp_path, authority) as nodes:
            await until(lambda: linked(nodes))
            mesh = log_of(nodes["n2"][0]).mesh
            links, context = set(mesh._links), mesh.settings.tls_listen
            authority.node("n2", to=tmp_path / "n2.pem")
            await until(lambda: mesh.settings.tls_listen is not context)
            assert set(mesh._links) == links
            await relinked(nodes, "n2")

    run(scenario())
    assert "new certificates are in use" in caplog.text


def test_a_node_does_not_start_with_the_certificate_of_another(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = between(authority.node("n2"), authority.ca)
    with pytest.raises(TlruError, match=r"is for n2, and this is n1: have tlru://node/n1 among"):
        Node(Config(id="n1", **files))
