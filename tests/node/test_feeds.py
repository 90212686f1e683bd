"""What subscribers of a real node are sent, over a real socket, in both encodings."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.node.test_stale_reads import two_nodes
from tests.running import CODECS, Talker, a_node, run, talking, until
from tlru.node import Node

both_codecs = pytest.mark.parametrize("codec", CODECS)


async def pushes(client: Talker, feed: int, last: int) -> list[Any]:
    """What comes on a feed up to a position, all events in one list."""
    events: list[Any] = []
    while True:
        push = await client.receive()
        if push.get("feed") == feed and push.get("push") == "events":
            events += push["events"]
            if push["upto"] >= last:
                return events


async def written(client: Talker, count: int, size: int = 1) -> list[int]:
    """Some sets, one after another, and their versions."""
    versions = []
    for n in range(count):
        reply = await client.ask("set", key=f"k{n % 10}", value="x" * size)
        versions.append(reply["version"])
    return versions


@both_codecs
def test_a_subscriber_sees_each_change_once_in_order(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as watcher, talking(node) as writer:
            feed = await watcher.ask("subscribe", prefix="k")
            versions = await written(writer, 50)
            events = await pushes(watcher, feed["feed"], versions[-1])
            assert [event["version"] for event in events] == versions
            assert [watcher.plain(event["value"]) for event in events] == ["x"] * 50

    run(scenario())


@both_codecs
def test_what_a_connection_does_itself_it_sees_too_and_nothing_before_its_reply(
    codec: str,
) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            one = client.value(1)
            await client.send(
                {"id": 1, "op": "set", "key": "a", "value": one},
                {"id": 2, "op": "subscribe", "pattern": "*", "snapshot": True},
                {"id": 3, "op": "set", "key": "b", "value": one},
                {"id": 4, "op": "subscribe", "pattern": "b"},
                {"id": 5, "op": "delete", "key": "b"},
            )
            answered: dict[int, Any] = {}
            told: list[Any] = []
            while len(answered) < 5 or not any(
                event["type"] == "delete" and push["feed"] == answered[2]["feed"]
                for push in told
                for event in push.get("events", ())
            ):
                message = await client.receive()
                if "push" in message:
                    assert message["feed"] in {r.get("feed") for r in answered.values()}
                    told.append(message)
                else:
                    answered[message["id"]] = message
            feed = answered[2]["feed"]
            mine = [push for push in told if push["feed"] == feed]
            known = {item["key"] for push in mine for item in push.get("items", ())}
            known |= {
                event["key"]
                for push in mine
                for event in push.get("events", ())
                if event["type"] == "set"
            }
            assert known == {"a", "b"}, "in the snapshot or as an event, whatever came first"

    run(scenario())


def test_a_feed_resumes_where_it_was_on_another_connection() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as writer:
            epoch = (await writer.ask("hello"))["epoch"]
            versions = await written(writer, 30)
            for at in (versions[0], versions[7], versions[-1]):
                async with talking(node) as watcher:
                    since = {"epoch": epoch, "pos": at}
                    feed = await watcher.ask("subscribe", pattern="k*", since=since)
                    assert feed["resumed"] is True
                    assert feed["upto"] == at
                    more = await written(writer, 1)
                    events = await pushes(watcher, feed["feed"], more[0])
                    versions += more
                    assert [e["version"] for e in events] == [v for v in versions if v > at]

    run(scenario())


def test_who_was_further_than_the_node_waits_for_it() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as writer, talking(node) as watcher:
            hello = await writer.ask("hello")
            ahead = {"epoch": hello["epoch"], "pos": hello["pos"] + 20}
            await watcher.send({"id": 1, "op": "subscribe", "pattern": "*", "since": ahead})
            versions = await written(writer, 30)
            feed = await watcher.receive()
            assert feed["ok"], feed
            assert feed["resumed"] is True
            events = await pushes(watcher, feed["feed"], versions[-1])
            assert [e["version"] for e in events] == [v for v in versions if v > ahead["pos"]]

    run(scenario())


def test_a_quiet_feed_says_how_far_it_has_come() -> None:
    async def scenario() -> None:
        async with a_node(mark_s=0.3) as node, talking(node) as watcher:
            feed = await watcher.ask("subscribe", key="nothing")
            for _ in range(3):
                push = await watcher.receive()
                assert push["feed"] == feed["feed"]
                assert push["events"] == []
                assert push["upto"] >= feed["upto"]

    run(scenario())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "bad_request"),
        ({"key": "a", "prefix": "a"}, "bad_request"),
        ({"pattern": "#"}, "bad_request"),
        ({"pattern": ""}, "bad_request"),
        ({"pattern": "*", "send": "everything"}, "bad_request"),
        ({"pattern": "*", "since": {"pos": 1}}, "bad_request"),
        ({"pattern": "x" * 2_000}, "too_large"),
    ],
)
def test_what_cannot_be_watched_is_refused(fields: dict[str, Any], code: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            reply = await client.ask("subscribe", **fields)
            assert reply["error"]["code"] == code

    run(scenario())


def test_a_connection_has_so_many_feeds_and_leaves_none_behind() -> None:
    async def scenario() -> None:
        async with a_node(feeds=3) as node:
            desk = node.services["default"].feeds
            async with talking(node) as client:
                feeds = [(await client.ask("subscribe", key=f"k{n}"))["feed"] for n in range(3)]
                refused = await client.ask("subscribe", key="k3")
                assert refused["error"]["code"] == "too_large"
                again = await client.ask("subscribe", pattern="k0")
                assert again["error"]["code"] in ("already_subscribed", "too_large")
                assert (await client.ask("unsubscribe", feed=feeds[0]))["ok"]
                unknown = await client.ask("unsubscribe", feed=feeds[0])
                assert unknown["error"]["code"] == "bad_request"
                assert (await client.ask("subscribe", pattern="k*"))["ok"]
                assert len(desk.feeds.feeds) == 3
            await until(lambda: not desk.feeds.feeds)

    run(scenario())


@pytest.mark.parametrize("pattern", ["*", "_tlru/*", "_tlru/probe/n1"])
def test_the_clusters_own_keys_are_in_no_feed(pattern: str) -> None:
    async def scenario() -> None:
        async with a_node(mark_s=0.2) as node, talking(node) as watcher, talking(node) as writer:
            machine = node.services["default"].machine
            feed = await watcher.ask("subscribe", pattern=pattern, snapshot=True)
            await until(lambda: machine.items.reserved)  # the node's own probe was written
            versions = await written(writer, 1)
            assert (await watcher.receive())["items"] == []
            events = await pushes(watcher, feed["feed"], versions[-1])
            assert [event["key"] for event in events] == (["k0"] if pattern == "*" else [])

    run(scenario())


async def _stalled(node: Node, *subscriptions: dict[str, Any]) -> tuple[Any, asyncio.StreamWriter]:
    """A client that subscribes and then reads nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1 << 10)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    for number, fields in enumerate(subscriptions):
        said = str({"id": number, "op": "subscribe", **fields}).replace("'", '"')
        said = said.replace("True", "true")
        data = said.encode()
        assert len(data) < 126
        writer.write(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)
    return reader, writer


