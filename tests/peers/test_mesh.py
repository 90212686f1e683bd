"""Links come about by themselves, carry what is sent, and follow the list of nodes."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from peers.mesh.status import PeerState
from tests.peers.meshes import (
    SECRET,
    Noted,
    all_linked,
    introduce,
    mesh,
    run,
    started,
    timing,
    until,
)
from tests.proxy import Proxy, proxy
from tests.running import PATIENCE_S


def numbered(count: int, size: int = 8) -> list[bytes]:
    return [number.to_bytes(size, "big") for number in range(count)]


async def exchange(one: Noted, two: Noted, count: int = 50) -> None:
    """Both send to each other, and all of it comes, in order, once."""
    before = len(one.notes.got), len(two.notes.got)
    for data in numbered(count):
        one.send(two.identity.node, data)
        two.send(one.identity.node, data)
    await until(lambda: len(one.notes.got) - before[0] >= count)
    await until(lambda: len(two.notes.got) - before[1] >= count)
    assert one.notes.of(two.identity.node)[-count:] == numbered(count)
    assert two.notes.of(one.identity.node)[-count:] == numbered(count)


def test_three_nodes_talk_to_each_other() -> None:
    async def main() -> None:
        a, b, c = mesh("a"), mesh("b"), mesh("c")
        meshes = a, b, c
        async with started(*meshes):
            introduce(*meshes)
            await all_linked(*meshes)
            for one, two in itertools.combinations(meshes, 2):
                await exchange(one, two)
            assert a.notes.changes in ([("b", True), ("c", True)], [("c", True), ("b", True)])
            await until(lambda: a.peer("b").round_trip_s is not None)
            status = a.peer("b")
        assert (status.messages_in, status.messages_out) == (50, 50)
        assert (status.bytes_in, status.bytes_out) == (400, 400)
        assert (status.dropped, status.reconnects, status.version) == (0, 0, 1)
        assert status.listed
        assert status.least_round_trip_s is not None
        assert status.offset_s is not None
        assert 0 <= status.least_round_trip_s < 5
        assert abs(status.offset_s) < 5, "both read one clock"
        assert {node for node, up in b.notes.changes if not up} == {"a", "c"}

    run(main)


def test_what_a_node_says_of_itself_is_shown_to_the_other_s_owner() -> None:
    async def main() -> None:
        a = mesh("a", incarnation=7)
        b = mesh("b", advertise=("b.example:1", "[::1]:2"))
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            said = next(each for each in a.notes.greetings if each.node == "b")
            assert (said.birth, said.incarnation) == ("birth of b", 1)
            assert said.addresses == ("b.example:1", "[::1]:2")
            assert (said.epoch.random, said.ancestors) == ("two", ("one",))
            heard = next(each for each in b.notes.greetings if each.node == "a")
            assert heard.addresses == (a.address,)
            assert heard.incarnation == 7

    run(main)


def test_one_side_that_can_dial_is_enough() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            b.reach({"a": [a.address]})
            a.reach({"b": []})
            await all_linked(a, b)
            assert (a.peer("b").dialled, b.peer("a").dialled) == (False, True)
            await exchange(a, b)

    run(main)


def test_messages_of_any_size_arrive_as_they_were_sent() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            dice = random.Random(1)
            sizes = (0, 1, 125, 126, 65_535, 65_536, 100_000, 3 << 20, 5)
            sent = [dice.randbytes(size) for size in sizes]
            for data in sent:
                a.send("b", data)
                b.send("a", data)
            await until(lambda: len(b.notes.got) == len(a.notes.got) == len(sent))
            assert a.notes.of("b") == b.notes.of("a") == sent

    run(main)


def test_what_is_sent_in_one_turn_leaves_together_and_the_owner_hears_of_the_end_of_each_read() -> (
    None
):
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            for data in numbered(100):
                a.send("b", data)
            await until(lambda: len(b.notes.got) == 100)
            assert b.notes.reads == [100], "one write, one read, one end of it"

    run(main)


def test_what_is_sent_to_nobody_is_dropped_and_counted() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a):
            a.send("b", b"x")
            assert a.dropped == 1
            a.reach({"b": ["127.0.0.1:1"]})
            a.send("b", b"x")
            a.send("b", b"x")
            assert a.peer("b").dropped == 2

    run(main)


# -- both dial


def held_up(there: Proxy, steps: random.Random) -> Any:
    """Lets one side's dialling go on in fits and starts."""

    async def act() -> None:
        for _ in range(steps.randrange(5)):
            there.cut()
            for _ in range(steps.randrange(30)):
                await asyncio.sleep(0)
            there.heal()
            for _ in range(steps.randrange(30)):
                await asyncio.sleep(0)

    return act()


