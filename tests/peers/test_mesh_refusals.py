"""Who is not let in, what is said to him, and how little he can do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.errors import LinkError
from peers.mesh import status as mesh_status
from peers.mesh.ends import Close
from peers.mesh.frames import BINARY, TEXT
from peers.mesh.greeting import GREETING_BYTES_MAX, Handshake, Side, pack_greeting
from peers.mesh.link import HALF_OPEN_BYTES_MAX
from peers.mesh.status import PeerState
from tests.peers.meshes import (
    SECRET,
    Noted,
    Stranger,
    a_greeting,
    all_linked,
    half_open,
    introduce,
    mesh,
    run,
    started,
    stranger,
    timing,
    until,
)
from tests.proxy import proxy

OTHER = b"the secret of another cluster"


async def refused(one: Noted, other: str) -> str:
    """Wait until it is; the sentence."""
    await until(lambda: one.peer(other).state is PeerState.REFUSED)
    status = one.peer(other)
    assert status.next_s is not None
    return status.why


@pytest.mark.parametrize(
    ("of_a", "of_b", "why"),
    [
        (SECRET, OTHER, "the cluster secrets differ: give both nodes the same secret"),
        (SECRET, None, "b has no cluster secret: give both nodes the same"),
        (None, SECRET, "a has no cluster secret: give both nodes the same"),
    ],
)
def test_secrets_that_differ_are_told_to_both_sides(
    of_a: bytes | None, of_b: bytes | None, why: str
) -> None:
    async def main() -> None:
        a, b = mesh("a", secret=of_a), mesh("b", secret=of_b)
        async with started(a, b):
            introduce(a, b)
            assert await refused(a, "b") == why
            assert await refused(b, "a") == why
            assert a.notes.greetings == b.notes.greetings == []
            assert a.notes.got == b.notes.got == []

    run(main)


def test_a_refusal_is_logged_once_and_not_with_every_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        quick = timing(refused_s=0.01)
        a, b = mesh("a", timing=quick), mesh("b", secret=OTHER)
        async with started(a, b), proxy(b.address) as way:
            a.reach({"b": [way.address]})
            await until(lambda: way.accepted > 20)

    with caplog.at_level(logging.WARNING):
        run(main)
    lines = [line for line in caplog.messages if str(int(Close.SECRET)) in line]
    assert len(lines) == 2, lines
    assert "no link with b: the cluster secrets differ" in "\n".join(lines)
    assert "a connection from 127.0.0.1:" in "\n".join(lines)


def test_a_refusal_is_not_logged_again_however_long_it_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_status, "COMPLAINT_EVERY_S", 0.0)

    async def main() -> None:
        a, b = mesh("a", timing=timing(refused_s=0.01)), mesh("b", secret=OTHER)
        async with started(a, b), proxy(b.address) as way:
            a.reach({"b": [way.address]})
            await until(lambda: way.accepted > 20)

    with caplog.at_level(logging.WARNING):
        run(main)
    assert len([line for line in caplog.messages if "no link with b: the cluster" in line]) == 1


def test_a_node_that_speaks_no_common_version_is_told_to_be_upgraded() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b", versions=(2, 3))
        async with started(a, b):
            introduce(a, b)
            assert "upgrade the older node" in await refused(a, "b")
            assert "upgrade the older node" in await refused(b, "a")

    run(main)


def test_the_newest_version_that_both_speak_is_what_is_said_to_be_spoken() -> None:
    async def main() -> None:
        a, b, c = mesh("a", versions=(1, 3)), mesh("b", versions=(1, 2)), mesh("c")
        assert a.version_with("b") == 3, "as long as nobody has been met"
        async with started(a, b, c):
            introduce(a, b, c)
            await all_linked(a, b, c)
            spoken = [a.version_with("b"), b.version_with("a"), a.version_with("c")]
            assert spoken == [2, 2, 1]

    run(main)


def test_another_node_than_was_meant_is_refused_by_name() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            a.reach({"c": [b.address]})
            assert await refused(a, "c") == "b is here, not c: correct the peer's address"

    run(main)


def test_a_node_that_is_led_to_itself_says_so() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a):
            a.reach({"b": [a.address]})
            assert await refused(a, "b") == "a node has reached itself: correct the peer's address"

    run(main)


def test_two_nodes_of_one_name_are_told_apart() -> None:
    async def main() -> None:
        a, twin = mesh("a"), mesh("a", birth="another")
        async with started(a, twin):
            twin.seek([a.address])
            await until(lambda: a.notes.greetings == [] and twin._seekers)
            (dialler, _), *_ = twin._seekers.values()
            await until(lambda: dialler.problem is not None)
            assert dialler.problem is not None
            assert dialler.problem.sentence == (
                "two nodes are called a: give one of them another id"
            )
            assert a.status() == []

    run(main)


@pytest.mark.parametrize("who", ["a", "b"])
def test_who_is_not_accepted_is_told_the_owner_s_sentence_and_let_in_later(who: str) -> None:
    """Whichever side refuses, and whichever dials; the other one's owner sees no link."""

    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        refusing, other = (a, b) if who == "a" else (b, a)
        sentence = "its log belongs to another cluster: " + "start it with an empty directory " * 6
        refusing.notes.refuse = {other.identity.node: sentence}
        async with started(a, b):
            introduce(a, b)
            await until(lambda: len(refusing.notes.greetings) > 3)
            assert (await refused(a, "b"))[:100] == sentence[:100]
            assert (await refused(b, "a"))[:100] == sentence[:100]
            assert a.notes.changes == b.notes.changes == []
            refusing.notes.refuse = {}
            await all_linked(a, b)

    run(main)


