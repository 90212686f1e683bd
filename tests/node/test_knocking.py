"""Who waits at a socket is heard, once for each arrival, by whoever is less important."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.node.access.holders import token_file
from tests.node.test_turns import Loop
from tests.running import Talker, a_node, run, talking, until
from tlru.node.knocking import Knocking
from tlru.node.server import Node
from tlru.node.turns import PART_S, PUT_OFF_MAX, SLICE_S, Turns

ALL = (0, 1)  # the ranks that somebody gives way to


@pytest.fixture(autouse=True)
def _nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: it is about who waits."""
    for bound in ("LAG_S_MAX", "WAIT_S_MAX"):
        monkeypatch.setattr(f"tlru.node.overload.{bound}", (float("inf"),) * 3)


pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="Linux hears")


class Ends:
    """Both ends of a connection: the node's reads only when it is told to."""

    async def __aenter__(self) -> Ends:
        self._came: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        ends = self

        class Theirs(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                transport.pause_reading()
                ends._came.set_result(transport)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(Theirs, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        _, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.node_side = await self._came
        return self

    async def say(self) -> None:
        """Send a byte, which has arrived when this returns."""
        self.writer.write(b"x")
        await self.writer.drain()

    async def __aexit__(self, *exc: object) -> None:
        self.writer.close()
        self.node_side.abort()
        self._server.close()


def test_an_arrival_is_heard_once() -> None:
    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            knocking.listen(ends.node_side, 1)
            assert [knocking.anybody(rank) for rank in range(3)] == [False, False, True]
            assert knocking.heard(ALL) is None
            await ends.say()
            await until(lambda: knocking.heard(ALL) == 1)
            assert knocking.heard(ALL) is None, "the same bytes again"
            await ends.say()
            assert knocking.heard((0,)) is None
            await until(lambda: knocking.heard(ALL) == 1)
            knocking.close()
            knocking.listen(ends.node_side, 1)
            assert not knocking.anybody(2), "it hears nobody any more"

    run(test())


def test_what_was_read_meanwhile_is_not_heard() -> None:
    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            knocking.listen(ends.node_side, 0)
            await ends.say()
            descriptor = ends.node_side.get_extra_info("socket").fileno()
            await until(lambda: _taken(descriptor) == b"x")
            assert knocking.heard(ALL) is None
            knocking.close()

    run(test())


def _taken(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 10)
    except BlockingIOError:
        return b""


def test_a_connection_counts_for_the_rank_that_it_has_now_and_for_none_when_it_is_gone() -> None:
    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            for _ in range(2):
                knocking.listen(ends.node_side, 0)
                assert [knocking.anybody(rank) for rank in range(3)] == [False, True, True]
                knocking.listen(ends.node_side, 2)
                assert [knocking.anybody(rank) for rank in range(3)] == [False, False, False]
            await ends.say()
            assert knocking.heard(ALL) is None
            knocking.listen(ends.node_side, 1)
            await until(lambda: knocking.heard(ALL) == 1)
            for _ in range(2):
                knocking.forget(ends.node_side)
            assert not knocking.anybody(2)
            await ends.say()
            assert knocking.heard(ALL) is None

    run(test())


def test_where_the_system_has_no_room_nobody_is_heard_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    async def test() -> None:
        knocking = Knocking()
        async with Ends() as ends:
            with monkeypatch.context() as patch:
                patch.setattr(select, "epoll", refuse)
                knocking.listen(ends.node_side, 0)
            assert not knocking.anybody(2)
            knocking.forget(ends.node_side)
            knocking.listen(ends.node_side, 0)
            assert knocking.anybody(2)

    run(test())


class Heard(Knocking):
    """Somebody more important is there, and knocks when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.knocks: int | None = None
        self.asked: list[int] = []

    def anybody(self, rank: int) -> bool:
        return rank > 0

    def heard(self, ranks: Iterable[int]) -> int | None:
        self.asked = list(ranks)
        if self.knocks not in self.asked:
            return None
        heard, self.knocks = self.knocks, None
        return heard


def knocked(loop: Loop) -> tuple[Turns, Heard]:
    turns = Turns(lambda over: loop.later.append(over))
    turns.knocking = heard = Heard()
    return turns, heard


def test_all_lesser_ranks_give_way_until_the_loop_has_looked_at_its_sockets() -> None:
    loop = Loop()
    turns, heard = knocked(loop)
    turns.took(2, SLICE_S)
    assert turns.open(2)
    heard.knocks = 0
    turns.took(2, SLICE_S)
    assert [turns.open(rank) for rank in range(3)] == [True, False, False]
    loop.end_turn()
    assert not turns.open(2), "what was heard has not been read yet"
    loop.end_turn()
    assert [turns.open(rank) for rank in range(3)] == [True, True, True]
    heard.knocks = 1
    turns.took(2, SLICE_S)
    assert [turns.open(rank) for rank in range(3)] == [True, True, False]


def test_what_is_told_unasked_waits_for_those_who_are_more_important_than_who_is_told() -> None:
    loop = Loop()
    turns, heard = knocked(loop)
    assert not any(turns.gives_way(rank) for rank in range(3))
    heard.knocks = 1
    assert turns.gives_way(2)
    assert turns.gives_way(2), "until it has been read"
    assert not turns.gives_way(1), "an equal"
    assert not turns.open(2)
    heard.knocks = 0
    assert turns.gives_way(1), "somebody more important than whoever knocked first"
    assert turns.gives_way(2)
    assert not turns.gives_way(0)
    loop.end_turn()
    loop.end_turn()
    assert not any(turns.gives_way(rank) for rank in range(3))
    turns.took(1, 1_000.0)
    assert not turns.gives_way(1), "for having used up its part it does not"
    loop.end_turn()
    heard.knocks = 1
    assert not turns.gives_way(2), "nor does anybody to a flood"


def test_the_next_turn_comes_however_often_somebody_knocks() -> None:
    loop = Loop()
    turns, heard = knocked(loop)
    went: list[int] = []
    turns.took(2, 1_000.0)
    turns.queue(2, lambda: went.append(1))
    for _ in range(PUT_OFF_MAX + 2):
        heard.knocks = 0
        turns.gives_way(2)
        loop.end_turn()
    assert went


def test_whoever_uses_up_its_own_part_is_not_given_another() -> None:
    """Else a flood of the middle rank would leave the least next to nothing."""
    loop = Loop()
    turns, heard = knocked(loop)
    turns.took(1, PART_S[1] * 2)
    loop.end_turn()
    heard.knocks = 1
    turns.took(2, SLICE_S)
    assert heard.asked == [0]
    assert turns.open(2)
    loop.end_turn()
    turns.took(2, SLICE_S)
    assert not turns.open(2), "it did not flood in the turn before"


def test_whoever_nobody_is_more_important_than_takes_no_slices() -> None:
    turns = Turns(Loop().later.append)
    assert turns.slice_s(2) is None
    turns.took(0, 0.0)
    assert turns.slice_s(0) is None
    assert turns.slice_s(2) == SLICE_S, "one of them was active just now"


def test_who_has_waited_longest_goes_first_and_who_had_its_turn_goes_last() -> None:
    loop = Loop()
    turns, _ = knocked(loop)
    went: list[str] = []

    def one(name: str) -> Callable[[], None]:
        def go_on() -> None:
            went.append(name)
            turns.took(2, PART_S[2])
            turns.queue(2, go_on)

        return go_on

    assert turns.free(2)
    for name in "abc":
        turns.queue(2, one(name))
    assert turns.open(2)
    assert not turns.free(2), "others wait already"
    for _ in range(7):
        loop.end_turn()
    assert "".join(went) == "abcabca"


def test_who_has_waited_for_long_goes_on_and_a_wait_is_seen_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often the more important knock."""
    monkeypatch.setattr("tlru.node.turns.STARVED_S", 0.0)
    loop = Loop()
    turns, heard = knocked(loop)
    went: list[int] = []

    def more_important() -> None:
        heard.knocks = 0
        turns.took(1, SLICE_S)
        turns.queue(1, more_important)

    def go_on() -> None:
        went.append(len(went))
        turns.queue(2, go_on)

    turns.queue(1, more_important)
    turns.queue(2, go_on)
    assert turns.take_waits()[2] > 0
    for _ in range(10):
        loop.end_turn()
    assert len(went) == 5, "in each second one the loop has looked at its sockets"
    monkeypatch.setattr("tlru.node.turns.STARVED_S", 1_000.0)
    for _ in range(10):
        loop.end_turn()
    assert len(went) == 5


def test_one_that_fails_costs_the_others_nothing() -> None:
    loop = Loop()
    turns, _ = knocked(loop)
    went: list[str] = []

    def fail() -> None:
        raise KeyError

    turns.queue(2, fail)
    turns.queue(2, lambda: went.append("next"))
    with pytest.raises(KeyError):
        loop.end_turn()
    loop.end_turn()
    assert went == ["next"]


def of_three_classes(folder: Path) -> tuple[Path, dict[str, str]]:
    """Holders of tokens, who may read, write and watch."""
    rights = {"read": ("",), "write": ("",), "subscribe": ("",)}
    classes = ("critical", "default", "bulk")
    return token_file(folder, **{name: {"client_class": name, **rights} for name in classes})


async def welcomed(node: Node, talker: Talker, token: str) -> None:
    """Say who it is, and have it counted for its class."""
    await talker.ask("hello", token=token)
    for connection in node.connections:
        connection._count_for_class()


def test_in_a_flood_each_knock_is_answered_before_the_flood_is_done(tmp_path: Path) -> None:
    """Judged by order, not by time: long before all that was sent at once is done, the quiet one,
    who spoke after it, has its answer."""
    file, tokens = of_three_classes(tmp_path)
    asked, connections = 900, 6

    async def test() -> None:
        async with a_node(tokens_file=file) as node, talking(node) as quiet:
            await welcomed(node, quiet, tokens["critical"])
            floods = [talking(node) for _ in range(connections)]
            talkers = [await flood.__aenter__() for flood in floods]
            try:
                for talker in talkers:
                    await welcomed(node, talker, tokens["bulk"])
                for talker in talkers:
                    await talker.send(
                        *({"id": n, "op": "set", "key": "k", "value": n} for n in range(asked))
                    )
                done = _sets(node)
                assert (await quiet.ask("ping"))["ok"]
                assert _sets(node) - done < asked * connections
                for talker in talkers:
                    ids = [(await talker.receive())["id"] for _ in range(asked)]
                    assert sorted(ids) == list(range(asked))
            finally:
                for flood in floods:
                    await flood.__aexit__(None, None, None)
            assert node.strain.turns.knocking.anybody(2)
        assert not node.strain.turns.knocking.anybody(2)

    run(test())


def _sets(node: Node) -> int:
    return int(node.rates.ops["set"])
