"""A cluster that is run over HTTP: on any node, whichever has to do it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

import tlru
from peers.clocks import boot_ms
from tests.node.clusters import QUICK, Nodes, three
from tests.node.http.visiting import Heard
from tests.running import Talker, run, talking, until
from tlru.node import seats
from tlru.node.cluster import own_seat, sharing


def _ok(heard: Heard) -> Any:
    assert heard.status == 200, heard
    return heard.json


def _written(made: Nodes, id: str) -> Any:
    """What a node's cluster.json says."""
    assert made.folder is not None
    return json.loads((made.folder / id / "state" / "cluster.json").read_text())


# -- looking


def test_each_member_says_how_it_is_and_one_that_is_silent_since_when() -> None:
    async def test() -> None:
        async with three() as made:
            told = _ok(await made.ask("n2", "GET", "/v1/nodes"))
            assert told["leader"] == "n1"
            pids = {each["pid"] for each in told["nodes"]}
            assert [each["status"] for each in told["nodes"]] == ["active"] * 3
            assert len(pids) == 1, "each was asked: they live in one process here"
            links = {each["id"]: [link["to"] for link in each["links"]] for each in told["nodes"]}
            assert links == {"n1": ["n2", "n3"], "n2": ["n1", "n3"], "n3": ["n1", "n2"]}
            figures = told["nodes"][0]["links"][0]
            assert figures["state"] == "connected"
            assert figures["round_trip_ms"] is None or figures["round_trip_ms"] > 0
            await made.stop("n3")
            await until(lambda: not made.seats("n1")["n3"]["heard"])
            await until_told(made, "n1", "n3", "silent")
            one = _ok(await made.ask("n1", "GET", "/v1/nodes/n3"))
            assert one["silent_s"] > 0
            assert abs(time.time() * 1000 - one["silent_since"] - one["silent_s"] * 1000) < 5_000
            assert "no link with n3" in one["why"]
            async with tlru.connect(made["n1"].url, timeout=10) as cache:
                assert (await cache.node("n3"))["status"] == "silent"
                assert len((await cache.nodes())["nodes"]) == 3

    run(test())


async def until_told(made: Nodes, at: str, id: str, status: str) -> None:
    """Wait until a node tells this of a member."""
    while True:
        if _ok(await made.ask(at, "GET", f"/v1/nodes/{id}"))["status"] == status:
            return
        await asyncio.sleep(0.05)


def test_many_who_look_cost_each_member_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with three() as made:
            asked = []
            handler = made.log("n2").asking.handler

            async def counting(sender: str, body: bytes, within_s: float) -> bytes:
                if msgpack.unpackb(body)["what"] == "status":  # they ask for their weights as well
                    asked.append(sender)
                answer: bytes = await handler(sender, body, within_s)
                return answer

            made.log("n2").asking.handler = counting
            desk = made["n1"].desk(made["n1"].services["default"])
            await asyncio.gather(*(desk.members.told() for _ in range(1_000)))
            assert asked == ["n1"]

    run(test())


# -- changing


def test_what_one_node_is_asked_whoever_leads_does(tmp_path: Path) -> None:
    """A follower is asked for another priority: the lead moves, all know it, clients are told."""

    async def test() -> None:
        async with three(tmp_path) as made, talking(made["n2"]) as client:
            done = _ok(await made.ask("n2", "PATCH", "/v1/nodes/n3", json={"priority": 500}))
            assert (done["id"], done["priority"]) == ("n3", 500)
            await _until_told_of(client, id="n3", priority=500)
            await until(lambda: made.leader() == "n3")
            for id in made.running:
                await until(lambda id=id: _priority(_written(made, id), "n3") == 500)  # type: ignore[misc]
            before = {id: _stamp(made, id) for id in made.running}
            again = _ok(await made.ask("n1", "PATCH", "/v1/nodes/n3", json={"priority": 500}))
            assert again["index"] >= done["index"]
            _ok(await made.ask("n1", "PATCH", "/v1/settings", json={"max_entries": 7}))
            assert {id: _stamp(made, id) for id in made.running} == before, "not written again"

    run(test())


