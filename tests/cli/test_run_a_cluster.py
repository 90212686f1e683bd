"""node, settings and upgrade, against three nodes on real ports."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.node.clusters import Nodes, three
from tests.running import run, talking, until
from tlru._version import __version__
from tlru.cli import main
from tlru.cli.exits import Exit
from tlru.node import Node


@dataclass
class Shell:
    """Runs command lines at a node of a cluster, in this process."""

    nodes: Nodes
    page: pytest.CaptureFixture[str]
    at: str = "n2"

    async def run(self, *argv: str, at: str | None = None) -> tuple[int, str, str]:
        """One command line to its end: status, stdout, stderr."""
        server = self.nodes[at or self.at].http_url
        self.page.readouterr()
        told = [*argv, "--server", server, "--timeout", "10s"]
        status = await asyncio.to_thread(main, told)
        return (status, *self.page.readouterr())

    async def done(self, *argv: str, at: str | None = None) -> str:
        """A command that has nothing to say but words."""
        status, out, err = await self.run(*argv, at=at)
        assert (status, out) == (Exit.OK, ""), err
        return err

    async def json(self, *argv: str, at: str | None = None) -> Any:
        """What a command says to programs."""
        status, out, err = await self.run(*argv, "--json", at=at)
        assert status == Exit.OK, err
        return json.loads(out)


def test_a_cluster_is_looked_at_and_changed(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with three(hand_back=False) as made:
            shell = Shell(made, capfd)
            status, out, _ = await shell.run("node", "list")
            assert status == Exit.OK
            head, *rows = [line.split() for line in out.splitlines()]
            assert head == ["id", "status", "role", "priority", "lag", "ms", "release", "address"]
            assert [row[:4] for row in rows] == [
                ["n1", "active", "leads", "100"],
                ["n2", "active", "voter", "90"],
                ["n3", "active", "voter", "80"],
            ]
            assert all(__version__ in row for row in rows)
            assert rows[2][-1] == f"127.0.0.1:{made['n3'].port}"
            told = await shell.json("node", "list", at="n3")
            assert [each["id"] for each in told["nodes"]] == ["n1", "n2", "n3"]

            said = await shell.done("node", "set", "n3", "--priority", "120")
            assert said.startswith("tlru: n3 is changed: priority 120, by entry ")
            assert (await shell.json("node", "set", "n3", "--role", "voter"))["role"] == "voter"
            said = await shell.done("node", "lead", "n2")
            assert "n2 leads" in said
            assert made.leader() == "n2"
            assert (await shell.json("node", "lead", "n2"))["leader"] == "n2"

            said = await shell.done("node", "remove", "n3")
            assert said == "tlru: n3 is out\n"
            said = await shell.done("node", "remove", "n3")
            assert said == "tlru: there is no member 'n3' (any more): nothing was done\n"
            status, out, err = await shell.run("node", "add", "n3", "--role", "observer")
            assert out.startswith("tlru serve --id=n3 --join=127.0.0.1:")
            assert out.endswith(" --role=observer\n")
            assert "start it by that line" in err
            line = out.split()
            await made.stop("n3")
            joins = line[3].removeprefix("--join=").split(",")
            fresh = made.config("n3", made.meshes[2], join=joins, expect=0, role="observer")
            waiting = asyncio.create_task(shell.run("node", "add", "n3", "--wait"))
            await made.start(fresh)
            status, _, err = await waiting
            assert status == Exit.OK, err
            assert made.seats("n1")["n3"]["role"] == "observer"

    run(test())


def test_what_cannot_be_is_told_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with three() as made:
            shell = Shell(made, capfd)
            for argv, wanted, words in (
                (("node", "lead", "n9"), Exit.REFUSED, "no member is called"),
                (("node", "set", "n9", "--priority", "1"), Exit.REFUSED, "no member is called"),
                (("node", "set", "n1"), Exit.USAGE, "--priority, --role"),
                (("node", "set", "n1", "--priority", "9999"), Exit.USAGE, "--priority"),
                (("node", "reload"), Exit.USAGE, "--all"),
                (("node", "revive", "n1"), Exit.USAGE, "n2, which is asked"),
                (("node", "revive", "n2", "--yes"), Exit.REFUSED, "nothing to be revived"),
                (("node", "revive", "n2"), Exit.USAGE, "--yes"),
                (("settings", "set", "size=1"), Exit.USAGE, "the settings are"),
                (("settings", "set", "max_bytes=much"), Exit.USAGE, "max_bytes"),
                (("settings", "set"), Exit.USAGE, "max_bytes=2GiB"),
                (("settings", "change"), Exit.USAGE, "set"),
            ):
                status, out, err = await shell.run(*argv)
                assert (status, out) == (wanted, ""), (argv, err)
                assert words in err, (argv, err)
            status, _, err = await shell.run("node", "lead", "n9", "--json")
            assert json.loads(err)["error"]["code"] == "not_found"
            away = await asyncio.to_thread(main, ["node", "list", "--server", "127.0.0.1:1"])
            assert away == Exit.UNAVAILABLE
            assert capfd.readouterr().err.count("\n") == 1

    run(test())


def test_settings_are_shown_and_changed(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with three() as made:
            shell = Shell(made, capfd)
            status, out, _ = await shell.run("settings")
            assert status == Exit.OK
            rows = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:]}
            assert rows == {
                "limits": "none",
                "max_bytes": "1GiB",
                "max_entries": "none",
                "once_ms": "2m",
                "tombstone_ms": "2m",
            }
            argv = ("settings", "set", "max_bytes=2MiB", "max_entries=9", "once_ms=5m")
            told = (await shell.json(*argv))["settings"]
            assert (told["max_bytes"], told["max_entries"]) == (2 << 20, 9)
            assert told["once_ms"] == 300_000
            told = (await shell.json("settings", "set", "max_entries=none"))["settings"]
            assert told["max_entries"] is None
            for id in made.running:
                settings = made[id].services["default"].machine
                await until(lambda m=settings: m.settings["max_bytes"] == 2 << 20)  # type: ignore[misc]

    run(test())


def test_releases_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with three() as made:
            shell = Shell(made, capfd)
            status, out, err = await shell.run("upgrade")
            assert status == Exit.OK
            assert [line.split() for line in out.splitlines()[1:]] == [
                [id, "active", __version__, "1"] for id in ("n1", "n2", "n3")
            ]
            assert err == "tlru: level 1 is in force, and is all that every node can apply\n"
            said = await shell.done("upgrade", "finalize")
            assert "level 1 is in force already" in said

    run(test())


def test_nodes_are_told_what_to_do(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: dict[str, dict[str, Any]] = {
        "n1": {"changed": [], "needs_restart": [], "mistakes": []},
        "n2": {"changed": ["log_level"], "needs_restart": ["listen"], "mistakes": []},
        "n3": {"changed": [], "needs_restart": [], "mistakes": ["max_bytes: odd"]},
    }

    async def reload(self: Node) -> dict[str, Any]:
        return reports[self.config.id]

    async def restart(self: Node) -> dict[str, Any]:
        self.started_at += 1
        return {"restarting": True, "changed": [], "needs_restart": [], "mistakes": []}

    monkeypatch.setattr(Node, "reload", reload)
    monkeypatch.setattr(Node, "restart", restart)

    async def test() -> None:
        async with three() as made:
            shell = Shell(made, capfd)
            status, out, err = await shell.run("node", "reload", "--all")
            assert (status, out) == (Exit.REFUSED, "")
            assert err.splitlines() == [
                "tlru: n2: changed: log_level",
                "tlru: n2: needs a restart: listen",
                "tlru: n3: max_bytes: odd",
                "tlru: n1: nothing has changed",
            ]
            said = await shell.done("node", "restart", "--all")
            assert said.splitlines() == [f"tlru: {id} serves again" for id in ("n2", "n3", "n1")]
            assert "n1 starts anew" in await shell.done("node", "restart", "n1", "--no-wait")
            said = await shell.done("node", "restore", "n3")
            assert "n3 has another's state" in said
            async with talking(made["n1"]), talking(made["n1"]):
                status, out, _ = await shell.run("node", "rebalance", "--spread", "30s")
                rows = [line.split() for line in out.splitlines()[1:]]
                assert rows == [["n1", "2", "1"], ["n2", "0", "0"], ["n3", "0", "0"]]

    run(test())
