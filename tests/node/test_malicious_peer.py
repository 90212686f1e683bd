"""A member with the right secret that means harm, over real links to real nodes with clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import tlru
from peers import wire
from peers.core.base import Base
from peers.core.entry import Dot, Entry, Epoch, Origin, Position, Proposal
from peers.core.membership import Member
from peers.core.messages import (
    Append,
    AppendAnswer,
    BarrierAnswer,
    Envelope,
    EpochPropose,
    Forward,
    Hello,
    JoinAsk,
    Message,
    Progress,
    SnapshotPiece,
    VoteAnswer,
)
from peers.core.replica import Replica
from peers.mesh.ends import Close, End
from peers.mesh.mesh import LINES_AT_ONCE, Mesh
from peers.mesh.settings import Identity, Lineage, MeshSettings
from peers.wire_fields import INT_MAX
from tests.node.clusters import Nodes, three
from tests.peers.meshes import QUICK, Notes
from tests.running import end, run, until
from tlru.engine.operations import Set, encode
from tlru.errors import TlruError

SECRET = "the token of this cluster"
# A busy machine is not to look like what the peer does.
TOLD: dict[str, Any] = {"token": SECRET, "election_timeout": 3.0}
EVIL, VICTIMS = "n3", ("n1", "n2")
GROWTH_BYTES_MAX = 48 << 20  # of the process with all its nodes, whatever is sent


class Peer(Notes):
    """It has taken the place of a member, whose state directory it has."""

    def __init__(self, made: Nodes) -> None:
        super().__init__()
        promise = made.log(EVIL).promise
        self.made, self.epoch = made, promise.epoch
        self.origin, self.life = Origin(EVIL, promise.birth), promise.incarnation + 1
        self.ends: dict[str, list[End]] = {id: [] for id in VICTIMS}
        identity = Identity(EVIL, promise.birth, self.life)
        self.mesh = Mesh(identity, MeshSettings(secret=SECRET.encode(), timing=QUICK), self)

    def lineage(self) -> Lineage:
        return Lineage(self.epoch, ())

    def on_down(self, node: str, end: End) -> None:
        self.ends[node].append(end)

    def linked(self, node: str) -> bool:
        """Whether there is a link with a node."""
        status = self.mesh.status_of(node)
        return status is not None and status.dialled is not None

    def replica(self, node: str) -> Replica:
        """What a node knows: whoever means harm knows as much as can be known."""
        replica: Replica | None = self.made.log(node).replica
        assert replica is not None, f"{node} takes part"
        return replica

    def say(self, to: str, message: Message, epoch: Epoch | None = None) -> None:
        """Say it, as a member does."""
        envelope = Envelope(self.origin, self.life, epoch or self.epoch, to, "", 0, message)
        self.mesh.send(to, wire.encode(envelope))


@asynccontextmanager
async def taken_over(made: Nodes) -> AsyncIterator[Peer]:
    """One of three nodes is gone, and another process says that it is that node. It did not lead:
    who leads is heard."""
    await until(lambda: made.leader() == "n1")
    peer = Peer(made)
    await made.stop(EVIL)
    async with peer.mesh:
        peer.mesh.reach({id: [made.log(id).mesh.address] for id in VICTIMS})
        await until(lambda: all(map(peer.linked, VICTIMS)))
        yield peer


def hostile(replica: Replica, me: Origin) -> Iterator[Message]:
    """What each part of the core would break of."""
    state = replica.state
    log, later = state.log, state.term + 1
    last, at, vector = log.last, log.last_at, tuple(log.vector.places())
    first = next(origin for origin, _, _ in vector)
    given = replica.forwarding.sequence

    def behind(dot: Dot | None, index: int = last.index + 1) -> tuple[Any, ...]:
        return (wire.pack_batch([Entry(index, later, at, dot, None, b"")], vector),)

    def append(batches: tuple[Any, ...] = (), **said: Any) -> Append:
        plain = Append(later, last, batches, state.commit, 0, state.commit, at, 1, None)
        return plain._replace(**said)

    yield append(term=state.term)  # in which another leads
    yield append(time=INT_MAX)
    yield append(behind(None, last.index + 2))
    yield append(behind(Dot(first, 1 << 40, 7)))
    yield append(behind(Dot(state.origin, state.incarnation, given + 10**6)))
    yield append(behind(Dot(Origin("nobody", "at all"), 1, 1)))
    over = [Entry(n, later, at, None, None, b"") for n in range(2, last.index + 2)]
    yield append((wire.pack_batch(over, ()),), previous=Position(1, 1))
    base = Base(last, at, tuple((Origin(f"n{n:03}", ""), 1, 1) for n in range(200)))
    yield SnapshotPiece(1, 0, base, b"", True)
    yield Forward((Proposal(Dot(state.origin, state.incarnation, given + 1), b"", None),))
    yield JoinAsk(Member("n2", me.birth), 1)
    yield EpochPropose(Epoch(INT_MAX, "far", state.epoch.random), state.membership, last)
    yield VoteAnswer(state.term, True, last, INT_MAX, 0, 0)
    yield BarrierAnswer(1, 1, INT_MAX)
    if replica.leads:
        yield AppendAnswer(
            state.term, last.index + 10**6, last, 1, 1, True, True, False, None, ("n1", "n2")
        )


async def writing(url: str, name: str, kept: dict[str, int]) -> None:
    """Write one key after another, and note what was acknowledged; a busy machine refuses some."""
    async with tlru.connect(url, timeout=10) as cache:
        for number in range(1_000_000):
            key = f"{name}/{number}"
            with contextlib.suppress(TlruError):
                await cache.set(key, number)
                kept[key] = number
            await asyncio.sleep(0.002)


def rss() -> int:
    """How much memory this process has."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_unsound_messages_end_their_link_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two of three go on serving meanwhile, and have what they acknowledged."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with three(**TOLD) as made:
            kept: dict[str, int] = {}
            writers = [asyncio.create_task(writing(made[id].url, id, kept)) for id in VICTIMS]
            try:
                await until(lambda: len(kept) > 20)
                async with taken_over(made) as peer:
                    count = len(kept)
                    for victim in VICTIMS:
                        await each_ends_the_link(peer, victim)
                    await until(lambda: len(kept) > count + 50)
                assert not any(task.done() for task in writers)
            finally:
                await end(writers)
            await until(lambda: made.leader() in VICTIMS)
            for id in VICTIMS:
                assert made[id].status == "active"
                async with tlru.connect(made[id].url, timeout=10) as cache:
                    assert await cache.get_many(list(kept)[-500:]) == dict(
                        list(kept.items())[-500:]
                    )

    run(test())
    told = [each.getMessage() for each in caplog.records if "nobody can mean" in each.getMessage()]
    ended = [each for each in told if "ends its link with n3" in each]
    assert len(ended) == len(VICTIMS), "each kind of complaint once a minute"
    assert "look at what runs there" in ended[0]
    assert not [each for each in caplog.records if each.levelno >= logging.CRITICAL]