# -- copies of a state directory


def test_a_copy_is_refused_and_both_owners_are_told() -> None:
    async def main() -> None:
        a, b, clone = mesh("a"), mesh("b"), mesh("b")
        async with started(a, b, clone):
            introduce(a, b)
            await all_linked(a, b)
            clone.reach({"a": [a.address]})
            await until(lambda: clone.notes.was_copy)
            assert a.notes.copies == ["b"]
            assert "copies of one state directory" in await refused(clone, "a")
            assert b.notes.was_copy == 0
            assert a.linked("b")

    run(main)


def test_a_copy_that_is_dialled_is_known_too() -> None:
    async def main() -> None:
        a, b, clone = mesh("a"), mesh("b"), mesh("b")
        async with started(a, clone):
            async with started(b):
                a.reach({"b": [b.address]})
                await all_linked(a, b)
            a.reach({"b": [clone.address]})
            await until(lambda: clone.notes.was_copy)
            assert a.notes.copies == ["b"]
            assert "copies of one state directory" in await refused(a, "b")

    run(main)


def test_a_copy_of_oneself_is_known() -> None:
    async def main() -> None:
        a, clone = mesh("a"), mesh("a")
        async with started(a, clone):
            clone.seek([a.address])
            await until(lambda: clone.notes.was_copy)
            assert a.notes.copies == ["a"]

    run(main)


def test_a_node_that_came_back_is_no_copy_and_its_former_process_is_one() -> None:
    async def main() -> None:
        a, first, second = mesh("a"), mesh("b"), mesh("b", incarnation=2)
        async with started(a, first):
            first.reach({"a": [a.address]})
            await all_linked(a, first)
            async with started(second):
                second.reach({"a": [a.address]})
                await until(lambda: second.linked("a"))
                assert "copies of one state directory" in await refused(first, "a")
                assert a.notes.changes == [("b", True), ("b", False), ("b", True)]
                assert second.notes.was_copy == first.notes.was_copy - 1 == 0

    run(main)


def test_nobody_without_the_secret_can_say_that_a_node_is_a_copy() -> None:
    """Not even where the node dials him."""

    async def main() -> None:
        a, b = mesh("a"), mesh("b", secret=OTHER)
        async with started(a, b):
            original = Handshake.receive

            def receive(self: Handshake, message: bytes) -> list[bytes]:
                if self.mine.node == "b":
                    raise LinkError(Close.COPY, "you are a copy: stop")
                return original(self, message)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Handshake, "receive", receive)
                a.reach({"b": [b.address]})
                assert "you are a copy" in await refused(a, "b")
            assert a.notes.was_copy == 0

    run(main)


# -- who speaks otherwise than nodes do


async def at(a: Noted, *frames: tuple[int, bytes]) -> tuple[int, str]:
    """Say this after the upgrade; how the mesh says goodbye."""
    async with stranger(a.address) as somebody:
        for frame in frames:
            somebody.say(*frame)
        return await somebody.closed()


def test_what_is_no_greeting_is_answered_with_a_code_and_a_sentence() -> None:
    hello = pack_greeting(a_greeting("b"))
    plain = pack_greeting(a_greeting("b", secured=False))
    later = pack_greeting(a_greeting("b", version_min=8, version=9))
    astray = pack_greeting(a_greeting("b", to="c"))
    cases = [
        ([(BINARY, b"")], Close.GREETING),
        ([(BINARY, b"garbage")], Close.GREETING),
        ([(BINARY, hello), (BINARY, hello)], Close.GREETING),
        ([(BINARY, hello), (BINARY, b"\x93\xc4\x00\x00\xa0")], Close.SECRET),
        ([(BINARY, plain)], Close.SECRET),
        ([(BINARY, later)], Close.VERSION),
        ([(BINARY, astray)], Close.WRONG_NODE),
        ([(BINARY, bytes(GREETING_BYTES_MAX + 1))], Close.TOO_BIG),
        ([(TEXT, b"ready")], Close.PROTOCOL),
        ([(TEXT, b"use")], Close.PROTOCOL),
        ([(BINARY, hello), (TEXT, b"ready")], Close.PROTOCOL),
    ]

    async def main() -> None:
        a = mesh("a")
        async with started(a):
            for frames, code in cases:
                found, sentence = await at(a, *frames)
                assert (found, bool(sentence)) == (code, True), (frames, found, sentence)
            assert a.notes.got == []
            assert a.notes.greetings == []
            assert a.status() == []

    run(main)