async def _until_told_of(client: Talker, **wanted: Any) -> None:
    """Wait until a client is pushed a list of servers with such a one."""
    while True:
        push = await client.receive()
        assert push["push"] == "servers"
        if any(wanted.items() <= server.items() for server in push["servers"]):
            return


def _priority(written: Any, id: str) -> int:
    fields = written.get("cluster", written)
    found = {m["id"]: m["priority"] for m in fields["members"]}
    return int(found[id])


def _stamp(made: Nodes, id: str) -> tuple[int, int]:
    assert made.folder is not None
    found = (made.folder / id / "state" / "cluster.json").stat()
    return found.st_mtime_ns, found.st_ino


def test_a_member_that_is_removed_stays_out_until_it_comes_with_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with three(tmp_path) as made:
            with caplog.at_level(logging.ERROR):
                done = _ok(await made.ask("n3", "DELETE", "/v1/nodes/n3"))
                assert done["removed"] is True
                await until(lambda: made["n3"].status == "removed")
                await until(lambda: "start it with an empty data_dir" in caplog.text)
            gone = await made.ask("n1", "DELETE", "/v1/nodes/n3")
            assert (gone.status, gone.code) == (404, "not_found")
            refused = await made.ask("n3", "PATCH", "/v1/nodes/n1", json={"priority": 1})
            assert (refused.status, refused.code) == (503, "removed")
            config = await made.stop("n3")
            await made.start(config)
            await until(lambda: made["n3"].status == "removed")
            told = _ok(await made.ask("n3", "GET", "/v1/status"))
            assert "stays out" in told["alarms"][0]
            await made.stop("n3")
            assert set(made.seats("n1")) == {"n1", "n2"}
            said = _ok(await made.ask("n1", "POST", "/v1/nodes", json={"id": "n3"}))
            assert said["member"] is False
            assert said["start"][:3] == ["tlru", "serve", "--id=n3"]
            assert set(said["start"][3].removeprefix("--join=").split(",")) == set(made.meshes[:2])
            fresh = made.config("n3", made.meshes[2], data_dir=tmp_path / "anew", priority=80)
            await made.start(fresh)
            await made.until_active("n3")

    run(test())


def test_a_leader_that_is_removed_lets_another_lead_first() -> None:
    async def test() -> None:
        async with three() as made:
            await until(lambda: all(_may_vote(made, id) for id in made.running))
            async with writing(made) as writer:
                _ok(await made.ask("n2", "DELETE", "/v1/nodes/n1"))
                await until(lambda: made["n1"].status == "removed")
                assert set(made.seats("n2")) == {"n2", "n3"}
            assert writer.longest < QUICK["election_timeout"], "nobody waited for an election"

    run(test())


