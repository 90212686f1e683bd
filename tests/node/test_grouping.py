"""Plain sets that come together: one place in the log, and an answer for each."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from peers.core.entry import Dot, Entry, Origin
from peers.ordered_log import Ack
from tests.node.clusters import three
from tests.running import CODECS, Talker, a_node, run, talking
from tlru.engine.machine import Applied, Machine
from tlru.engine.operations import Set, SetMany
from tlru.node import Node
from tlru.node.duties import Duties
from tlru.node.grouping import BYTES_MAX, ROWS_MAX, Group
from tlru.node.pending import Write
from tlru.node.websocket import WebSocketConnection
from tlru.wire.requests import OPS

AT_ONCE = 300


class Hearing:
    """An asker that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int | None, Any]] = []
        self.waiting: dict[Any, str] = {}
        self.waits = self.push_bytes = 0

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        self.heard.append((request, fields))

    def reply_alike(self, requests: Any, fields: dict[str, Any]) -> None:
        for request in requests:
            self.reply(request, fields)

    def refuse(self, request: int | None, error: Exception) -> None:
        self.heard.append((request, error))

    def hurry(self) -> None:
        self.heard.append((None, "hurry"))


async def asked(talker: Talker, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies to messages that go in one frame, in the order of the messages."""
    numbered = [{"id": number, **message} for number, message in enumerate(messages)]
    for message in numbered:
        if "value" in message:
            message["value"] = talker.value(message["value"])
    await talker.send(*numbered)
    replies = [await talker.receive() for _ in messages]
    return sorted(replies, key=lambda reply: reply["id"])


# -- a group


def test_one_set_alone_is_a_set_and_several_are_one_operation() -> None:
    group, asker = Group(5_000, 9_000), Hearing()
    group.add({"key": "a", "value": b"1", "mime": "text/plain"}, 2, asker, 1)
    assert group.operation() == Set("a", b"1", None, mime="text/plain")
    group.add({"key": "b", "value": b"2", "ttl": 7}, 2, asker, 2)
    rows = (("a", b"1", None, None, "text/plain"), ("b", b"2", 7, None, None))
    assert group.operation() == SetMany(rows)


def test_a_group_takes_no_key_twice_and_no_other_timeout_and_not_too_much() -> None:
    group, asker = Group(5_000, 9_000), Hearing()
    group.add({"key": "a", "value": b"1"}, 2, asker, 1)
    assert group.takes("b", BYTES_MAX - 2, 5_000)
    assert not group.takes("a", 2, 5_000)
    assert not group.takes("b", 2, 4_999)
    assert not group.takes("b", BYTES_MAX - 1, 5_000)
    for number in range(ROWS_MAX - 1):
        group.add({"key": f"k{number}", "value": b""}, 0, asker, number)
    assert not group.takes("b", 0, 5_000)


def test_whoever_asked_is_answered_each_by_its_own_number() -> None:
    group, one, other = Group(5_000, 9_000), Hearing(), Hearing()
    for number, asker in enumerate((one, other, one)):
        group.add({"key": f"k{number}", "value": b""}, 0, asker, number)
    group.reply(None, {"version": 3})
    assert one.heard == [(0, {"version": 3}), (2, {"version": 3})]
    assert other.heard == [(1, {"version": 3})]


def test_what_makes_a_set_more_than_plain_is_every_field_but_these() -> None:
    """A new field of `set` is not plain, until somebody has thought about it."""
    fields = set(OPS["set"].fields)
    assert fields == {
        *("key", "value", "ttl", "mime", "timeout", "trace"),
        *("keep_ttl", "if", "rev", "old", "ack", "once"),
    }


# -- over the wire


@pytest.mark.parametrize("codec", CODECS)
def test_sets_of_one_frame_share_a_version_and_are_answered_each(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A checkpoint is an entry too, and may come at any time.
    monkeypatch.setattr(Duties, "_checkpoint", lambda self, now: None)

    async def test() -> None:
        async with a_node() as node, talking(node, codec) as talker:
            before = node.services["default"].machine.index
            sets = [{"op": "set", "key": f"k{n}", "value": n} for n in range(AT_ONCE)]
            replies = await asked(talker, *sets)
            assert [reply["id"] for reply in replies] == list(range(AT_ONCE))
            assert all(reply["ok"] and reply["applied"] for reply in replies)
            assert {reply["version"] for reply in replies} == {before + 1}
            assert node.services["default"].machine.index == before + 1
            for number in (0, 17, AT_ONCE - 1):
                found = await talker.ask("get", key=f"k{number}")
                assert (found["value"], found["version"]) == (number, before + 1)

    run(test())


def test_every_version_of_a_key_is_a_version_of_its_own() -> None:
    async def test() -> None:
        async with a_node() as node, talking(node) as talker:
            sets = [{"op": "set", "key": "k", "value": n} for n in range(5)]
            versions = [reply["version"] for reply in await asked(talker, *sets)]
            assert versions == sorted(set(versions))
            last = await talker.ask("get", key="k")
            assert (last["value"], last["version"]) == (4, versions[-1])

    run(test())


def test_writes_of_a_connection_keep_their_order_whatever_they_are() -> None:
    async def test() -> None:
        async with a_node() as node, talking(node) as talker:
            replies = await asked(
                talker,
                {"op": "set", "key": "a", "value": 1},
                {"op": "set", "key": "n", "value": 10},
                {"op": "incr", "key": "n", "by": 5},
                {"op": "set", "key": "a", "value": 2, "if": "absent"},
                {"op": "delete", "key": "a"},
                {"op": "set", "key": "a", "value": 3},
                {"op": "clear", "prefix": "a"},
                {"op": "set", "key": "z", "value": 4, "ttl": 100},
            )
            assert replies[2]["value"] == 15, "behind the set of its key"
            assert replies[3]["applied"] is False, "behind the one that was before it"
            assert (replies[4]["deleted"], replies[6]["deleted"]) == (1, 1)
            assert (await talker.ask("get", key="a"))["found"] is False
            assert (await talker.ask("get", key="z"))["ttl"] > 90

    run(test())


def test_a_touching_read_comes_behind_the_set_before_it() -> None:
    async def test() -> None:
        async with a_node() as node, talking(node) as talker:
            _, touched = await asked(
                talker,
                {"op": "set", "key": "k", "value": 1},
                {"op": "get", "key": "k", "touch": 50},
            )
            assert touched["value"] == 1
            assert (await talker.ask("get", key="k"))["ttl"] > 40

    run(test())


@pytest.mark.parametrize("in_a_frame", [32, 70])
@pytest.mark.parametrize("nodes", [1, 3])
def test_what_waits_for_room_is_taken_when_a_group_is_answered(nodes: int, in_a_frame: int) -> None:
    """Answers at once, of a node alone, and later, where others have to hold the writes, too."""

    async def ask_all(node: Node) -> None:
        async with talking(node) as talker:
            numbers = iter(range(3 * in_a_frame))
            for _ in range(3):
                part = list(islice(numbers, in_a_frame))
                value = talker.value(1)
                sets = [{"id": n, "op": "set", "key": f"k{n}", "value": value} for n in part]
                await talker.send(*sets)
            unanswered = set(range(3 * in_a_frame))
            while unanswered:
                unanswered.discard((await talker.receive()).get("id"))

    async def test() -> None:
        if nodes == 1:
            async with a_node(in_flight=64) as node:
                await ask_all(node)
        else:
            async with three(in_flight=64) as cluster:
                for node in cluster.running.values():
                    await ask_all(node)

    run(test())


def test_one_that_is_refused_leaves_the_others_be() -> None:
    async def test() -> None:
        async with a_node(max_bytes=4_000) as node, talking(node) as talker:
            replies = await asked(
                talker,
                {"op": "set", "key": "a", "value": 1},
                {"op": "set", "key": "_tlru/a", "value": 1},
                {"op": "set", "key": "b", "value": "x" * 5_000},
                {"op": "set", "key": "c", "value": 1},
            )
            codes = [reply.get("error", {}).get("code") for reply in replies]
            assert codes == [None, "forbidden", "too_large", None]
            assert replies[0]["version"] == replies[3]["version"]

    run(test())


def test_who_wants_no_answer_gets_none() -> None:
    async def test() -> None:
        async with a_node() as node, talking(node) as talker:
            value = talker.value(1)
            await talker.send(
                {"op": "set", "key": "a", "value": value},
                {"id": 7, "op": "set", "key": "b", "value": value},
            )
            reply = await talker.receive()
            assert (reply["id"], reply["applied"]) == (7, True)
            assert (await talker.ask("get", key="a"))["found"] is True

    run(test())


# -- what is certain


ITEMS = [{"key": "a", "value": b"\x01"}, {"key": "b", "value": b"\x02"}]


@pytest.mark.parametrize(
    ("message", "sure"),
    [
        ({"op": "set", "key": "a", "value": b"\x01"}, True),
        ({"op": "set", "key": "a", "value": b"\x01", "ttl": 50}, True),
        ({"op": "set_many", "items": ITEMS}, True),
        ({"op": "set_many", "items": [*ITEMS, {"key": "c", "value": b"\x03", "rev": 1}]}, False),
        ({"op": "set_many", "items": ITEMS, "ack": "all"}, False),
        (
            {"op": "set_many", "items": ITEMS, "once": {"session": "s", "n": 1}},
            False,
        ),
        ({"op": "set", "key": "a", "value": b"\x01", "if": "absent"}, False),
        ({"op": "incr", "key": "n"}, False),
    ],
)
def test_what_is_certain_to_be_done_is_answered_before_it_is(
    message: dict[str, Any], sure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client goes on beside it; what it reads afterwards is there all the same."""
    order: list[str] = []
    write, apply = WebSocketConnection.write, Machine.apply

    def written(self: WebSocketConnection, messages: list[bytes]) -> None:
        order.append("answered")
        write(self, messages)

    async def test() -> None:
        async with three() as cluster:
            node = cluster.running["n1"]
            machine = node.services["default"].machine

            def applied(self: Machine, entries: Any) -> Applied:
                if self is machine and any(entry.operation for entry in entries):
                    order.append("applied")
                return apply(self, entries)

            async with talking(node, "tlru.v1.msgpack") as talker:
                now = (await talker.ask("ping"))["time"]
                if "once" in message:
                    message["once"]["at"] = now
                with monkeypatch.context() as patched:
                    patched.setattr(WebSocketConnection, "write", written)
                    patched.setattr(Machine, "apply", applied)
                    await talker.send({"id": 1, **message})
                    while (reply := await talker.receive()).get("id") != 1:
                        pass  # of the cluster's list, perhaps
                    seen = order[: order.index("answered") + 1]
                assert reply["ok"]
                if sure:
                    assert reply["applied"]
                    assert reply["pos"] == reply["version"]
                    assert (await talker.ask("get", key="a"))["version"] == reply["version"]
                    assert reply["time"] == machine.items.store.entries["a"].at
                # Checkpoints of the node's own may come before.
                assert ("applied" in order[order.index("answered") :]) >= sure
                assert sure or seen[-2:] == ["applied", "answered"]

    run(test())


def test_a_void_is_not_certain_to_be_done() -> None:
    """Its dot has its place, so that there is no gap; the write under it is not done."""

    async def test() -> None:
        async with three() as cluster:
            service = cluster.running["n1"].services["default"]
            asker, dot = Hearing(), Dot(Origin("n1", "birth"), 1, 1)
            service._writes.add(dot, Write(asker, 1, Ack.QUORUM, 5_000, None, "set", sure=True))
            entry = Entry(7, 1, 9_000, dot, None, b"")
            service._answer_sure([entry])
            service._answer_sure([entry._replace(until=8_999, operation=b"x")])
            assert asker.heard == []
            service._answer_sure([entry._replace(until=9_000, operation=b"x")])
            fields = {"applied": True, "version": 7, "pos": 7, "time": 9_000}
            assert asker.heard == [(1, fields), (None, "hurry")]

    run(test())