def test_a_proof_that_was_overheard_is_of_no_use() -> None:
    """All that a member once said, said again word for word."""

    async def main() -> None:
        a = mesh("a")
        async with started(a):
            recorded: list[bytes] = []
            async with stranger(a.address) as member:
                shake = Handshake(a_greeting("b", to="a"), Side.DIALLER, SECRET, lambda _: None)
                said = shake.open()
                while said:
                    recorded += said
                    member.say(BINARY, said[0])
                    said = shake.receive((await member.hear())[1])
                assert shake.done
            code, sentence = await at(a, *[(BINARY, each) for each in recorded])
            assert (code, sentence[:27]) == (Close.SECRET, "the cluster secrets differ:")

    run(main)


def test_a_node_s_own_words_sent_back_to_it_are_of_no_use() -> None:
    """A stranger lets the node dial him, and holds up a mirror."""

    async def main() -> None:
        a = mesh("a")
        async with started(a), proxy(a.address) as mirror:
            a.reach({"b": [mirror.address]})
            assert "reached itself" in await refused(a, "b")
            assert a.notes.greetings == []

    run(main)


def test_messages_before_the_link_is_in_use_are_not_taken() -> None:
    """Even of somebody who knows the secret: he has not said yet that a is welcome there."""

    async def main() -> None:
        a = mesh("a")
        async with started(a):
            async with stranger(a.address) as member:
                shake = Handshake(a_greeting("b", to="a"), Side.DIALLER, SECRET, lambda _: None)
                said = shake.open()
                while said:
                    member.say(BINARY, said[0])
                    said = shake.receive((await member.hear())[1])
                member.say(BINARY, b"too early")
                assert (await member.closed())[0] == Close.PROTOCOL
            assert a.notes.got == []

    run(main)


@contextlib.asynccontextmanager
async def a_member(address: str, nonce: str = "one") -> AsyncIterator[Stranger]:
    """Somebody who knows the secret, greeted."""
    async with stranger(address) as member:
        said = a_greeting("b", to="a", nonce=nonce)
        shake = Handshake(said, Side.DIALLER, SECRET, lambda _: None)
        messages = shake.open()
        while messages:
            member.say(BINARY, messages[0])
            messages = shake.receive((await member.hear())[1])
        member.say(TEXT, b"ready")
        yield member


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ((TEXT, b"ping x"), Close.PROTOCOL),
        ((TEXT, b"pong 1"), Close.PROTOCOL),
        ((TEXT, b"pong 1 " + b"9" * 100), Close.PROTOCOL),
        ((0x8F, b""), Close.PROTOCOL),
        ((TEXT, bytes(126)), Close.TOO_BIG),
    ],
    ids=str,
)
def test_a_member_that_speaks_nonsense_loses_its_link(said: tuple[int, bytes], code: int) -> None:
    async def main() -> None:
        a = mesh("a", timing=timing(close_s=0.1))
        async with started(a), a_member(a.address) as member:
            assert await member.hear() == (TEXT, b"use")
            member.say(*said)
            assert (await member.closed())[0] == code
            await until(lambda: not a.linked("b"))

    run(main)


def test_a_word_that_a_later_release_may_say_is_passed_over() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a), a_member(a.address) as member:
            for said in (b"weather fine", b"", b"use"):
                member.say(TEXT, said)
            member.say(0x89, b"a plain ping")
            member.say(BINARY, b"hello")
            await until(lambda: a.notes.got == [("b", b"hello")])
            while (await member.hear()) != (0x8A, b"a plain ping"):
                pass

    run(main)


def test_who_has_the_higher_id_does_not_choose() -> None:
    async def main() -> None:
        a = mesh("a", timing=timing(doubt_s=60.0))
        async with started(a), a_member(a.address) as present:
            assert await present.hear() == (TEXT, b"use")
            async with a_member(a.address) as spare:
                spare.say(TEXT, b"use")
                assert (await spare.closed())[0] == Close.PROTOCOL

    run(main)


# -- slow, many, and any bytes at all


def test_a_greeting_that_takes_too_long_is_given_up_byte_by_byte() -> None:
    async def main() -> None:
        a = mesh("a", timing=timing(greeting_s=0.2))
        async with started(a):
            async with stranger(a.address, upgrade=False) as slow:
                for byte in b"GET /mesh HTTP/1.1\r\nHost: a\r\n":
                    slow.writer.write(bytes([byte]))
                    await asyncio.sleep(0)
                await slow.until_gone()
            async with stranger(a.address) as mute:
                assert (await mute.closed())[0] == Close.SLOW

    run(main)


