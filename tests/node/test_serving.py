"""What a node does by itself and over time: expiry, eviction, waiting for positions, locks."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest

from tests.running import CODECS, Talker, a_node, run, talking, until
from tlru.engine.items import ITEM_OVERHEAD_BYTES

both_codecs = pytest.mark.parametrize("codec", CODECS)


async def until_gone(client: Talker, key: str) -> Any:
    """Ask for a key until it is gone; the reply that says so."""
    while True:
        reply = await client.ask("get", key=key)
        if not reply["found"]:
            return reply
        assert reply["ttl"] > 0, "what is over is never served"
        await asyncio.sleep(0.005)


@both_codecs
def test_an_item_is_served_until_its_life_is_over_and_then_removed(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            done = await client.ask("set", key="brief", value=1, ttl=0.15)
            born = (await client.ask("get", key="brief"))["at"]
            gone = await until_gone(client, "brief")
            assert gone["time"] >= born + 150
            machine = node.services["default"].machine
            await until(lambda: "brief" not in machine.items.store.entries)
            assert machine.index > done["version"]

    run(scenario())


def test_what_was_gone_for_a_session_stays_gone() -> None:
    """A client that has seen a later time on another node is not shown what was over by then."""

    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.ask("set", key="k", value=1, ttl=60)
            found = await client.ask("get", key="k")
            epoch = (await client.ask("hello"))["epoch"]
            later = {"epoch": epoch, "pos": found["pos"], "time": found["time"] + 60_000}
            again = await client.ask("get", key="k", min=later)
            assert again["found"] is False
            assert again["time"] == later["time"]

    run(scenario())


def test_a_read_waits_for_the_position_that_it_names() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client, talking(node) as writer:
            pos = (await client.ask("ping") and await client.ask("get", key="k"))["pos"]
            await client.send({"id": 70, "op": "get", "key": "k", "min": pos + 20, "timeout": 60})
            for n in range(20):
                await writer.ask("set", key="k", value=n)
            reply = await client.receive()
            assert reply["id"] == 70
            assert reply["found"] is True
            assert reply["pos"] >= pos + 20

    run(scenario())


def test_waits_of_one_connection_are_bounded() -> None:
    async def scenario() -> None:
        async with a_node(waits=3) as node, talking(node) as client:
            far = {"op": "get", "key": "k", "min": 2**40, "timeout": 0.2}
            await client.send(*({"id": n, **far} for n in range(5)))
            replies = [await client.receive() for _ in range(5)]
            codes = sorted(reply["error"]["code"] for reply in replies)
            assert codes == ["overloaded"] * 2 + ["syncing"] * 3
            await client.send({"id": 9, **far})
            assert (await client.receive())["error"]["code"] == "syncing", "a place is free again"

    run(scenario())


@both_codecs
def test_a_linear_read_sees_every_write_that_was_answered_before(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as one, talking(node, codec) as two:
            for n in range(20):
                await one.ask("set", key="k", value=n)
                found = await two.ask("get", key="k", read="linear")
                assert found["value"] == n
            many = await two.ask("get_many", keys=["k", "no"], read="linear")
            assert [each["found"] for each in many["values"]] == [True, False]

    run(scenario())


def test_the_least_recently_used_go_when_the_budget_in_entries_is_full() -> None:
    async def scenario() -> None:
        async with a_node(max_entries=10) as node, talking(node) as client:
            for n in range(10):
                await client.ask("set", key=f"k{n}", value=n)
            await client.ask("get", key="k0")  # used: k1 is the oldest now
            await client.ask("set", key="new", value=1)
            machine = node.services["default"].machine
            await until(lambda: machine.items.count <= 10)
            assert (await client.ask("get", key="k0"))["found"] is True
            assert (await client.ask("get", key="k1"))["found"] is False
            assert (await client.ask("get", key="new"))["found"] is True
            machine.check()

    run(scenario())


def test_the_budget_in_bytes_is_kept_under_a_flood() -> None:
    async def scenario() -> None:
        budget = 64 * (1_000 + ITEM_OVERHEAD_BYTES)
        async with a_node(max_bytes=budget) as node, talking(node, "tlru.v1.msgpack") as client:
            value = msgpack.packb("x" * 990)
            for start in range(0, 2_000, 500):
                await client.send(
                    *(
                        {"id": n, "op": "set", "key": f"k{n}", "value": value}
                        for n in range(start, start + 500)
                    )
                )
                for _ in range(500):
                    assert (await client.receive())["ok"] is True
            machine = node.services["default"].machine
            await until(lambda: machine.items.bytes <= budget)
            assert machine.items.count > 30, "no more is evicted than must be"
            machine.check()

    run(scenario())


def test_an_item_larger_than_the_whole_cache_is_refused_and_evicts_nobody() -> None:
    async def scenario() -> None:
        async with a_node(max_bytes=10_000) as node, talking(node) as client:
            await client.ask("set", key="small", value=1)
            refused = await client.ask("set", key="huge", value="x" * 20_000)
            assert refused["error"]["code"] == "too_large"
            assert (await client.ask("get", key="small"))["found"] is True

    run(scenario())


def test_a_lock_passes_on_when_its_life_is_over() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as one, talking(node) as two:
            first = await one.ask("lock", name="l", ttl=0.1)
            second = await two.ask("lock", name="l", ttl=60, wait=30)
            assert second["held"] is True
            assert second["fence"] > first["fence"]
            late = await one.ask("unlock", name="l", fence=first["fence"])
            assert late["released"] is False

    run(scenario())


def test_the_patience_of_a_waiter_ends() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as one, talking(node) as two:
            await one.ask("lock", name="l", ttl=60)
            reply = await two.ask("lock", name="l", ttl=60, wait=0.05)
            assert reply["ok"] is True
            assert reply["held"] is False

    run(scenario())


def test_reserved_keys_are_in_no_scan_and_survive_a_clear() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            service = node.services["default"]
            await until(lambda: "_tlru/probe/n1" in service.machine.items.store.entries)
            await client.ask("set", key="_tlrv", value=1)
            await client.ask("set", key="Z", value=1)
            assert (await client.ask("scan"))["keys"] == ["Z", "_tlrv"]
            assert (await client.ask("scan", prefix="_tlru/"))["keys"] == []
            assert (await client.ask("clear"))["deleted"] == 2
            assert "_tlru/probe/n1" in service.machine.items.store.entries

    run(scenario())


def test_keys_of_every_kind_work_and_come_in_the_order_of_their_bytes() -> None:
    async def scenario() -> None:
        keys = [
            "a/b",
            "a b",
            "100%",
            "%2F",
            "ключ",
            "日本",
            "🦆",
            "\x00",
            "\n",
            "é",
            "e\u0301",
            "\uffff",
        ]
        async with a_node() as node, talking(node) as client:
            for key in keys:
                await client.ask("set", key=key, value=key)
            for key in keys:
                assert (await client.ask("get", key=key))["value"] == key
            found = (await client.ask("scan"))["keys"]
            assert found == sorted(keys, key=str.encode)

    run(scenario())


def test_pages_of_a_scan_show_every_key_once_and_stay_small() -> None:
    async def scenario() -> None:
        async with a_node(push_bytes=2_000) as node, talking(node) as client:
            for n in range(60):
                await client.ask("set", key=f"k{n:02}", value="x" * 300)
            seen: list[str] = []
            after: dict[str, str] = {}
            while True:
                page = await client.ask("scan", values=True, limit=100, **after)
                assert len(page["items"]) <= 7, "a page is cut where it would be larger"
                seen += [item["key"] for item in page["items"]]
                if not page.get("more"):
                    break
                after = {"after": seen[-1]}
            assert seen == [f"k{n:02}" for n in range(60)]

    run(scenario())


def test_msgpack_and_json_clients_see_the_same_values() -> None:
    async def scenario() -> None:
        values = [None, True, 1, -1.5, "text", [1, [2]], {"a": {"b": 1}}, "é", 2**53 - 1]
        async with (
            a_node() as node,
            talking(node, CODECS[0]) as text,
            talking(node, CODECS[1]) as binary,
        ):
            for one, other in ((text, binary), (binary, text)):
                for value in values:
                    await one.ask("set", key="k", value=value)
                    assert (await other.ask("get", key="k"))["value"] == value

    run(scenario())


def test_once_is_applied_once_through_any_connection() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as one, talking(node) as two:
            now = (await one.ask("ping"))["time"]
            name = {"session": "s", "n": 1, "at": now}
            first = await one.ask("incr", key="n", by=5, once=name)
            again = await two.ask("incr", key="n", by=5, once=name)
            assert again["value"] == first["value"] == 5
            assert again["version"] == first["version"]
            ahead = await one.ask("incr", key="n", once={**name, "n": 2, "at": now + 60_000})
            assert ahead["error"]["code"] == "bad_request"
            old = await one.ask("incr", key="n", once={**name, "n": 3, "at": now - 500_000})
            assert old["error"]["code"] == "too_old"
            assert old["error"]["retry"] == "unknown"

    run(scenario())
