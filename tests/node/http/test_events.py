"""Server-Sent Events: what a browser or `curl -N` hears, where it goes on, and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from typing import Any

import pytest

from peers.core.entry import Epoch
from tests.node.http.streams import Said, listening
from tests.node.http.visiting import exchange, parse, put, request, until, visit
from tests.running import Talker, a_node, run, talking
from tlru.errors import Unavailable
from tlru.node import Node
from tlru.node.feeds import NOT_SERVING_S
from tlru.node.http import event_stream


def streams(node: Node) -> list[event_stream.EventStream]:
    """The streams that the node knows of."""
    return list(node.http.streams)


async def refused(node: Node, target: str, **headers: str) -> tuple[int, Any]:
    """The status and the code of a stream that does not begin."""
    told = {name.replace("_", "-"): text for name, text in headers.items()}
    heard = await visit(node, "GET", target, headers=told)
    assert heard.headers["content-type"] == "application/problem+json", heard
    return heard.status, heard.code


# -- what is heard


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_push_is_heard_at_once_as_one_event_with_the_position_as_its_id(version: str) -> None:
    async def scenario() -> None:
        async with (
            a_node() as node,
            listening(node, "pattern=price:*", version=version) as stream,
        ):
            assert stream.status == 200
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.headers["cache-control"] == "no-store"
            assert stream.headers["x-accel-buffering"] == "no"
            assert ("transfer-encoding" in stream.headers) == (version == "1.1")
            epoch, _, pos = stream.headers["tlru-position"].rpartition("-")
            hint = await stream.anything()
            assert hint is not None
            assert hint.retry is not None
            assert event_stream.RETRY_MS[0] <= hint.retry <= event_stream.RETRY_MS[1]
            first = await stream.event()
            assert first == Said(f"{epoch}-{pos}", {**first.data, "upto": int(pos), "events": []})
            done = (await put(node, "price:EUR", {"a": "line\nand another"})).json
            await put(node, "other", 1)
            heard = await stream.event()
            (event,) = heard.data["events"]
            assert heard.id == f"{epoch}-{heard.data['upto']}"
            assert heard.data["push"] == "events"
            assert event["key"] == "price:EUR"
            # Notes of the node's own may follow the write in the same push, and move it on.
            assert event["version"] == done["version"] <= heard.data["upto"]
            assert event["value"] == {"a": "line\nand another"}

    run(scenario())


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("key=a", {"a"}),
        ("prefix=a", {"a", "ab"}),
        ("prefix=", {"a", "ab", "z"}),
        ("pattern=*", {"a", "ab", "z"}),
        ("channel=a", {"#a"}),
        ("channel_prefix=a", {"#a", "#ab"}),
        ("pattern=%23a*", {"#a", "#ab"}),
    ],
)
def test_what_is_watched_is_said_in_any_of_the_ways(query: str, keys: set[str]) -> None:
    async def scenario() -> None:
        async with a_node() as node, listening(node, query) as stream:
            for name in ("a", "ab", "z"):
                await put(node, name, 1)
                await visit(node, "POST", f"/v1/channels/{name}", json=1)
            heard = await stream.events(len(keys))
            types = {"message": "#", "set": ""}
            assert {types[each["type"]] + each["key"] for each in heard} == keys

    run(scenario())


def test_keys_alone_are_sent_to_who_wants_no_values() -> None:
    async def scenario() -> None:
        async with a_node() as node, listening(node, "pattern=*&send=keys") as stream:
            await put(node, "a", 1)
            (event,) = await stream.events(1)
            assert event["key"] == "a"
            assert "value" not in event

    run(scenario())


def test_streams_and_websockets_share_the_bytes_of_a_push() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.ask("subscribe", pattern="*")
            async with listening(node, "pattern=*") as one, listening(node, "pattern=*") as other:
                assert len(node.services["default"].feeds.feeds.feeds) == 1
                await put(node, "a", 1)
                await one.event()  # the position that it begins with
                await other.event()
                told = await client.receive()
                assert (await one.event()).data == (await other.event()).data == told

    run(scenario())


def test_a_stream_speaks_to_the_cache_that_is_named() -> None:
    async def scenario() -> None:
        async with (
            a_node(caches=("default", "other")) as node,
            listening(node, "pattern=*&cache=other") as by_query,
            listening(node, "pattern=*", Tlru_Cache="other") as by_header,
        ):
            await put(node, "a", 1)
            await visit(node, "PUT", "/v1/keys/b", json=1, headers={"Tlru-Cache": "other"})
            for stream in (by_query, by_header):
                assert [each["key"] for each in await stream.events(1)] == ["b"]
            both = await refused(node, "/v1/events?pattern=*&cache=default", Tlru_Cache="other")
            assert both == (400, "bad_request")
            assert await refused(node, "/v1/events?pattern=*&cache=no") == (404, "not_found")

    run(scenario())


def test_a_comment_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "COMMENT_S", 0.01)

    async def scenario() -> None:
        async with a_node() as node, listening(node, "pattern=*") as stream:
            heard = [await stream.anything() for _ in range(4)]
            assert heard[2:] == [Said(comment=""), Said(comment="")]

    run(scenario())


# -- going on


def test_who_comes_back_with_the_last_id_has_missed_nothing_and_gets_nothing_twice() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            async with listening(node, "pattern=*") as stream:
                await put(node, "a", 1)
                await stream.event()
                last = (await stream.event()).id
                assert last is not None
            await until(lambda: not streams(node))
            written = [(await put(node, key, 1)).json["version"] for key in "bcd"]
            async with listening(node, "pattern=*", Last_Event_ID=last) as stream:
                assert [each["key"] for each in await stream.events(3)] == ["b", "c", "d"]
            # A page's own word, of which the browser's is the later one.
            async with listening(node, f"pattern=*&since={last}") as stream:
                assert [each["key"] for each in await stream.events(3)] == ["b", "c", "d"]
            later = f"{last.rpartition('-')[0]}-{written[1]}"
            query = f"pattern=*&since={last}"
            async with listening(node, query, Last_Event_ID=later) as stream:
                assert [each["key"] for each in await stream.events(1)] == ["d"]

    run(scenario())


def test_half_of_a_snapshot_is_no_place_to_go_on_from() -> None:
    """A browser repeats the last id that it was told; of a snapshot only the end has one."""

    async def scenario() -> None:
        async with a_node() as node:
            for number in range(20):
                await put(node, f"k{number:02}", "x" * 8_000)
            async with listening(node, "pattern=*&snapshot=true") as stream:
                parts = [await stream.event()]
                while "last" not in parts[-1].data:
                    parts.append(await stream.event())
                assert len(parts) > 2
                assert {each.id for each in parts[:-1]} == {None}
                epoch = str(node.services["default"].log.epoch)
                assert parts[-1].id == f"{epoch}-{parts[-1].data['upto']}"
                keys = [item["key"] for part in parts for item in part.data["items"]]
                assert keys == [f"k{number:02}" for number in range(20)]
                await put(node, "new", 1)
                assert [each["key"] for each in await stream.events(1)] == ["new"]

    run(scenario())


def test_an_id_of_another_life_of_the_cache_begins_anew() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            await put(node, "a", 1)
            query = "pattern=*&snapshot=true"
            async with listening(node, query, Last_Event_ID="1-00000000-1") as stream:
                reset, snapshot = await stream.event(), await stream.event()
                assert (reset.id, reset.data["push"]) == (None, "reset")
                assert snapshot.data["push"] == "snapshot"
                assert [item["key"] for item in snapshot.data["items"]] == ["a"]
                assert snapshot.id is not None

    run(scenario())


def test_a_position_that_the_node_has_not_come_to_is_waited_for() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            ahead = f"{service.log.epoch}-{service.machine.index + 2}"
            for header in ("Last-Event-ID", "Tlru-Position"):
                ahead = f"{service.log.epoch}-{service.machine.index + 2}"
                async with asyncio.TaskGroup() as group:
                    told: Any = {header.replace("-", "_"): ahead}
                    opened = contextlib.AsyncExitStack()
                    opening = group.create_task(
                        opened.enter_async_context(listening(node, "pattern=*", **told))
                    )
                    await until(lambda: service.reads.waiting == 1)
                    written = [(await put(node, "a", 1)).json["version"] for _ in range(3)]
                    stream = await opening
                    assert stream.status == 200
                    if header == "Last-Event-ID":
                        (event,) = await stream.events(1)
                        behind = int(ahead.rpartition("-")[2])  # a note of the node may follow it
                        assert event["version"] == min(v for v in written if v > behind)
                await opened.aclose()

    run(scenario())


# -- what does not begin


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "bad_request"),
        ("key=a&prefix=a", 400, "bad_request"),
        ("key=", 400, "bad_request"),
        ("pattern=%23", 400, "bad_request"),
        ("pattern=*&send=all", 400, "bad_request"),
        ("pattern=*&snapshot=perhaps", 400, "bad_request"),
        ("pattern=*&since=7", 400, "bad_request"),
        ("pattern=*&ttl=5", 400, "bad_request"),
        (f"key={'k' * 1025}", 413, "too_large"),
    ],
)
def test_a_stream_that_is_not_well_asked_for_is_a_problem(
    query: str, status: int, code: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            assert await refused(node, f"/v1/events?{query}") == (status, code)
            assert (await visit(node, "HEAD", f"/v1/events?{query}")).status == status
            assert not streams(node)

    run(scenario())


@pytest.mark.parametrize(
    "last", ["7", "1-0a1b2c3d-x", "-", "1-0a1b2c3d-1 ,", "x" * 200, "1-a-99999999999999999999"]
)
def test_an_id_that_no_event_had_is_a_problem(last: str) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            told = await refused(node, "/v1/events?pattern=*", Last_Event_ID=last)
            assert told == (400, "bad_request")

    run(scenario())


def test_a_node_that_does_not_come_as_far_refuses() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            ahead = f"{service.log.epoch}-{service.machine.index + 1_000}"
            task = asyncio.ensure_future(refused(node, "/v1/events?pattern=*", Last_Event_ID=ahead))
            await until(lambda: service.reads.waiting == 1)
            service.reads.tick(1 << 62)  # its time is over
            assert await task == (503, "syncing")
            assert not streams(node)

    run(scenario())


def test_head_has_the_head_and_leaves_no_stream() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            heard = await visit(node, "HEAD", "/v1/events?pattern=*")
            assert heard.status == 200
            assert heard.headers["content-type"] == "text/event-stream"
            assert not streams(node)

    run(scenario())


# -- how it ends


def test_a_client_that_goes_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            async with listening(node, "pattern=*") as stream:
                await stream.event()
                assert len(streams(node)) == 1
            await until(lambda: not streams(node) and not node.http.connections)
            assert not node.services["default"].feeds.feeds.feeds

    run(scenario())


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_node_that_stops_says_so_and_ends_the_stream_in_order(version: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, listening(node, "pattern=*", version=version) as stream:
            await stream.event()
            await node.stop()
            (goaway,) = await stream.rest()
            assert goaway.id is None
            assert goaway.data == {
                "push": "goaway",
                "reason": "stopping",
                "within": 0,
                "servers": [],
            }
            assert stream.over

    run(scenario())


def test_a_stream_that_waits_is_refused_when_the_node_stops() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            service = node.services["default"]
            ahead = f"{service.log.epoch}-{service.machine.index + 1_000}"
            sent = request("GET", "/v1/events?pattern=*", headers={"Last-Event-ID": ahead})
            task = asyncio.ensure_future(exchange(node, sent))
            await until(lambda: service.reads.waiting == 1)
            await node.stop()
            told = parse(await task, "GET")
            assert (told.status, told.code) == (503, "draining")

    run(scenario())


def test_a_stream_ends_with_the_life_of_its_cache() -> None:
    async def scenario() -> None:
        async with (
            a_node(caches=("default", "other")) as node,
            listening(node, "pattern=*") as stream,
            listening(node, "pattern=*&cache=other") as other,
        ):
            await stream.event()
            await other.event()
            service = node.services["default"]
            assert service.epoch is not None
            service.begin(Epoch(service.epoch.number + 1, "0a1b2c3d"))
            assert await stream.rest() == []
            assert stream.over
            await visit(node, "PUT", "/v1/keys/b", json=1, headers={"Tlru-Cache": "other"})
            assert [each["key"] for each in await other.events(1)] == ["b"]

    run(scenario())


def test_a_node_that_does_not_serve_ends_the_stream_and_says_why() -> None:
    async def scenario() -> None:
        async with a_node() as node, listening(node, "pattern=*") as stream:
            await stream.event()
            desk = node.services["default"].feeds
            desk._not_serving = lambda: Unavailable("cut off", code="isolated")
            desk._look_whether_it_serves(NOT_SERVING_S)
            (end,) = await stream.rest()
            assert (end.id, end.data["push"], end.data["error"]["code"]) == (
                None,
                "end",
                "isolated",
            )
            assert stream.over
            assert not streams(node)

    run(scenario())


def test_streams_count_as_connections() -> None:
    async def scenario() -> None:
        async with a_node(connections=2) as node, listening(node, "pattern=*") as one:
            await one.event()
            async with listening(node, "pattern=*") as two:
                await two.event()
                async with listening(node, "pattern=*") as three:
                    assert three.status == 503
            await until(lambda: node.http.connections == 1)
            async with listening(node, "pattern=*") as four:
                assert four.status == 200

    run(scenario())


# -- those that do not read


async def stuck(node: Node, client: Talker) -> event_stream.EventStream:
    """The one stream of a node, whose client has not read for long."""
    (held,) = streams(node)
    await until(lambda: held._connection is not None)
    while not held.stalled:
        await client.ask("publish", channel="c", value="x" * 30_000)
    return held


SPARE_BYTES = 64 << 10  # what a client that does not read may cost


def test_a_client_that_does_not_read_costs_little_and_gets_all_once_it_does() -> None:
    """Fifty megabytes of messages pass; the node holds what was retained for everybody anyway."""

    async def scenario() -> None:
        count, size = 1_600, 32_000
        async with (
            a_node(retained_bytes=128 << 20) as node,
            talking(node) as client,
            listening(node, "pattern=%23*", limit=1 << 10) as stream,
        ):
            (held,) = streams(node)
            await until(lambda: held._connection is not None)
            value, highest = "x" * size, 0
            for number in range(count):
                await client.ask("publish", channel=f"c{number}", value=value)
                highest = max(highest, held._left())
            assert count * size > 50_000_000
            assert held.stalled
            assert 0 < highest < SPARE_BYTES
            heard = await stream.events(count)
            assert [each["key"] for each in heard] == [f"c{n}" for n in range(count)]

    run(scenario())


def test_the_memory_of_clients_that_do_not_read_does_not_grow_with_what_passes() -> None:
    async def scenario() -> None:
        readers = 20
        async with a_node(retained_bytes=1 << 20) as node, contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(talking(node))
            for _ in range(readers):
                await stack.enter_async_context(listening(node, "pattern=%23*", limit=1 << 10))
            await until(lambda: all(each._connection for each in streams(node)))
            value = "x" * 30_000

            async def pass_by(times: int) -> None:
                for _ in range(times):
                    await client.ask("publish", channel="c", value=value)

            tracemalloc.start()
            try:
                while not all(each.stalled for each in streams(node)):
                    await pass_by(10)
                before = tracemalloc.get_traced_memory()[0]
                await pass_by(500)
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            assert grown < readers * SPARE_BYTES, grown
            assert all(each._left() < SPARE_BYTES for each in streams(node))

    run(scenario())


def test_a_client_that_does_not_read_holds_up_no_stop() -> None:
    async def scenario() -> None:
        async with (
            a_node(grace=60) as node,
            talking(node) as client,
            listening(node, "pattern=%23*", limit=1 << 10),
        ):
            await stuck(node, client)
            async with asyncio.timeout(5):
                await node.stop()

    run(scenario())


def test_a_client_that_does_not_read_is_cut_off_when_its_cache_begins_another_life() -> None:
    async def scenario() -> None:
        async with (
            a_node() as node,
            talking(node) as client,
            listening(node, "pattern=%23*", limit=1 << 10),
        ):
            await stuck(node, client)
            node._leave_epoch("default")
            await until(lambda: not streams(node) and not node.http.connections)

    run(scenario())


def test_a_client_that_never_reads_is_left_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "COMMENT_S", 0.02)

    async def scenario() -> None:
        async with (
            a_node() as node,
            talking(node) as client,
            listening(node, "pattern=%23*", limit=1 << 10),
        ):
            (held,) = streams(node)
            await until(lambda: held._connection is not None)
            for _ in range(5_000):
                if not streams(node):
                    break
                await client.ask("publish", channel="c", value="x" * 30_000)
            await until(lambda: not streams(node) and not node.http.connections)

    run(scenario())
