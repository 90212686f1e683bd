"""A node in this program: which options a reload takes up, and what it says to the others."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peers.cluster.cluster import ClusterLog
from peers.mesh.status import PeerState
from tests.config.test_sources import SAMPLES
from tests.peers.test_mesh_tls import OPENSSL, certificate
from tests.ports import free_ports
from tests.running import run, talking, until
from tlru.config import OPTIONS, Config
from tlru.errors import TlruError
from tlru.node import Node
from tlru.node.reload import AWAY


class Told:
    """A process whose sources say what a test says."""

    def __init__(self, config: Config) -> None:
        self.wanted: Config | Exception = config
        self.taken: list[Config] = []
        self.begun = 0

    def resolve(self) -> Config:
        """What is said now."""
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.wanted

    def taken_up(self, config: Config) -> None:
        """The node goes by it."""
        self.taken.append(config)

    def begin_anew(self) -> None:
        """It would begin anew."""
        self.begun += 1


@contextlib.asynccontextmanager
async def told(**options: Any) -> AsyncIterator[tuple[Node, Told]]:
    """A node and its process."""
    config = Config(**{"listen": "127.0.0.1:0", "mesh": "127.0.0.1:0", **options})
    process = Told(config)
    async with Node(config, process=process) as node:
        yield node, process


# What goes with an option, where it would be a mistake by itself.
WITH: dict[str, dict[str, Any]] = {
    "listen": {"listen": "localhost:0"},
    "mesh": {"mesh": "localhost:0"},
    "bootstrap": {"bootstrap": ("n1",)},
    "expect": {"expect": 1},
    "value_bytes": {"value_bytes": 2 << 20},
    "push_bytes": {"push_bytes": 1 << 20},
}
# Those that mean nothing alone: test_tls.py and tests below change them.
_TOGETHER = ("mesh_cert", "mesh_key", "mesh_ca", "tls_cert", "tls_key", "token_also")
_FILES = ("tokens_file", "jwt_keys", "revoked_file")
_ASK = ("jwt_keys_url",)  # with it clients must say who they are: tests/node/access
_ELSEWHERE = _TOGETHER + _FILES + _ASK


@pytest.mark.parametrize("name", [one.name for one in OPTIONS if one.name not in _ELSEWHERE])
def test_every_option_changes_in_place_or_is_said_to_need_a_restart(name: str) -> None:
    """Of a node alone; `join` makes it one of several, which is another kind of log."""

    async def scenario() -> None:
        async with told() as (node, process):
            running = node.config
            process.wanted = replace(running, **WITH.get(name, {name: SAMPLES[name]}))
            answer = await node.reload()
            lives = next(one.live for one in OPTIONS if one.name == name) and name != "join"
            changed, others = ([name], []) if lives else ([], [name])
            assert answer == {"changed": changed, "needs_restart": others, "mistakes": []}
            assert node.config == (process.wanted if lives else running)
            assert process.taken == [node.config]
            assert (await node.reload())["changed"] == []
            async with talking(node) as client:
                assert (await client.ask("hello"))["limits"] == node.config.limits().to_wire()

    run(scenario())


def test_limits_that_a_client_was_told_stay_its_own() -> None:
    async def scenario() -> None:
        async with told() as (node, process), talking(node) as before:
            process.wanted = replace(node.config, batch=1, in_flight=1)
            await node.reload()
            assert (await before.ask("hello"))["limits"]["batch"] == 1_024
            await before.send({"id": 8, "op": "ping"}, {"id": 9, "op": "ping"})
            assert [(await before.receive())["ok"] for _ in range(2)] == [True, True]
            async with talking(node) as after:
                await after.send({"id": 8, "op": "ping"}, {"id": 9, "op": "ping"})
                assert [(await after.receive())["ok"] for _ in range(2)] == [True, False]

    run(scenario())


def test_what_can_change_is_refused_where_it_does_not_fit_what_cannot() -> None:
    """Who has founded with others finds them at join; and who founds, needs a restart."""

    async def scenario() -> None:
        async with told(bootstrap=("n1", "n2"), join=("127.0.0.1:1",)) as (node, process):
            process.wanted = replace(node.config, join=(), bootstrap=("n1",), zone="b")
            (mistake,) = (await node.reload())["mistakes"]
            assert "founders find each other at the addresses of join" in mistake
            assert (node.config.zone, process.taken) == ("", [])

    run(scenario())


def test_a_node_without_sources_says_so_and_a_node_that_stops_does_not_reload() -> None:
    async def scenario() -> None:
        async with Node(listen="127.0.0.1:0") as node:
            (mistake,) = (await node.reload())["mistakes"]
            assert "has no sources" in mistake
            refused = await node.restart()
            assert (refused["restarting"], refused["mistakes"]) == (False, [mistake])
        async with told() as (node, process):
            await node.stop()
            assert (await node.restart())["mistakes"] == [AWAY]
            assert process.begun == 0

    run(scenario())


# Several nodes


@contextlib.asynccontextmanager
async def two_nodes(**options: Any) -> AsyncIterator[list[tuple[Node, Told]]]:
    """Two that share a cache."""
    options = {"heartbeat": 0.02, "election_timeout": 0.2, **options}
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(told(id="a", bootstrap=("a",), join=(), **options))
        address = log_of(first[0]).mesh.address
        second = await stack.enter_async_context(told(id="b", join=(address,), **options))
        both = [first, second]
        await until(lambda: all(node.status == "active" for node, _ in both))
        yield both


def log_of(node: Node) -> ClusterLog:
    """The log of a node that is one of several."""
    log = node.services["default"].log
    assert isinstance(log, ClusterLog)
    return log


def settings_of(node: Node) -> tuple[Any, Any]:
    """The budgets that it goes by."""
    settings = node.services["default"].machine.settings
    return settings["max_bytes"], settings["max_entries"]


def test_what_founders_are_told_of_budgets_holds_and_any_node_may_change_it() -> None:
    async def scenario() -> None:
        async with two_nodes(max_bytes=5 << 20) as both:
            await until(lambda: {settings_of(node) for node, _ in both} == {(5 << 20, None)})
            node, process = both[1]
            assert not node.services["default"].log.leads
            process.wanted = replace(node.config, max_bytes=6 << 20, max_entries=9)
            assert (await node.reload())["changed"] == ["max_bytes", "max_entries"]
            await until(lambda: {settings_of(node) for node, _ in both} == {(6 << 20, 9)})
            other, process = both[0]
            process.wanted = replace(other.config, max_bytes=7 << 20)
            assert (await other.reload())["changed"] == ["max_bytes"]
            await until(lambda: {settings_of(node) for node, _ in both} == {(7 << 20, 9)})

    run(scenario())


def test_a_mesh_moves_while_its_links_stay_and_who_comes_finds_it() -> None:
    async def scenario() -> None:
        async with two_nodes() as both:
            (a, process), (b, _) = both
            before, (link,) = log_of(a).mesh.address, log_of(b).mesh.status()
            seats: list[str] = []
            a.on_seat_changed.append(lambda: seats.append(str(log_of(a).seat)))
            process.wanted = replace(a.config, mesh="127.0.0.2:0", settle=1.0, zone="z")
            assert (await a.reload())["changed"] == ["zone", "mesh", "settle"]
            after = log_of(a).mesh.address
            assert after.startswith("127.0.0.2:")
            assert after != before
            assert (seats[0].count(after), seats[0].count("'z'")) == (1, 1)
            replica = log_of(a).replica
            assert replica is not None
            assert replica.state.timing.settle_ms == 1_000
            (same,) = log_of(b).mesh.status()
            assert (same.state, same.reconnects) == (PeerState.CONNECTED, link.reconnects)
            async with told(id="c", join=(after,)) as (c, _):
                await until(lambda: c.status == "active")
            taken = replace(a.config, mesh=log_of(b).mesh.address, zone="y")
            process.wanted = taken
            (mistake,) = (await a.reload())["mistakes"]
            assert mistake.startswith(f"mesh: cannot listen on {taken.mesh}: ")
            assert (a.config.zone, log_of(a).mesh.address) == ("z", after)

    run(scenario())


@pytest.mark.skipif(OPENSSL is None, reason="certificates are made by openssl")
def test_nodes_with_certificates_need_no_token_and_a_renewed_one_is_taken_up(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Each listens on every interface, which without certificates would be refused."""
    ours, foreign, new = (
        certificate(tmp_path_factory.mktemp(name), "node") for name in ("ours", "foreign", "new")
    )
    ports = dict(zip("abcd", free_ports(4), strict=True))

    def of(id: str, cert: Path, **more: Any) -> dict[str, Any]:
        files = {"mesh_cert": cert, "mesh_key": cert.with_suffix(".key"), "mesh_ca": cert}
        address = f"127.0.0.1:{ports[id]}"
        places = {"mesh": f":{ports[id]}", "advertise_mesh": (address,)}
        joins = {} if id == "a" else {"join": (f"127.0.0.1:{ports['a']}",)}
        return {"id": id, **places, **joins, **files, **more}

    async def scenario() -> None:
        async with told(bootstrap=("a",), join=("127.0.0.1:1",), **of("a", ours)) as (a, process):
            async with told(**of("b", ours, role="observer")) as (b, _):
                await until(lambda: b.status == "active")
            async with told(**of("c", foreign)) as (c, _):
                await until(lambda: "certificate verify failed" in caplog.text)
                assert c.status != "active"
            ours.write_bytes(ours.read_bytes() + new.read_bytes())  # as mesh_ca: both are good
            assert (await a.reload())["changed"] == ["mesh_cert"]
            assert (await a.reload())["changed"] == []
            async with told(**of("d", new, mesh_ca=ours)) as (d, _):
                await until(lambda: d.status == "active")
            process.wanted = replace(a.config, mesh_ca=Path("/nowhere/ca.pem"))
            assert (await a.reload())["mistakes"] == [
                "mesh_ca: /nowhere/ca.pem cannot be read: No such file or directory"
            ]

    run(scenario())


def test_certificates_that_are_of_no_use_are_told_with_their_option(tmp_path: Any) -> None:
    if OPENSSL is None:
        pytest.skip("certificates are made by openssl")
    good, other = certificate(tmp_path, "good"), certificate(tmp_path, "other")
    key = good.with_suffix(".key")

    def told_of(**files: Any) -> str:
        with pytest.raises(TlruError) as caught:
            Node(**{"mesh_cert": good, "mesh_key": key, "mesh_ca": good, **files})
        return str(caught.value)

    assert "key values mismatch" in told_of(mesh_key=other.with_suffix(".key")).lower().replace(
        "_", " "
    )
    locked = tmp_path / "locked.key"
    subprocess.run(
        [OPENSSL, "ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    assert told_of(mesh_key=locked).endswith("readable by the node alone"), "it asks no terminal"
    assert told_of(mesh_ca=key).startswith(f"mesh_ca: {key} holds no certificates as PEM")