@pytest.mark.parametrize("seed", range(30))
def test_when_both_dial_at_once_one_link_stays_and_nothing_is_lost(seed: int) -> None:
    """Both send from the moment in which each hears that there is a link."""

    async def main() -> None:
        dice = random.Random(seed)
        a, b = mesh("a"), mesh("b")
        async with started(a, b), proxy(a.address) as to_a, proxy(b.address) as to_b:
            sent: dict[str, list[bytes]] = {"a": [], "b": []}
            numbers = itertools.count()

            def talk(one: Noted, other: str) -> None:
                if one.linked(other):
                    data = b"%d" % next(numbers)
                    sent[one.identity.node].append(data)
                    one.send(other, data)

            a.notes.on_up = lambda node: talk(a, node)  # type: ignore[method-assign]
            b.notes.on_up = lambda node: talk(b, node)  # type: ignore[method-assign]
            for way in (to_a, to_b):
                if dice.random() < 0.5:
                    way.hold()
            a.reach({"b": [to_b.address]})
            b.reach({"a": [to_a.address]})
            acting = [asyncio.create_task(held_up(way, dice)) for way in (to_a, to_b)]
            while not (a.linked("b") and b.linked("a") and all(task.done() for task in acting)):
                talk(a, "b")
                talk(b, "a")
                await asyncio.sleep(0)
                for way in (to_a, to_b):
                    if dice.random() < 0.05:
                        way.heal()
            for _ in range(100):
                talk(a, "b")
                talk(b, "a")
                await asyncio.sleep(0)
            await until(lambda: a.notes.of("b") == sent["b"] and b.notes.of("a") == sent["a"])
            await until(lambda: len(a._links) == len(b._links) == 1)
            assert (a.peer("b").reconnects, b.peer("a").reconnects) == (0, 0)
            assert {a.peer("b").dialled, b.peer("a").dialled} == {True, False}
            assert (a.peer("b").dropped, b.peer("a").dropped) == (0, 0)

    run(main)


@pytest.mark.parametrize("late", ["a", "b"])
def test_a_second_link_gives_way_to_one_that_lives(late: str) -> None:
    """The one whose dialling was held up finds a link in use; it stays, whoever dialled it."""

    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        early, other = (b, a) if late == "a" else (a, b)
        async with started(a, b), proxy(early.address) as way:
            way.cut(back=False)
            other.reach({early.identity.node: [way.address]})
            await until(lambda: way.accepted)
            early.reach({other.identity.node: [other.address]})
            await all_linked(a, b)
            way.heal()
            await exchange(a, b)
            await until(lambda: len(a._links) == len(b._links) == 1)
            assert early.peer(other.identity.node).dialled
            assert (a.peer("b").reconnects, b.peer("a").reconnects) == (0, 0)

    run(main)


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_link_of_which_only_one_side_knows_that_it_is_dead_is_replaced(lost: str) -> None:
    """One side gives it up while the line is cut, and dials anew; the other doubts the old one.
    One attempt is enough: there would be no second one for minutes."""

    async def main() -> None:
        patience = timing(silent_s=30.0, doubt_s=0.1, backoff_first_s=6e4, backoff_most_s=6e4)
        a, b = (mesh(each, timing=patience) for each in "ab")
        async with started(a, b), proxy(b.address) as old:
            a.reach({"b": [old.address]})
            b.reach({"a": []})
            await all_linked(a, b)
            old.cut()
            loser, other = (a, b) if lost == "a" else (b, a)
            (dead,) = loser._links
            dead.abort("the test has cut it")
            await until(lambda: not loser.linked(other.identity.node))
            loser.reach({other.identity.node: [other.address]})
            await until(lambda: a.notes.changes.count(("b", True)) == 2)
            await until(lambda: b.notes.changes.count(("a", True)) == 2)
            await exchange(a, b)
            await until(lambda: len(a._links) == len(b._links) == 1)

    run(main)