def test_the_lead_is_handed_over_under_writes_and_no_write_fails(
    record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> float:
        async with three(hand_back=False) as made:
            await until(lambda: all(_may_vote(made, id) for id in made.running))
            async with writing(made) as writer:
                for to in ("n3", "n1", "n2"):
                    done = _ok(await made.ask("n1", "POST", f"/v1/nodes/{to}/lead"))
                    assert done["leader"] == to
                    await until(lambda to=to: made.leader() == to)  # type: ignore[misc]
                    await writer.more(10)
            return writer.longest

    longest = run(test())
    record_property("longest_write_ms", round(longest * 1000, 1))
    with capsys.disabled():
        print(
            f" (the longest write while the lead was handed over: {longest * 1000:.0f} ms)", end=""
        )
    assert longest < QUICK["election_timeout"], "shorter than an election"


def _may_vote(made: Nodes, id: str) -> bool:
    """A node that has only just started does not vote, so nobody can be elected with it."""
    state = made.log(id).replica.state
    return bool(boot_ms() - state.started >= state.timing.election_timeout_ms)


class Writer:
    """A client that counts for as long as it is let."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.count, self.longest = 0, 0.0
        self.going = True

    async def run(self) -> None:
        """Count, each time through the log."""
        while self.going:
            began = time.monotonic()
            self.count += 1
            assert await self.cache.incr("count") == self.count
            self.longest = max(self.longest, time.monotonic() - began)

    async def more(self, count: int) -> None:
        """Wait until so much more is counted."""
        wanted = self.count + count
        await until(lambda: self.count >= wanted)


@asynccontextmanager
async def writing(made: Nodes) -> AsyncIterator[Writer]:
    """Somebody counts meanwhile, and no count fails."""
    urls = [made[id].url for id in reversed(made.running)]
    async with tlru.connect(*urls, timeout=10) as cache:
        writer = Writer(cache)
        task = asyncio.create_task(writer.run())
        await writer.more(20)
        try:
            yield writer
            await writer.more(20)
        finally:
            writer.going = False
            await task


def test_a_lead_that_will_not_stay_is_told_so() -> None:
    async def test() -> None:
        async with three(settle=5.0) as made:
            done = _ok(await made.ask("n3", "POST", "/v1/nodes/n3/lead"))
            assert done["note"].startswith("n1 has a higher priority")
            missing = await made.ask("n3", "POST", "/v1/nodes/n9/lead")
            assert missing.status == 404
            _ok(await made.ask("n1", "PATCH", "/v1/nodes/n2", json={"role": "observer"}))
            await until(lambda: made.seats("n3")["n2"]["role"] == "observer")
            never = await made.ask("n3", "POST", "/v1/nodes/n2/lead")
            assert (never.status, "observers never lead" in never.json["detail"]) == (400, True)

    run(test())


def test_a_node_that_comes_back_elsewhere_is_known_there(tmp_path: Path) -> None:
    async def test() -> None:
        async with three(tmp_path) as made, talking(made["n1"]) as client:
            _ok(await made.ask("n1", "PATCH", "/v1/nodes/n3", json={"priority": 75}))
            await _until_told_of(client, id="n3", priority=75)
            before = await made.stop("n3")
            moved = made.config(
                "n3", "127.0.0.1:0", priority=before.priority, zone="z", label={"rack": "9"}
            )
            node = await made.start(moved)
            await made.until_active("n3")
            await until(lambda: made.seats("n1")["n3"]["details"].get("zone") == "z")
            for id in made.running:
                await until(lambda id=id: made.log("n3").mesh.address in str(_written(made, id)))  # type: ignore[misc]
            # What a person set stays; what the node says of itself follows.
            await _until_told_of(client, id="n3", url=node.url, zone="z", priority=75)
            one = _ok(await made.ask("n1", "GET", "/v1/nodes/n3"))
            assert one["labels"] == {"rack": "9"}
            assert one["priority"] == 75
            await made.stop("n3")
            await made.start(made.config("n3", "127.0.0.1:0", priority=60))
            await made.until_active("n3")
            await until(lambda: made.seats("n1")["n3"]["priority"] == 60)

    run(test())


def test_a_seat_that_says_what_the_node_is_is_let_be() -> None:
    async def test() -> None:
        async with three() as made:
            index = made.log("n1").replica.state.log.changed
            node = made["n2"]
            keeper = node.desk(node.services["default"])._own_seat
            for _ in range(3):
                await keeper._look(made.log("n2"))
            assert made.log("n1").replica.state.log.changed == index
            there = made.log("n2").replica.state.membership.get("n2")
            assert own_seat.changes(there, there) == {}

    run(test())


# -- the node itself


def test_a_node_takes_anothers_state_when_it_is_told_to() -> None:
    async def test() -> None:
        async with three() as made:
            async with tlru.connect(made["n1"].url, timeout=10) as cache:
                await cache.set("a", 1)
                machine = made["n3"].services["default"].machine
                answer = _ok(await made.ask("n1", "POST", "/v1/nodes/n3/restore"))
                assert answer["pos"] > 0
                assert made["n3"].services["default"].machine is not machine
            async with tlru.connect(made["n3"].url, timeout=10) as cache:
                assert await cache.get("a", read="linear") == 1

    run(test())


def test_a_lone_survivor_goes_on_by_a_persons_word() -> None:
    async def test() -> None:
        async with three() as made:
            async with tlru.connect(made["n1"].url, timeout=10) as cache:
                await cache.set("a", 1, ack="all")
            early = await made.ask("n3", "POST", "/v1/nodes/n3/revive", json={"members": ["n3"]})
            assert (early.status, "nothing to be revived" in early.json["detail"]) == (400, True)
            for id in ("n1", "n2"):
                # As if the power had gone: nobody hands anything over.
                made.log(id)._stopping = True
                await made.log(id).mesh.stop()
            await until(lambda: made["n3"].status == "isolated")
            refused = await made.ask("n3", "DELETE", "/v1/nodes/n1?timeout=0.2")
            assert (refused.status, refused.code) == (503, "isolated")
            other = await made.ask("n3", "POST", "/v1/nodes/n1/revive", json={"members": ["n1"]})
            assert "ask n1 itself" in other.json["detail"]
            done = _ok(
                await made.ask("n3", "POST", "/v1/nodes/n3/revive", json={"members": ["n3"]})
            )
            assert done["epoch"].startswith("2-")
            async with tlru.connect(made["n3"].url, timeout=10) as cache:
                assert await cache.get("a") == 1
                await cache.set("b", 2)
            for id in ("n1", "n2"):
                made.log(id)._stopping = False

    run(test())


def test_a_node_that_is_told_by_another_reports_to_whoever_asked() -> None:
    """These are parts of a program that configured them: they have nothing to read again."""

    async def test() -> None:
        async with three() as made:
            for what in ("reload", "restart"):
                done = _ok(await made.ask("n1", "POST", f"/v1/nodes/n2/{what}"))
                assert done["id"] == "n2"
                (mistake,) = done["mistakes"]
                assert "no sources" in mistake
            assert done["restarting"] is False

    run(test())


# -- all of them


def test_settings_change_on_all_nodes_at_once() -> None:
    async def test() -> None:
        async with three() as made:
            done = _ok(await made.ask("n3", "PATCH", "/v1/settings", json={"max_entries": 3}))
            assert done["settings"]["max_entries"] == 3
            for id in made.running:
                machine = made[id].services["default"].machine
                await until(lambda m=machine: m.index >= done["pos"])  # type: ignore[misc]
                assert machine.settings["max_entries"] == 3
            async with tlru.connect(made["n2"].url, timeout=10) as cache:
                for number in range(9):
                    await cache.set(f"k{number}", number)
            await until(lambda: made["n1"].services["default"].machine.items.count <= 3)
            _ok(await made.ask("n1", "PATCH", "/v1/settings", json={"max_entries": None}))
            for wrong in ({"max_things": 1}, {"max_bytes": -1}, {"once_ms": None}, {}):
                refused = await made.ask("n1", "PATCH", "/v1/settings", json=wrong)
                assert refused.status == 400, wrong
            told = _ok(await made.ask("n1", "GET", "/v1/settings"))["settings"]
            assert told["max_entries"] is None

    run(test())


def test_settings_of_a_configuration_count_when_the_cluster_is_founded(tmp_path: Path) -> None:
    async def test() -> None:
        async with three(tmp_path, max_entries=100) as made:
            for id in made.running:
                machine = made[id].services["default"].machine
                await until(lambda m=machine: m.settings["max_entries"] == 100)  # type: ignore[misc]
            done = _ok(await made.ask("n2", "PATCH", "/v1/settings", json={"max_entries": 50}))
            await made.start(await made.stop("n1"))
            await until(lambda: made.leader() == "n1" and made.log("n1").leads)
            machine = made["n1"].services["default"].machine
            before = machine.index
            _ok(await made.ask("n1", "PATCH", "/v1/settings", json={"once_ms": 60_000}))
            await until(lambda: machine.index > max(before, done["pos"]))
            assert machine.settings["max_entries"] == 50, "a person's word stays"

    run(test())


def test_a_level_is_put_in_force_once_all_can_apply_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with three(tmp_path) as made:
            told = _ok(await made.ask("n2", "GET", "/v1/upgrade"))
            assert (told["level"], told["possible"]) == (1, 1)
            done = _ok(await made.ask("n2", "POST", "/v1/upgrade/finalize"))
            assert (done["level"], done["raised"]) == (1, False)
            # As if n1 ran a later release than the others.
            config = await made.stop("n1")
            monkeypatch.setattr(seats, "LEVEL", 2)
            await made.start(config)
            await until(lambda: made.leader() == "n1")
            refused = await made.ask("n2", "POST", "/v1/upgrade/finalize?timeout=1")
            assert refused.status == 400
            assert "n2, n3 cannot apply level 2" in refused.json["detail"]
            for id in ("n2", "n3"):
                await made.start(await made.stop(id))
                await made.until_active(id)
            await until(lambda: made.leader() == "n1")
            await until(lambda: _levels_known(made))
            done = _ok(await made.ask("n2", "POST", "/v1/upgrade/finalize"))
            assert (done["level"], done["raised"]) == (2, True)

    run(test())


def _levels_known(made: Nodes) -> bool:
    state = made.log("n1").replica.state
    return all(
        state.levels.get(member.origin) == 2
        for member in state.membership.members
        if member.id != "n1"
    )


def test_clients_are_asked_to_spread() -> None:
    async def test() -> None:
        async with three() as made:
            clients = [talking(made["n1"]) for _ in range(6)]
            talkers = [await each.__aenter__() for each in clients]
            done = _ok(await made.ask("n3", "POST", "/v1/rebalance", json={"within": 2}))
            assert done["clients"] == {"n1": 6, "n2": 0, "n3": 0}
            assert done["asked"] == {"n1": 4}
            pushes = []
            for talker in talkers:
                await talker.send({"id": 1, "op": "ping"})
                while (said := await talker.receive()).get("id") != 1:
                    pushes += [said] if said["push"] == "goaway" else []
            assert len(pushes) == 4
            assert all(push["reason"] == "rebalance" for push in pushes)
            assert {s["id"] for s in pushes[0]["servers"]} == {"n2", "n3"}
            for each in clients:
                await each.__aexit__(None, None, None)

    run(test())


@pytest.mark.parametrize(
    ("clients", "over"),
    [
        ({"a": 9, "b": 0, "c": 0}, {"a": 6}),
        ({"a": 5, "b": 5}, {}),
        ({"a": 6, "b": 5}, {}),
        ({"a": 7, "b": 7, "c": 1}, {"a": 2, "b": 2}),
        ({"a": 3}, {}),
        ({}, {}),
    ],
)
def test_who_has_more_than_his_share_gives_that_away(
    clients: dict[str, int], over: dict[str, int]
) -> None:
    assert sharing.excess(clients, dict.fromkeys(clients, 1.0)) == over
    if clients.keys() == {"a", "b"} and not over:
        assert sharing.excess(clients, {"a": 0.0, "b": 1.0}) == {"a": clients["a"]}


WRONG: list[tuple[str, str, Any]] = [
    ("POST", "/v1/nodes", {}),
    ("POST", "/v1/nodes", {"id": "a b"}),
    ("POST", "/v1/nodes", {"id": "n1", "zone": "x"}),
    ("PATCH", "/v1/nodes/n1", {}),
    ("PATCH", "/v1/nodes/n1", {"priority": 1_001}),
    ("PATCH", "/v1/nodes/n1", {"priority": True}),
    ("PATCH", "/v1/nodes/n1", {"role": "king"}),
    ("PATCH", "/v1/nodes/n1", {"labels": {}}),
    ("PATCH", "/v1/nodes/n1?timeout=0", {"priority": 1}),
    ("POST", "/v1/nodes/n1/revive", {}),
    ("POST", "/v1/nodes/n1/revive", {"members": ["no member"]}),
    ("POST", "/v1/rebalance", {"within": -1}),
]


def test_what_makes_no_sense_is_refused() -> None:
    async def test() -> None:
        async with three() as made:
            for method, path, body in WRONG:
                refused = await made.ask("n2", method, path, json=body)
                assert (refused.status, refused.code) == (400, "bad_request"), (path, body, refused)

    run(test())