def test_half_open_connections_are_bounded_and_members_get_in_all_the_same() -> None:
    async def main() -> None:
        a, b = mesh("a", half_open_max=8), mesh("b")
        async with started(a, b):
            crowd = [await asyncio.open_connection(*a.address.split(":")) for _ in range(50)]
            await until(lambda: len(a._links) <= 8)
            b.reach({"a": [a.address]})
            await all_linked(a, b)
            assert half_open(a) <= 8
            for _, writer in crowd:
                writer.transport.abort()

    run(main)


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1", b"POST /mesh HTTP/1.1", b"GET /mesh HTTP/1.0", b"\x16\x03\x01\x02"],
)
def test_other_requests_are_answered_and_let_go(request_line: bytes) -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a), stranger(a.address, upgrade=False) as somebody:
            somebody.writer.write(request_line + b"\r\nHost: a\r\n\r\n")
            await somebody.until_gone()
            await until(lambda: not a._links)

    run(main)


def test_a_web_page_is_not_let_in() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a), stranger(a.address, upgrade=False) as page:
            page.writer.write(
                b"GET /mesh HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
                b"Sec-WebSocket-Protocol: tlru-mesh-1\r\nOrigin: http://evil.example\r\n\r\n"
            )
            assert (await page.until_gone()).startswith(b"HTTP/1.1 403")

    run(main)


def test_a_head_without_end_is_cut_off() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a), stranger(a.address, upgrade=False) as somebody:
            somebody.writer.write(b"GET /mesh HTTP/1.1\r\n")
            for _ in range(HALF_OPEN_BYTES_MAX // 1000 + 1):
                somebody.writer.write(b"X: " + b"x" * 1000 + b"\r\n")
            await somebody.until_gone()
            await until(lambda: not a._links)

    run(main)


def test_an_attacker_cannot_make_the_log_grow(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a):
            for number in range(100):
                said = a_greeting(f"evil{number}", secured=bool(number % 2))
                frames = [(BINARY, pack_greeting(said)), (BINARY, b"\x93\xc4\x00\x00\xa0")]
                assert (await at(a, *frames[: 1 + number % 2]))[0] == Close.SECRET

    with caplog.at_level(logging.INFO):
        run(main)
    assert len(caplog.records) == 1


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=400), max_size=8), st.booleans())
def test_no_bytes_make_the_loop_raise(chunks: list[bytes], upgrade: bool) -> None:
    """`run` fails where anything is raised in a callback, or anything is left."""

    async def main() -> None:
        a = mesh("a", timing=timing(greeting_s=0.05, close_s=0.05))
        async with started(a):
            async with stranger(a.address, upgrade=upgrade) as somebody:
                with contextlib.suppress(OSError, RuntimeError):  # it may be closed to him already
                    for chunk in chunks:
                        somebody.writer.write(chunk)
                        await asyncio.sleep(0)
                    somebody.writer.write_eof()
                await somebody.until_gone()
            await until(lambda: not a._links)

    run(main)


def test_no_bytes_after_the_greeting_make_the_loop_raise() -> None:
    async def main() -> None:
        dice = random.Random(5)
        a = mesh("a", timing=timing(close_s=0.05))
        async with started(a):
            for _ in range(40):
                async with a_member(a.address) as member:
                    assert await member.hear() == (TEXT, b"use")
                    for _ in range(dice.randrange(5)):
                        first = dice.choice([0x81, 0x82, 0x88, 0x89, 0x8A, dice.randrange(256)])
                        member.say(first, dice.randbytes(dice.randrange(130)))
                    member.writer.write(dice.randbytes(dice.randrange(60)))
                    if dice.random() < 0.5:
                        with contextlib.suppress(OSError, RuntimeError):
                            member.writer.write_eof()
                        await member.until_gone()
                await until(lambda: not a._links)

    run(main)


def test_a_greeting_that_cannot_be_written_is_said_and_not_raised() -> None:
    async def main() -> None:
        a, b = mesh("a", advertise=tuple(f"host{n}:1" for n in range(40))), mesh("b")
        async with started(a, b):
            a.reach({"b": [b.address]})
            assert "a greeting cannot be written" in await refused(a, "b")

    run(main)


def test_a_stranger_s_greeting_is_not_the_model_of_ours() -> None:
    """What tests say here is what a mesh says: a field that is added there is missing here."""

    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            (said, *_) = b.notes.greetings
            ours = a_greeting("a", to=said.to, nonce=said.nonce, challenge=said.challenge)
            assert dataclasses.replace(said, addresses=()) == ours

    run(main)