# -- the list changes


def test_a_node_that_leaves_the_list_gets_what_was_queued_and_the_others_notice_nothing() -> None:
    async def main() -> None:
        meshes = a, b, c = mesh("a"), mesh("b"), mesh("c")
        async with started(*meshes):
            introduce(*meshes)
            await all_linked(*meshes)
            for data in numbered(2000):
                a.send("b", data)
            b.reach({"c": [c.address]})
            a.reach({"c": [c.address]})
            await until(lambda: not a.linked("b"))
            assert [each.node for each in a.status()] == ["c"]
            await exchange(a, c)
            await exchange(b, c)
            assert a.peer("c").reconnects == 0
            assert a.notes.changes.count(("c", True)) == 1

    run(main)


def test_what_was_queued_goes_before_the_goodbye() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            a.reach({"b": [b.address]})
            await all_linked(a, b)
            sent = numbered(2000, size=2000)
            for data in sent:
                a.send("b", data)
            a.reach({})
            assert a.peer("b").state is PeerState.CONNECTED
            await until(lambda: a.status() == [])
            assert b.notes.of("a") == sent
            await until(lambda: b.status() == [])

    run(main)


def test_a_node_at_a_new_address_is_dialled_there() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b):
            a.reach({"b": ["127.0.0.1:1", "nonsense"]})
            await until(lambda: a.peer("b").why)
            assert not a.linked("b")
            a.reach({"b": ["127.0.0.1:1", b.address]})
            await all_linked(a, b)

    run(main)


def test_each_of_several_addresses_is_tried_and_the_one_that_worked_is_tried_first() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(a, b), proxy(b.address) as way:
            a.reach({"b": ["127.0.0.1:1", "nonsense", way.address]})
            await all_linked(a, b)
            dialler = a._peers["b"].dialler
            assert dialler is not None
            assert dialler.addresses[0] == way.address
            way.sever()
            await until(lambda: a.peer("b").reconnects == 1)
            assert a.peer("b").address == way.address

    run(main)


def test_a_node_is_told_only_of_others() -> None:
    async def main() -> None:
        a = mesh("a")
        async with started(a):
            a.reach({"a": [a.address]})
            assert a.status() == []

    run(main)


# -- strangers


def test_a_newcomer_is_let_in_and_answered_by_its_id() -> None:
    async def main() -> None:
        a, new = mesh("a"), mesh("new")
        async with started(a, new):
            new.reach({"a": [a.address]})
            await all_linked(a, new)
            assert not a.peer("new").listed
            await exchange(a, new)
            a.reach({"new": [new.address]})
            assert a.peer("new").listed
            await exchange(a, new)
            assert a.peer("new").reconnects == 0, "the link is the same"

    run(main)


def test_a_newcomer_that_knows_only_an_address_finds_out_who_is_there() -> None:
    async def main() -> None:
        a, new = mesh("a"), mesh("new")
        async with started(a, new), proxy(a.address) as way:
            new.seek([way.address])
            await all_linked(a, new)
            await exchange(a, new)
            way.sever()
            await until(lambda: new.notes.changes.count(("a", True)) == 2)
            await exchange(a, new)
            new.reach({"a": [a.address]})
            new.seek([])
            await exchange(a, new)

    run(main)


def test_strangers_are_bounded() -> None:
    async def main() -> None:
        a = mesh("a", strangers_max=2)
        crowd = [mesh(f"n{number}") for number in range(4)]
        async with started(a, *crowd):
            for each in crowd:
                each.reach({"a": [a.address]})
            await until(lambda: sum(each.linked("a") for each in crowd) == 2)
            out = [each for each in crowd if not each.linked("a")]
            await until(lambda: all(each.peer("a").state is PeerState.REFUSED for each in out))
            assert "too many nodes" in out[0].peer("a").why
            assert len(a.status()) == 2

    run(main)


