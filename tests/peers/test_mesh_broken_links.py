"""Networks that break and heal, nodes that do not read: links come back, and the others go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import pytest

from peers.mesh.status import PeerState
from tests.peers.meshes import Noted, all_linked, introduce, mesh, run, started, timing, until
from tests.proxy import Proxy, proxy

SILENT_S = 0.5


@contextlib.asynccontextmanager
async def through_a_proxy(**patience: float) -> AsyncIterator[tuple[Noted, Noted, Proxy]]:
    """Two nodes; a dials b, and all goes through the proxy."""
    a, b = (mesh(each, timing=timing(**patience)) for each in "ab")
    async with started(a, b), proxy(b.address) as way:
        a.reach({"b": [way.address]})
        b.reach({"a": []})
        await all_linked(a, b)
        yield a, b, way


async def relinked(one: Noted, two: Noted, times: int) -> None:
    """Wait until both have had so many links; one that is dead is not taken for the new one."""
    for here, there in ((one, two), (two, one)):
        up = (there.identity.node, True)
        await until(partial(lambda notes, up: notes.changes.count(up) >= times, here.notes, up))


async def talk(one: Noted, two: Noted) -> None:
    """A message each way."""
    before = len(one.notes.got), len(two.notes.got)
    one.send(two.identity.node, b"are you there?")
    two.send(one.identity.node, b"are you there?")
    await until(lambda: len(one.notes.got) > before[0] and len(two.notes.got) > before[1])


def test_a_link_that_breaks_is_dialled_again() -> None:
    async def main() -> None:
        async with through_a_proxy() as (a, b, way):
            for times in range(2, 7):
                way.sever()
                await relinked(a, b, times)
                await talk(a, b)
            assert a.peer("b").reconnects == b.peer("a").reconnects == 5

    run(main)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("back", [True, False])
def test_a_link_that_is_cut_silently_is_found_out_and_comes_back_when_it_heals(
    there: bool, back: bool
) -> None:
    """One way is enough: whoever hears nothing ends the connection, and the other hears of that
    unless its own way is cut too, when it hears nothing either."""

    async def main() -> None:
        async with through_a_proxy(silent_s=SILENT_S) as (a, b, way):
            if not (there or back):
                return
            way.cut(there=there, back=back)
            await until(lambda: not (a.linked("b") or b.linked("a")))
            way.heal()
            await relinked(a, b, 2)
            await talk(a, b)

    run(main)


def test_a_peer_that_refuses_connections_is_dialled_until_it_does_not() -> None:
    async def main() -> None:
        async with through_a_proxy(breaker_open_s=0.05) as (a, b, way):
            way.refuses = True
            way.sever()
            before = way.accepted
            await until(lambda: way.accepted > before + 10)
            assert a.peer("b").state in (PeerState.WAITING, PeerState.DIALLING)
            assert a.peer("b").why
            way.heal()
            await relinked(a, b, 2)
            await talk(a, b)

    run(main)


def test_who_is_in_a_hurry_does_not_wait_for_backoff_or_breaker() -> None:
    async def main() -> None:
        patience = {"backoff_first_s": 600.0, "backoff_most_s": 600.0, "breaker_open_s": 600.0}
        async with through_a_proxy(**patience, breaker_failures_max=1) as (a, b, way):
            way.refuses = True
            way.sever()
            await until(lambda: a.peer("b").state is PeerState.WAITING)
            before = way.accepted
            a.hurry("b")
            await until(lambda: way.accepted > before)
            await until(lambda: a.peer("b").state is PeerState.WAITING)
            assert (a.peer("b").next_s or 0) > 0
            way.heal()
            a.hurry("b")
            await relinked(a, b, 2)
            a.hurry("b")
            a.hurry("nobody")
            await talk(a, b)
            assert a.peer("b").reconnects == 1

    run(main)


def test_a_peer_that_dials_in_is_waited_for_no_longer() -> None:
    async def main() -> None:
        patience = {"backoff_first_s": 600.0, "backoff_most_s": 600.0}
        async with through_a_proxy(**patience) as (a, b, way):
            way.refuses = True
            way.sever()
            await until(lambda: a.peer("b").state is PeerState.WAITING)
            b.reach({"a": [a.address]})
            await relinked(a, b, 2)
            await talk(a, b)

    run(main)


def test_a_node_that_starts_anew_is_linked_anew() -> None:
    """The other one may not have noticed that it was away."""

    async def main() -> None:
        a = mesh("a", timing=timing(silent_s=60.0))
        first, second = mesh("b"), mesh("b", incarnation=2)
        async with started(a), proxy(a.address) as way:
            async with started(first):
                first.reach({"a": [way.address]})
                await all_linked(a, first)
                way.cut()
            async with started(second):
                second.reach({"a": [a.address]})
                await until(lambda: a.notes.changes == [("b", True), ("b", False), ("b", True)])
                await until(lambda: second.linked("a"))
                await talk(a, second)

    run(main)


def test_delay_is_measured() -> None:
    async def main() -> None:
        async with through_a_proxy() as (a, b, way):
            way.delay_s = 0.03
            await until(lambda: (a.peer("b").round_trip_s or 0) > 0.03)
            await until(lambda: (b.peer("a").round_trip_s or 0) > 0.03)
            least = a.peer("b").least_round_trip_s
            assert least is not None
            assert least <= (a.peer("b").round_trip_s or 0)

    run(main)


# -- a peer that does not read


def test_a_peer_that_does_not_read_costs_the_others_nothing() -> None:
    """Its queue stays within its bound, what is beyond is dropped and counted; the rest goes on."""

    async def main() -> None:
        bound, size = 1 << 20, 100_000
        a = mesh("a", send_buffer_bytes_max=bound, timing=timing(silent_s=30.0, stalled_s=30.0))
        b, c = (mesh(each, timing=timing(silent_s=30.0)) for each in "bc")
        async with started(a, b, c), proxy(b.address) as way:
            a.reach({"b": [way.address], "c": [c.address]})
            await until(lambda: a.linked("b", "c"))
            way.cut(back=False)
            sent = 0
            while a.peer("b").dropped < 10:
                a.send("b", bytes(size))
                a.send("c", sent.to_bytes(4, "big"))
                sent += 1
                assert a.peer("b").queued_bytes <= bound + size
                await asyncio.sleep(0)
            await until(lambda: len(c.notes.got) == sent)
            assert c.notes.of("a") == [number.to_bytes(4, "big") for number in range(sent)]
            assert a.peer("c").dropped == 0
            way.heal()
            await until(lambda: len(b.notes.got) == sent - a.peer("b").dropped)
            await talk(a, b)

    run(main)


def test_a_message_larger_than_the_bound_goes_when_nothing_else_waits() -> None:
    async def main() -> None:
        a, b = mesh("a", send_buffer_bytes_max=1000), mesh("b")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            await until(lambda: a.peer("b").queued_bytes == 0)
            a.send("b", bytes(100_000))
            a.send("b", b"too much")
            await until(lambda: b.notes.of("a") == [bytes(100_000)])
            assert a.peer("b").dropped == 1

    run(main)


def test_a_message_above_the_limit_of_a_frame_ends_the_link_that_brings_it() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b", frame_bytes_max=1000)
        async with started(a, b):
            a.reach({"b": [b.address]})
            await all_linked(a, b)
            a.send("b", bytes(1001))
            await until(lambda: a.peer("b").reconnects == 1)
            a.send("b", bytes(1000))
            await until(lambda: b.notes.of("a") == [bytes(1000)])

    run(main)


def test_a_message_above_the_own_limit_is_not_sent() -> None:
    """Or the other side would end the link with every attempt."""

    async def main() -> None:
        a, b = (mesh(each, frame_bytes_max=1000) for each in "ab")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            a.send("b", bytes(1001))
            a.send("b", b"next")
            await until(lambda: b.notes.of("a") == [b"next"])
            assert a.peer("b").dropped == 1

    run(main)


def test_a_link_that_takes_nothing_for_too_long_is_given_up() -> None:
    """Though it is not silent: only one way is cut."""

    async def main() -> None:
        async with through_a_proxy(silent_s=60.0, stalled_s=0.3) as (a, b, way):
            way.cut(back=False)
            for _ in range(200):
                a.send("b", bytes(100_000))
            await until(lambda: ("b", False) in a.notes.changes)
            way.heal()
            await relinked(a, b, 2)
            await talk(a, b)

    run(main)


def test_a_slow_peer_is_not_given_up_while_it_reads() -> None:
    async def main() -> None:
        async with through_a_proxy(silent_s=60.0, stalled_s=0.8) as (a, b, way):
            way.delay_s = 0.01
            for _ in range(16):
                a.send("b", bytes(1 << 20))
            await until(lambda: len(b.notes.got) == 16)
            assert a.peer("b").reconnects == 0

    run(main)


def test_a_process_that_was_held_up_does_not_take_the_others_for_dead() -> None:
    """What they sent meanwhile has come, and was not read yet."""

    async def main() -> None:
        async with through_a_proxy(silent_s=0.3) as (a, b, _):
            (link,) = a._links
            loop = asyncio.get_running_loop()
            link.heard -= 10
            link._looked -= 10
            loop.call_soon(link._look)
            await until(lambda: link.pulse.least is not None)
            assert a.linked("b")
            assert a.peer("b").reconnects == 0
            await talk(a, b)

    run(main)
