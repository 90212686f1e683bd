"""The mesh on uvloop, which nodes use: it tells of some things in another order, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from peers.mesh.frames import BINARY
from tests.peers.meshes import (
    SECRET,
    all_linked,
    introduce,
    mesh,
    run,
    started,
    stranger,
    until,
)
from tests.proxy import proxy

uvloop = pytest.importorskip("uvloop")


def test_links_come_about_carry_break_and_come_back() -> None:
    async def main() -> None:
        a, b, c = mesh("a"), mesh("b"), mesh("c")
        async with started(a, b, c), proxy(b.address) as way:
            introduce(a, b, c)
            a.reach({"b": [way.address], "c": [c.address]})
            b.reach({"a": [], "c": [c.address]})
            await all_linked(a, b, c)
            sent = [bytes([number % 256]) * (number * 997) for number in range(300)]
            for data in sent:
                a.send("b", data)
                b.send("a", data)
            await until(lambda: a.notes.of("b") == b.notes.of("a") == sent)
            way.sever()
            await until(lambda: a.peer("b").reconnects == 1)
            await all_linked(a, b, c)

    run(main, uvloop.run)


@pytest.mark.parametrize("turns", range(0, 24, 3))
def test_stopping_in_the_midst_of_dialling_leaves_nothing_behind(turns: int) -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b", secret=b"the secret of another cluster")
        async with started(a, b):
            introduce(a, b)
            for _ in range(turns):
                await asyncio.sleep(0)

    run(main, uvloop.run)
    run(main)


def test_what_is_no_greeting_is_answered() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a), stranger(a.address) as somebody:
            somebody.say(BINARY, SECRET)
            assert (await somebody.closed())[0] == 4400

    run(main, uvloop.run)
