"""Questions that nodes ask each other beside the log, and wishes that are seen through."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from peers import wire
from peers.clocks import boot_ms
from peers.cluster import asking, wishes
from peers.core.changes import Changing
from peers.core.membership import Role
from peers.errors import RefusedError, UnknownOutcomeError
from peers.ordered_log import NodeStatus
from peers.wire_fields import pack_plain
from tests.peers.clusters import Cluster, Running, cluster, until
from tests.running import end, run

WITHIN_S = 10.0


async def _echo(sender: str, body: bytes, _within_s: float) -> bytes:
    match body:
        case b"no":
            raise RefusedError("busy", "not now")
        case b"broken":
            raise RuntimeError("it broke")
        case b"never":
            await asyncio.Event().wait()
    return sender.encode() + b": " + body


def test_a_question_is_answered_refused_or_of_unknown_outcome() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, b, _ = await made.found("a", "b", "c")
            with pytest.raises(RefusedError, match="b takes no part"):
                await a.log.asking.ask("b", b"early", WITHIN_S)
            b.log.asking.handler = _echo
            assert await a.log.asking.ask("b", b"what", WITHIN_S) == b"a: what"
            with pytest.raises(RefusedError, match="not now") as refused:
                await a.log.asking.ask("b", b"no", WITHIN_S)
            assert refused.value.reason == "busy"
            with pytest.raises(UnknownOutcomeError, match="nobody foresaw"):
                await a.log.asking.ask("b", b"broken", WITHIN_S)
            with pytest.raises(UnknownOutcomeError, match="no answer within"):
                await a.log.asking.ask("b", b"never", 0.05)
            with pytest.raises(RefusedError, match="no member 'z'"):
                await a.log.asking.ask("z", b"what", WITHIN_S)
            with pytest.raises(RefusedError, match="may be"):
                await a.log.asking.ask("b", bytes(asking.BODY_BYTES_MAX + 1), WITHIN_S)

    run(test())


def test_whoever_asks_hears_at_once_that_the_other_is_gone() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, b, _ = await made.found("a", "b", "c")
            b.log.asking.handler = _echo
            waiting = asyncio.create_task(a.log.asking.ask("b", b"never", 60))
            await until(lambda: b.log.asking._answering["a"])
            await made.stop("b")
            with pytest.raises(UnknownOutcomeError, match="broke"):
                await waiting
            with pytest.raises(RefusedError, match="no link with b"):
                await a.log.asking.ask("b", b"what", WITHIN_S)

    run(test())


def test_questions_under_way_are_bounded_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWERING_MAX", 2)
    monkeypatch.setattr(asking, "ASKED_MAX", 3)

    async def test() -> None:
        async with cluster() as made:
            a, b, c = await made.found("a", "b", "c")
            b.log.asking.handler = _echo
            tasks = [asyncio.create_task(a.log.asking.ask("b", b"never", 60)) for _ in range(2)]
            await until(lambda: b.log.asking._answering["a"] == 2)
            with pytest.raises(RefusedError, match="works on 2") as refused:
                await a.log.asking.ask("b", b"what", WITHIN_S)
            assert refused.value.reason == "overloaded"
            assert await c.log.asking.ask("b", b"what", WITHIN_S) == b"c: what"
            tasks.append(asyncio.create_task(a.log.asking.ask("c", b"never", 60)))
            c.log.asking.handler = _echo
            await until(lambda: c.log.asking._answering["a"])
            with pytest.raises(RefusedError, match="3 questions"):
                await a.log.asking.ask("c", b"what", WITHIN_S)
            await end(tasks)

    run(test())


def test_who_is_no_member_is_not_answered() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, b, c = await made.found("a", "b", "c")
            a.log.asking.handler = b.log.asking.handler = _echo
            before = c.log.replica
            assert before is not None
            await wishes.change(a.log, wishes.remove("c"), WITHIN_S)
            await until(lambda: c.log.node_status is NodeStatus.REMOVED)
            # As it was before it heard of it, and with a link, as strangers may have one.
            c.log.mesh.seek((b.address,))
            await until(lambda: (s := c.log.mesh.status_of("b")) and s.dialled is not None)
            with pytest.raises(RefusedError, match="c is no member, as far as b knows"):
                await c.log.asking.ask("b", b"let me", WITHIN_S)

    run(test())


def test_a_release_that_knows_no_questions_passes_over_them() -> None:
    """An older release reads every message as an envelope, and this is one of an unknown kind."""
    assert max(wire.CODES.values()) < wire.BESIDE_FROM
    number, figure = 1 << 40, 5_000
    said = (wire.VERSION, 128, "a", "birth", "other", number, figure, b"body", "")
    data = pack_plain(said)
    assert wire.is_beside(data)
    with pytest.raises(wire.UnknownKindError):
        wire.decode(data)


@pytest.mark.parametrize(
    "parts",
    [
        (128, "a", "birth"),
        (128, "a", "birth", "other", 1, 1, "no bytes", ""),
        (128, 7, "birth", "other", 1, 1, b"", ""),
        (128, "a", "birth", "other", -1, 1, b"", ""),
        (128, "a", "birth", "other", 1, 1, b"", "x" * 65),
    ],
)
def test_what_nobody_says_is_logged_and_harms_nothing(
    parts: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with cluster() as made:
            (a,) = await made.found("a")
            a.log.links.on_message("b", pack_plain((wire.VERSION, *parts)))
            assert "b sent" in caplog.text
            assert a.active

    run(test())


# -- wishes


def _members(node: Running) -> dict[str, tuple[int, str]]:
    return {m["id"]: (m["priority"], m["role"]) for m in node.log.status().members}


async def _everywhere(made: Cluster, wanted: dict[str, tuple[int, str]]) -> None:
    await until(lambda: all(_members(node) == wanted for node in made.nodes.values()))


def test_changes_that_are_wished_at_once_come_one_after_another() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, b, _ = await made.found("a", "b", "c")
            indexes = await asyncio.gather(
                *(
                    wishes.change(
                        a.log,
                        wishes.alter(id, lambda m, p=p: replace(m, priority=p)),  # type: ignore[misc]
                        WITHIN_S,
                    )
                    for id, p in (("a", 70), ("b", 60), ("c", 50))
                )
            )
            assert len(set(indexes)) == 3
            await _everywhere(made, {"a": (70, "voter"), "b": (60, "voter"), "c": (50, "voter")})
            again = wishes.alter("a", lambda m: replace(m, priority=70))
            assert await wishes.change(a.log, again, WITHIN_S) >= max(indexes)
            assert a.log.replica is not None
            assert a.log.replica.state.log.changed == max(indexes), "no entry for what is so"
            with pytest.raises(RefusedError) as refused:
                await wishes.change(b.log, again, WITHIN_S)
            assert refused.value.reason == "not_leader"

    run(test())


def test_a_member_that_is_wished_away_twice_is_gone_once() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, _, c = await made.found("a", "b", "c")
            index = await wishes.change(a.log, wishes.remove("c"), WITHIN_S)
            assert await wishes.change(a.log, wishes.remove("c"), WITHIN_S) >= index
            await until(lambda: c.log.node_status is NodeStatus.REMOVED)

    run(test())


def test_a_voter_becomes_an_observer_and_a_voter_again() -> None:
    async def test() -> None:
        async with cluster() as made:
            a, _, _ = await made.found("a", "b", "c")
            for role in (Role.OBSERVER, Role.VOTER):
                wish = wishes.alter("c", lambda m, r=role: replace(m, role=r))  # type: ignore[misc]
                await wishes.change(a.log, wish, WITHIN_S)
                await until(lambda role=role: _members(a)["c"][1] == role)  # type: ignore[misc]

    run(test())


def test_the_lead_is_handed_to_whom_one_names() -> None:
    async def test() -> None:
        async with cluster(timing=replace(Cluster().timing, hand_back=False)) as made:
            a, _, c = await made.found("a", "b", "c")
            await until(lambda: all(map(_may_vote, made.nodes.values())))
            began = time.monotonic()
            assert await wishes.hand_over(a.log, "c", WITHIN_S) == "c"
            await until(lambda: c.log.leads)
            assert time.monotonic() - began < made.timing.election_timeout_ms / 1000, "no election"
            with pytest.raises(RefusedError, match="c leads"):
                await wishes.hand_over(a.log, "a", WITHIN_S)
            with pytest.raises(RefusedError, match="no member 'z'"):
                await wishes.hand_over(c.log, "z", WITHIN_S)
            assert await wishes.hand_over(c.log, "c", WITHIN_S) == "c"
            await made.stop("a")
            await until(lambda: _heard(c) == {"b", "c"})
            with pytest.raises(RefusedError, match="a does not answer"):
                await wishes.hand_over(c.log, "a", WITHIN_S)

    run(test())


def _may_vote(node: Running) -> bool:
    """Who has only just started does not vote, so nobody else can be elected."""
    replica = node.log.replica
    assert replica is not None
    return boot_ms() - replica.state.started >= replica.state.timing.election_timeout_ms


def _heard(node: Running) -> set[str]:
    return {m["id"] for m in node.log.status().members if m["heard"]}


def test_a_state_is_replaced_by_another_nodes_when_a_person_wants_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(tmp_path) as made:
            a, _, c = await made.found("a", "b", "c")
            await a.write_through("kept")
            await made.until_written("kept")
            c.notebook.lines = [(1, "rotten")]  # as nothing but a person could know
            await wishes.restore(c.log, WITHIN_S)
            await made.until_written("kept")
            assert c.active
            await wishes.restore(a.log, WITHIN_S)
            await made.until_active("a")
            await made.until_written("kept")

    run(test())


def test_who_is_alone_has_nobody_to_take_a_state_from() -> None:
    async def test() -> None:
        async with cluster() as made:
            (a,) = await made.found("a")
            with pytest.raises(RefusedError, match="no other voter"):
                await wishes.restore(a.log, WITHIN_S)
            assert a.active
            with pytest.raises(RefusedError, match="no other voter"):
                await wishes.hand_over(a.log, None, WITHIN_S)

    run(test())


def test_a_level_is_raised_once_all_can_apply_it(tmp_path: Path) -> None:
    def finalize(changing: Changing, now: int) -> None:
        changing.raise_level(changing.state.level, now)

    async def test() -> None:
        async with cluster(tmp_path) as made:
            a = await made.start(made.plan("a", 100, founders=("a",), level=2))
            await made.until_active("a")
            b = await made.start(made.plan("b", 50, join=(a.address,), level=1))
            await made.until_active("b")
            with pytest.raises(RefusedError, match="b cannot apply level 2"):
                await wishes.change(a.log, finalize, WITHIN_S)
            await made.stop("b")
            b = await made.start(made.plan("b", 50, join=(a.address,), level=2))
            await made.until_active("b")
            await until(lambda: _knows_level(a, "b") == 2)
            await wishes.change(a.log, finalize, WITHIN_S)
            await until(lambda: _level(b) == 2)

    run(test())


def _level(node: Running) -> int:
    assert node.log.replica is not None
    return node.log.replica.state.membership.level


def _knows_level(node: Running, other: str) -> int:
    assert node.log.replica is not None
    state = node.log.replica.state
    member = state.membership.get(other)
    return 0 if member is None else state.levels.get(member.origin, 0)
