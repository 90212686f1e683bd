"""Who sends bombs is offered no compression any more, and who says not who it is, sends little."""

from __future__ import annotations

from pathlib import Path

from tests.node.access.holders import token_file
from tests.node.test_deflate import packed, raw
from tests.running import a_node, run, talking
from tlru.node.access.standing import STRANGER_BYTES_MAX
from tlru.node.wary import ADDRESSES_MAX, WARY_S, Wary


def test_an_address_is_forgotten_after_a_while() -> None:
    wary = Wary()
    wary.note("a", 10.0)
    wary.note("b", 20.0)
    wary.note("a", 30.0)  # again
    assert [wary.of(who, 19.9 + WARY_S) for who in "abc"] == [True, True, False]
    assert [wary.of(who, 20.0 + WARY_S) for who in "ab"] == [True, False]


def test_what_is_remembered_is_bounded() -> None:
    wary = Wary()
    for number in range(ADDRESSES_MAX + 10):
        wary.note(str(number), 0.0)
    assert not wary.of("9", 1.0)
    assert all(wary.of(str(number), 1.0) for number in range(10, ADDRESSES_MAX + 10))


def test_the_second_bomb_of_an_address_is_not_even_unpacked() -> None:
    async def scenario() -> None:
        async with a_node(message_bytes=4096, value_bytes=1000) as node, talking(node) as other:
            bomb = packed(b" " * 4_097)
            for code in (1009, 1002):  # the second time it breaks the rules: nothing was agreed on
                async with raw(node) as client:
                    client.send(bomb, first=0xC1)
                    first, payload = await client.receive()
                    assert (first, int.from_bytes(payload[:2], "big")) == (0x88, code)
            async with raw(node) as client:  # one that behaves is served all the same
                client.send(b'{"id":1,"op":"ping"}')
                assert b'"ok":true' in (await client.receive())[1]
            assert (await other.ask("ping"))["ok"]

    run(scenario())


def test_who_has_shown_no_token_sends_no_large_messages(tmp_path: Path) -> None:
    """Plain or compressed: to read one takes long, and nobody knows whom for."""

    async def scenario() -> None:
        file, tokens = token_file(tmp_path, ann={"write": ("",)})
        async with a_node(tokens_file=file) as node:
            hello = b'{"id":1,"op":"hello","token":"%b"}' % tokens["ann"].encode()
            large = hello + b" " * STRANGER_BYTES_MAX
            for payload, first in ((large, 0x81), (packed(large), 0xC1)):
                node.wary = Wary()
                async with raw(node) as client:
                    client.send(payload, first=first)
                    told, reason = await client.receive()
                    assert (told, int.from_bytes(reason[:2], "big")) == (0x88, 1009)
            node.wary = Wary()
            async with raw(node) as client:
                client.send(hello)
                assert b'"ok":true' in (await client.receive())[1]
                line = b'{"id":2,"op":"set","key":"k","value":1}'
                client.send(packed(line + b" " * STRANGER_BYTES_MAX), first=0xC1)
                assert b'"applied":true' in (await client.receive())[1]

    run(scenario())
