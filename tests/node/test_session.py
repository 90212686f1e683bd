"""What a client sees of framing, batching, ids, limits and goodbyes, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest
from websockets.exceptions import InvalidStatus

from tests.running import CODECS, a_node, run, talking

both_codecs = pytest.mark.parametrize("codec", CODECS)


@both_codecs
def test_a_value_that_was_set_is_read_back_with_its_version(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            done = await client.ask("set", key="a", value={"n": [1, 2.5, None]}, ttl=60)
            assert done["ok"] is True
            assert done["applied"] is True
            found = await client.ask("get", key="a", min=done["pos"])
            assert found["found"] is True
            assert found["value"] == {"n": [1, 2.5, None]}
            assert found["version"] == done["version"]
            assert 0 < found["ttl"] <= 60
            assert found["pos"] >= done["version"]

    run(scenario())


@both_codecs
def test_many_requests_in_one_message_are_all_answered(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            await client.send(*({"id": n, "op": "ping"} for n in range(500)))
            answered = {(await client.receive())["id"] for _ in range(500)}
            assert answered == set(range(500))

    run(scenario())


def test_writes_of_a_connection_take_their_place_in_the_order_sent() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.send(
                *({"id": n, "op": "set", "key": "k", "value": n, "old": True} for n in range(100))
            )
            olds = [(await client.receive()).get("old") for _ in range(100)]
            assert olds == [None, *range(99)]

    run(scenario())


@both_codecs
def test_a_request_without_an_id_gets_no_reply(codec: str) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            await client.send(
                {"op": "set", "key": "quiet", "value": client.value(1)},
                {"op": "no such operation"},
                {"op": "get", "key": 7},
            )
            after = await client.ask("set", key="other", value=0)
            found = await client.ask("get", key="quiet", min=after["pos"])
            assert found["value"] == 1

    run(scenario())


@both_codecs
@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        ({"id": 1, "op": "nonsense"}, "unknown_op", "nonsense"),
        ({"id": 1}, "unknown_op", "None"),
        ({"id": 1, "op": ["set"]}, "unknown_op", "set"),
        ({"id": 1, "op": "get"}, "bad_request", "lacks `key`"),
        ({"id": 1, "op": "get", "key": ""}, "bad_request", "empty"),
        ({"id": 1, "op": "get", "key": 5}, "bad_request", "`key` is 5"),
        ({"id": 1, "op": "get", "key": "k", "colour": 1}, "bad_request", "colour"),
        ({"id": 1, "op": "get", "key": "k" * 1025}, "too_large", "1025"),
        ({"id": 1, "op": "get", "key": "é" * 513}, "too_large", "1026"),
        ({"id": 1, "op": "touch", "key": "k", "ttl": 0}, "bad_request", "`ttl` is 0"),
        ({"id": 1, "op": "touch", "key": "k", "ttl": -1}, "bad_request", "`ttl` is -1"),
        ({"id": 1, "op": "touch", "key": "k", "ttl": True}, "bad_request", "`ttl` is true"),
        ({"id": 1, "op": "touch", "key": "k", "ttl": "1"}, "bad_request", "`ttl` is text"),
        ({"id": 1, "op": "touch", "key": "k", "ttl": 1e300}, "bad_request", "very large"),
        ({"id": 1, "op": "incr", "key": "k", "by": 2**53}, "bad_request", "2^53"),
        ({"id": 1, "op": "get_many", "keys": []}, "bad_request", "empty list"),
        ({"id": 1, "op": "get_many", "keys": ["a", 1]}, "bad_request", "keys[1]"),
        ({"id": 1, "op": "get_many", "keys": "abc"}, "bad_request", "must be a list"),
        ({"id": 1, "op": "get", "key": "k", "read": "maybe"}, "bad_request", "local, linear"),
        ({"id": 1, "op": "get", "key": "k", "min": -1}, "bad_request", "`min`"),
        ({"id": 1, "op": "get", "key": "k", "min": {"pos": 1, "x": 1}}, "bad_request", "x"),
        ({"id": 1, "op": "get", "key": "k", "min": {"pos": 0, "epoch": "9-z"}}, "wrong_epoch", ""),
        ({"id": 1, "op": "delete", "key": "k", "keys": ["k"]}, "bad_request", "either"),
        ({"id": 1, "op": "delete"}, "bad_request", "either"),
        ({"id": 1, "op": "delete", "keys": ["a"], "if": "present"}, "bad_request", "single"),
        ({"id": 1, "op": "delete", "key": "_tlru/x"}, "forbidden", "_tlru/"),
        ({"id": 1, "op": "clear", "prefix": "_tlru/"}, "forbidden", "_tlru/"),
        ({"id": 1, "op": "touch", "key": "k", "once": {"n": 1}}, "bad_request", "lacks session"),
        ({"id": 1, "op": "scan", "limit": 1001}, "bad_request", "1 to 1000"),
        ({"id": 1, "op": "node", "node": "n9"}, "bad_request", "n9"),
        ({"id": 1, "op": "hello", "max_bytes": 3}, "bad_request", "max_bytes"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_the_connection_goes_on(
    codec: str, message: Any, code: str, says: str
) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            await client.send(message)
            reply = await client.receive()
            assert reply["ok"] is False
            assert reply["id"] == 1
            assert reply["error"]["code"] == code, reply
            assert says in reply["error"]["message"], reply
            assert reply["error"]["retry"] == "no"
            assert (await client.ask("ping"))["ok"] is True

    run(scenario())


@both_codecs
@pytest.mark.parametrize("number", ["7", 1.5, True, 2**53, [1]])
def test_an_id_that_is_no_integer_is_answered_without_one(codec: str, number: Any) -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, codec) as client:
            await client.send({"id": number, "op": "ping"})
            reply = await client.receive()
            assert reply["id"] is None
            assert reply["error"]["code"] == "bad_request"

    run(scenario())


def test_an_id_that_is_still_unanswered_cannot_be_used_again() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            held = await client.ask("lock", name="l", ttl=60)
            await client.send(
                {"id": 900, "op": "lock", "name": "l", "ttl": 5, "wait": 60},
                {"id": 900, "op": "ping"},
            )
            refused = await client.receive()
            assert refused["id"] is None
            assert "900" in refused["error"]["message"]
            await client.send({"op": "unlock", "name": "l", "fence": held["fence"]})
            granted = await client.receive()
            assert granted["id"] == 900
            assert granted["held"] is True

    run(scenario())


def test_a_bad_line_of_json_leaves_the_other_lines_alone() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            lines = [b'{"id":1,"op":"ping"}', b'{"id":2,"op":', b"[]", b"", b'{"id":3,"op":"ping"}']
            await client.send_bytes(b"\n".join(lines))
            replies = [await client.receive() for _ in range(4)]
            assert [reply["id"] for reply in replies] == [1, None, None, 3]
            assert [reply["ok"] for reply in replies] == [True, False, False, True]

    run(scenario())


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"\x81\xa2id",
        msgpack.packb({"id": 1, "op": "ping"}) + b"\x81",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\xa1k\xdd\x00\x10\x00\x00" * 400,
        b"\x91" * 5000,
        b"\x81\xa2\xff\xfe\x01",
    ],
    ids=["reserved", "truncated", "half", "map", "array", "bin", "nested", "deep", "utf-8"],
)
def test_bad_msgpack_loses_the_framing(data: bytes) -> None:
    async def scenario() -> None:
        async with a_node() as node:
            async with talking(node, "tlru.v1.msgpack") as client:
                await client.send_bytes(data)
                assert await client.closed() == 1007
            async with talking(node, "tlru.v1.msgpack") as client:
                assert (await client.ask("ping"))["ok"] is True

    run(scenario())


def test_the_wrong_frame_type_closes_with_1003() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            async with talking(node, "tlru.v1.msgpack") as client:
                await client.socket.send('{"id":1,"op":"ping"}')
                assert await client.closed() == 1003
            async with talking(node, "tlru.v1.json") as client:
                await client.socket.send(msgpack.packb({"id": 1, "op": "ping"}))
                assert await client.closed() == 1003

    run(scenario())


def test_a_message_over_the_limit_closes_with_1009() -> None:
    async def scenario() -> None:
        async with (
            a_node(message_bytes=70_000, value_bytes=60_000) as node,
            talking(node) as client,
        ):
            await client.send_bytes(b" " * 70_001)
            assert await client.closed() == 1009

    run(scenario())


def test_more_requests_than_a_batch_may_have_are_refused_one_by_one() -> None:
    async def scenario() -> None:
        async with a_node(batch=10) as node, talking(node) as client:
            await client.send(*({"id": n, "op": "ping"} for n in range(12)))
            replies = [await client.receive() for _ in range(12)]
            assert [reply["ok"] for reply in replies] == [True] * 10 + [False] * 2
            assert replies[11]["error"]["code"] == "too_large"

    run(scenario())


def test_a_message_of_endless_requests_ends_the_connection() -> None:
    """Each is refused, but not two million of them."""

    async def scenario() -> None:
        async with a_node(batch=10) as node, talking(node, "tlru.v1.json") as client:
            await client.socket.send("\n".join("1" * 1_000))
            refused = [await client.receive() for _ in range(20)]
            assert all(each["error"]["code"] in ("bad_request", "too_large") for each in refused)
            assert await client.closed() == 1009

    run(scenario())


def test_fragments_make_one_message() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.socket.send(iter(['{"id":1,', '"op":', "", '"ping"}']))
            assert (await client.receive())["ok"] is True

    run(scenario())


def test_no_subprotocol_means_json_and_an_unknown_one_is_refused() -> None:
    async def scenario() -> None:
        async with a_node() as node:
            async with talking(node, None) as client:
                assert client.socket.subprotocol is None
                assert (await client.ask("ping"))["ok"] is True
            with pytest.raises(InvalidStatus) as refused:
                async with talking(node, "tlru.v9.smoke"):
                    pass
            assert refused.value.response.status_code == 400

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, b"101"),
        ({"Origin": "https://shop.example"}, b"101"),
        ({"Origin": "https://evil.example"}, b"403"),
        ({"Origin": "null"}, b"403"),
        ({"Host": "rebound.evil.example"}, b"403"),
        ({"Origin": "https://shop.example", "origin": "https://shop.example"}, b"400"),
        ({"host": "localhost"}, b"400"),
    ],
)
def test_only_pages_of_listed_origins_may_connect(headers: dict[str, str], status: bytes) -> None:
    async def scenario() -> None:
        async with a_node(cors_origins=["https://shop.example"]) as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            lines = {
                "Host": f"127.0.0.1:{node.port}",
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version": "13",
                **headers,
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode())
            assert (await reader.readline()).split()[1] == status
            writer.close()

    run(scenario())


def test_caches_have_contents_of_their_own() -> None:
    async def scenario() -> None:
        async with a_node(caches=["default", "other"]) as node:
            async with talking(node) as one, talking(node, query="?cache=other") as two:
                await one.ask("set", key="k", value=1)
                assert (await two.ask("get", key="k"))["found"] is False
                assert (await one.ask("hello"))["epoch"] != (await two.ask("hello"))["epoch"]
            with pytest.raises(InvalidStatus) as refused:
                async with talking(node, query="?cache=none"):
                    pass
            assert refused.value.response.status_code == 404

    run(scenario())


def test_replies_never_outgrow_what_the_client_takes() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node, "tlru.v1.msgpack") as client:
            await client.ask("hello", max_bytes=2_000)
            for n in range(50):
                await client.send({"op": "set", "key": f"k{n}", "value": msgpack.packb("x" * 400)})
            await client.ask("set", key="last", value=0)
            await client.send(*({"id": n, "op": "get", "key": f"k{n}"} for n in range(50)))
            count = 0
            while count < 50:
                async with asyncio.timeout(20):
                    data = await client.socket.recv()
                assert len(data) <= 2_000
                unpacker = msgpack.Unpacker()
                unpacker.feed(data)
                count += len(list(unpacker))

    run(scenario())


def test_a_client_that_never_reads_costs_the_node_little() -> None:
    """Its requests stay in its own buffers: the node takes no more than it can answer."""

    async def scenario() -> None:
        async with a_node(value_bytes=1 << 20) as node, talking(node) as good:
            await good.ask("set", key="big", value="x" * 1_000_000)
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            line = b'{"id":%d,"op":"get","key":"big"}'
            payload = b"\n".join(line % n for n in range(1_000))
            header = bytes([0x81, 0x80 | 127]) + len(payload).to_bytes(8, "big") + bytes(4)
            writer.write(header + payload)
            await writer.drain()
            greedy = await _buffered(node)
            assert greedy < 8 << 20, "a thousand megabytes were asked for"
            assert (await good.ask("ping"))["ok"] is True
            writer.transport.abort()

    async def _buffered(node: Any) -> int:
        """Bytes that wait in the node for clients that do not read."""
        most = 0
        for _ in range(200):
            await asyncio.sleep(0)
            most = max(most, sum(c._transport.get_write_buffer_size() for c in node.connections))
        return most

    run(scenario())


def test_in_flight_requests_are_bounded_and_the_rest_is_served_later() -> None:
    async def scenario() -> None:
        async with a_node(in_flight=8, waits=100) as node, talking(node) as client:
            held = await client.ask("lock", name="l", ttl=60)
            await client.send(
                *(
                    {"id": 100 + n, "op": "lock", "name": "l", "ttl": 0.05, "wait": 60}
                    for n in range(20)
                )
            )
            async with talking(node) as other:
                await other.ask("unlock", name="l", fence=held["fence"])
            fences = [(await client.receive())["fence"] for _ in range(20)]
            assert fences == sorted(set(fences))

    run(scenario())


def test_a_node_that_stops_says_goodbye_and_answers_what_was_asked() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            await client.ask("ping")
            await client.send({"id": 1, "op": "set", "key": "k", "value": 1})
            stopping = asyncio.create_task(node.stop())
            said = [await client.receive()]
            while {"push", "id"} - set().union(*said):
                said.append(await client.receive())
            # that it is draining is news for the list of servers too, if its turn comes before
            pushes = [each for each in said if each.get("push", "servers") != "servers"]
            replies = [each for each in said if "id" in each]
            assert [each["push"] for each in pushes] == ["goaway"]
            assert replies[0]["ok"] is True or replies[0]["error"]["code"] == "draining"
            assert await client.closed() == 1012
            await stopping

    run(scenario())


def test_a_connection_that_ends_gives_up_its_wait() -> None:
    async def scenario() -> None:
        async with a_node() as node, talking(node) as client:
            held = await client.ask("lock", name="l", ttl=60)
            async with talking(node) as impatient:
                await impatient.send({"id": 77, "op": "lock", "name": "l", "ttl": 60, "wait": 60})
                await impatient.ask("ping")
            await client.send({"id": 50, "op": "lock", "name": "l", "ttl": 60, "wait": 60})
            await client.send({"op": "unlock", "name": "l", "fence": held["fence"]})
            reply = await client.receive()
            assert reply["id"] == 50
            assert reply["held"] is True

    run(scenario())