def test_a_stranger_who_says_nothing_is_sent_away_and_one_who_speaks_is_not() -> None:
    async def main() -> None:
        a = mesh("a", timing=timing(stranger_idle_s=0.3))
        quiet, lively = (
            mesh("quiet", timing=timing(backoff_first_s=60, backoff_most_s=60)),
            mesh("l"),
        )
        async with started(a, quiet, lively):
            quiet.reach({"a": [a.address]})
            lively.reach({"a": [a.address]})
            await until(lambda: quiet.linked("a") and lively.linked("a"))
            while ("quiet", False) not in a.notes.changes:
                lively.send("a", b"I am here")
                await asyncio.sleep(0.01)
            assert ("l", False) not in a.notes.changes
            await until(lambda: "no member here" in quiet.peer("a").why)

    run(main)


# -- starting and stopping


def test_start_and_stop_may_be_said_twice_and_again() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        a.reach({"b": ["127.0.0.1:1"]})
        await a.stop()
        for _ in range(2):
            await a.start()
            await a.start()
            await b.start()
            a.reach({"b": [b.address]})
            await until(lambda: a.linked("b"))
            await asyncio.gather(a.stop(), a.stop(), b.stop())
            assert (a.status(), a.address) == ([], "")

    run(main)


def test_stopping_sends_what_is_queued() -> None:
    async def main() -> None:
        a, b = mesh("a"), mesh("b")
        async with started(b):
            async with started(a):
                introduce(a, b)
                await all_linked(a, b)
                sent = numbered(500, size=10_000)
                for data in sent:
                    a.send("b", data)
            assert a.notes.changes[-1] == ("b", False)
            await until(lambda: not b.linked("a"))
            assert b.notes.of("a") == sent

    run(main)


def test_stopping_does_not_wait_for_who_does_not_read() -> None:
    async def main() -> None:
        a, b = mesh("a", timing=timing(close_s=0.1)), mesh("b")
        async with started(a, b), proxy(b.address) as way:
            a.reach({"b": [way.address]})
            await all_linked(a, b)
            way.cut()
            for _ in range(16):
                a.send("b", bytes(1 << 20))
            async with asyncio.timeout(PATIENCE_S):
                await a.stop()
            assert b.notes.got == []

    run(main)


def test_a_mesh_without_a_secret_keeps_to_its_own_machine() -> None:
    with pytest.raises(ValueError, match="set a secret"):
        mesh("a", host="0.0.0.0", secret=None)
    with pytest.raises(ValueError, match="16 are the least"):
        mesh("a", secret=b"short")
    mesh("a", host="0.0.0.0", secret=None, insecure=True)
    mesh("a", host="0.0.0.0", secret=SECRET)

    async def main() -> None:
        a, b = mesh("a", secret=None), mesh("b", secret=None)
        async with started(a, b):
            introduce(a, b)
            await all_linked(a, b)
            await exchange(a, b)

    run(main)


@pytest.mark.parametrize(("me", "name"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("member_first", [True, False])
def test_a_name_is_its_members_whoever_comes_first(me: str, name: str, member_first: bool) -> None:
    """Whichever side decides about links; who has the name by mistake is turned away."""

    def linked_birth(one: Noted) -> str | None:
        peer = one._peers.get(name)
        return None if peer is None or peer.link is None else peer.link.greeting.birth

    async def main() -> None:
        one, member, namesake = mesh(me), mesh(name), mesh(name, birth="another birth")
        one.notes.seats[name] = member.identity.birth
        first, second = (member, namesake) if member_first else (namesake, member)
        async with started(one, first):
            first.seek([one.address])
            await until(lambda: linked_birth(one) == first.identity.birth)
            async with started(second):
                second.seek([one.address])
                await until(lambda: linked_birth(one) == member.identity.birth)
                for number in range(20):
                    member.send(me, b"%d" % number)
                await until(lambda: one.notes.of(name)[-1:] == [b"19"])
                assert linked_birth(one) == member.identity.birth
        assert not namesake.linked(me)

    run(main)