async def each_ends_the_link(peer: Peer, victim: str) -> None:
    """Say each, with a link of its own."""
    for number in range(len(list(hostile(peer.replica(victim), peer.origin)))):
        count = len(peer.ends[victim])
        while len(peer.ends[victim]) == count:
            await until(lambda: peer.linked(victim))
            # Of the log as it is by now, since clients go on writing.
            message = list(hostile(peer.replica(victim), peer.origin))[number]
            peer.say(victim, message)
            with contextlib.suppress(TimeoutError):
                await until(lambda count=count: len(peer.ends[victim]) > count, 2)  # type: ignore[misc]
        last = peer.ends[victim][-1]
        assert (last.code, last.ours) == (Close.PROTOCOL, False), (message, last)
        assert "that nobody can mean" in last.sentence
    await until(lambda: peer.linked(victim))


def test_floods_of_what_is_passed_over_keep_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Garbage, other epochs, questions, greetings: memory and log stay as they were."""
    caplog.set_level(logging.INFO)
    chance = random.Random(6)

    async def test() -> None:
        async with three(**TOLD) as made, taken_over(made) as peer:
            kept: dict[str, int] = {}
            writer = asyncio.create_task(writing(made["n1"].url, "during", kept))
            try:
                await until(lambda: len(kept) > 5)
                await flood(peer, chance, 1_000)
                memory, lines, count = rss(), len(caplog.records), len(kept)
                await flood(peer, chance, 1_500)
                await until(lambda: len(kept) > count + 5)
                assert not writer.done()
            finally:
                await end([writer])
            assert rss() - memory < GROWTH_BYTES_MAX
            assert len(caplog.records) - lines < 20
            for id in VICTIMS:
                state = peer.replica(id).state
                assert set(state.heard) | set(state.lives) <= {"n1", "n2", "n3"}
                assert len(peer.replica(id).epochs._others) <= 16
            assert all(map(peer.linked, VICTIMS)), "none of it is a reason to have no link"

    run(test())


async def flood(peer: Peer, chance: random.Random, count: int) -> None:
    """So many messages, to each; some are no messages at all."""
    state = peer.replica("n1").state
    for number in range(count):
        other = Epoch(state.epoch.number, f"{chance.getrandbits(60):x}", state.epoch.random)
        for victim in VICTIMS:
            match number % 5:
                case 0:
                    peer.mesh.send(victim, chance.randbytes(chance.randrange(200)))
                case 1:
                    append = Append(1, Position(1, 1), (), 0, 0, 0, 1, 1, None)
                    peer.say(victim, append, other)
                case 2:
                    peer.say(victim, Hello(("n1",), 1, Position(1, 1), True, False))
                case 3:
                    peer.say(victim, Progress(INT_MAX, INT_MAX, INT_MAX))
                case _:
                    peer.mesh.send(victim, bytes([0x99, 1, 0xCC, 0x80]) + chance.randbytes(30))
        if number % 50 == 0:
            await asyncio.sleep(0)
            await until(lambda: not any(s.queued_bytes for s in peer.mesh.status()))


def test_an_operation_that_nobody_knows_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Once in the log it comes to every node: done by none, and the next ones are done by all."""

    async def test() -> None:
        async with three(**TOLD) as made, taken_over(made) as peer:
            places = dict(peer.replica("n1").state.log.vector.by_origin())
            assert places.get(peer.origin, (0, 0))[0] < peer.life
            rows = [b"junk", encode(Set("good", b"\x01")), b"\xc1", encode(Set("k" * 3, b"\x02"))]
            dots = [Dot(peer.origin, peer.life, n) for n in range(1, 5)]
            operations = tuple(map(Proposal, dots, rows, [None] * 4))
            peer.say("n1", Forward(operations))
            for id in VICTIMS:
                machine = made[id].services["default"].machine
                await until(lambda machine=machine: "kkk" in machine.items.store.entries)  # type: ignore[misc]
                assert "good" in machine.items.store.entries
                assert made[id].status == "active"
            async with tlru.connect(made["n2"].url, timeout=10) as cache:
                await cache.set("after", 1)
                assert await cache.get("after") == 1
            # Not before both have applied as much: the last write is known to one of them first.
            machines = [made[id].services["default"].machine for id in VICTIMS]
            await until(lambda: len({machine.digest() for machine in machines}) == 1)

    run(test())
    told = [each.getMessage() for each in caplog.records if "nobody can apply" in each.getMessage()]
    assert len(told) == len(VICTIMS)
    assert "passes over entry" in told[0]
    assert "which n3 wrote" in told[0]


def test_who_comes_and_goes_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def test() -> None:
        notes = Notes()
        mesh = Mesh(Identity("a", "1", 1), MeshSettings(timing=QUICK), notes)
        for _ in range(1_000):
            mesh._changed("b", None)
            mesh._changed("b", End(Close.NORMAL, "it left", ours=False))
        assert len(notes.changes) == 2_000

    run(test())
    assert LINES_AT_ONCE <= len(caplog.records) <= LINES_AT_ONCE + 5