def test_who_does_not_read_costs_the_node_little_and_the_others_nothing() -> None:
    """100 that never read, while 60 MB of events pass; then one of them reads on."""

    async def scenario() -> None:
        options: dict[str, Any] = {"retained_bytes": 4 << 20, "max_bytes": 64 << 20}
        async with a_node(**options) as node, talking(node) as watcher, talking(node) as writer:
            stalled = [await _stalled(node, {"pattern": "k*"}) for _ in range(100)]
            feed = await watcher.ask("subscribe", pattern="k*")
            task = asyncio.create_task(written(writer, 600, size=100_000))
            last = [0]

            async def watch() -> list[int]:
                seen: list[int] = []
                while not (task.done() and seen and seen[-1] == task.result()[-1]):
                    push = await watcher.receive()
                    seen += [event["version"] for event in push.get("events", ())]
                last[0] = seen[-1]
                return seen

            seen = await watch()
            assert seen == task.result(), feed
            held = [connection.unsent for connection in node.connections]
            one_event = 101_000  # no message is split within a version
            assert max(held) <= (64 << 10) + one_event, "what one of them costs"
            assert node.services["default"].feeds.feeds.retained.bytes <= 8 << 20
            for _, other in stalled:
                other.close()

    run(scenario())


def test_a_slow_reader_gets_all_at_its_own_pace_and_begins_anew_where_it_fell_too_far_behind() -> (
    None
):
    async def scenario() -> None:
        async with (
            a_node(retained_bytes=8 << 20) as node,
            talking(node) as slow,
            talking(node) as writer,
        ):
            feed = (await slow.ask("subscribe", pattern="k*", snapshot=True))["feed"]
            assert (await slow.receive())["last"] is True
            slow.socket.transport.pause_reading()
            first = await written(writer, 60, size=100_000)  # fits what is retained
            slow.socket.transport.resume_reading()
            events = await pushes(slow, feed, first[-1])
            assert [event["version"] for event in events] == first
            slow.socket.transport.pause_reading()
            await written(writer, 300, size=100_000)
            slow.socket.transport.resume_reading()
            state: dict[str, int] = {}
            kinds: list[str] = []
            latest = {
                key: (await writer.ask("get", key=key))["version"]
                for key in (f"k{n}" for n in range(10))
            }
            while state != latest:
                push = await slow.receive()
                if not kinds or kinds[-1] != push["push"]:
                    kinds.append(push["push"])
                state |= {item["key"]: item["version"] for item in push.get("items", ())}
                state |= {event["key"]: event["version"] for event in push.get("events", ())}
            assert kinds in (["events", "reset", "snapshot"], ["reset", "snapshot"]) or (
                kinds[:3] == ["events", "reset", "snapshot"]
            )

    run(scenario())


def test_many_watch_the_same_and_it_is_encoded_once() -> None:
    async def scenario() -> None:
        async with a_node() as node, AsyncExitStack() as stack:
            watchers = [
                await stack.enter_async_context(talking(node, codec))
                for codec, _ in itertools.product(CODECS, range(20))
            ]
            for watcher in watchers:
                await watcher.ask("subscribe", pattern="k*")
            desk = node.services["default"].feeds
            assert len(desk.feeds.feeds) == len(CODECS), "one feed for each encoding"
            async with talking(node) as writer:
                versions = await written(writer, 20)
            for watcher in watchers:
                feed = 2 if watcher.binary else 1  # in the order of their subscriptions
                events = await pushes(watcher, feed, versions[-1])
                assert [event["version"] for event in events] == versions

    run(scenario())


def test_a_node_that_is_cut_off_ends_its_feeds_and_says_why() -> None:
    async def scenario() -> None:
        async with two_nodes() as (node, let_go), talking(node) as talker:
            assert (await talker.ask("subscribe", pattern="k*"))["ok"]
            await let_go()
            while (push := await talker.receive()).get("push") != "end":
                assert push.get("push") in ("events", "servers"), push
            assert push["error"]["code"] == "isolated"
            assert push["error"]["retry"] == "other"
            refused = await talker.ask("subscribe", pattern="k*")
            assert refused["error"]["code"] == "isolated"
            assert not node.services["default"].feeds.feeds.feeds

    run(scenario())
