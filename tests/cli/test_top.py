"""tlru top: on a real terminal, for scripts, and what it leaves out where there is little room."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from tests.cli.commands import PATIENCE_S, RunningNode, serving
from tests.cli.terminals import Terminal, terminal
from tests.node.clusters import three
from tests.running import a_node, run, until
from tlru import sync
from tlru.cli import top_prefixes, top_view
from tlru.cli.exits import Exit
from tlru.cli.top_prefixes import Hot, Tally, prefix_of
from tlru.cli.top_view import HotSort, NodeSort, Seen, page, spark
from tlru.client import Raw, connect

SOON = ("--interval", "100ms")


def member(id: str, **told: Any) -> dict[str, Any]:
    """What a node says of itself."""
    usual = {
        "id": id,
        "status": "active",
        "role": "voter",
        "priority": 100,
        "region": "eu-west",
        "term": 3,
        "pos": 1_234_567,
        "lag": 0,
        "clock_error_ms": 2,
        "keys": 50_000,
        "bytes": 300 << 20,
        "max_bytes": 1 << 30,
        "connections": 7,
        "uptime_s": 90_000,
        "release": "0.1.0",
        "rates": {"ops_per_s": 1_000.0, "hit_ratio": 0.5},
        "links": [{"to": "n9", "state": "connected", "round_trip_ms": 1.5}],
    }
    return {**usual, **told}


def seen(*nodes: dict[str, Any], hot: int = 0, **told: Any) -> Seen:
    """What there is to show."""
    made = Seen("default", lambda: None, {"leader": "n1", "term": 3, "nodes": list(nodes)}, **told)
    made.hot = [Hot(f"prefix{number}:*", 100.0 - number, 1.0 * number) for number in range(hot)]
    return made


def shown(what: Seen, width: int = 80, height: int | None = 24) -> list[str]:
    """The lines of a view."""
    return [line.plain for line in page(what, width, height, top_view.KEYS if height else "")]


# What is left out


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 12), (20, 5), (1, 1)])
def test_a_view_is_never_larger_than_the_terminal(width: int, height: int) -> None:
    many = [member(f"node-{number}-of-a-long-name", region="🎉" * 9) for number in range(40)]
    lines = page(seen(*many, hot=200), width, height, top_view.KEYS)
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


def test_a_narrow_terminal_has_what_matters_most() -> None:
    what = seen(member("n1"), member("n2"))
    head = next(line for line in shown(what) if line.startswith("id")).split()
    assert {"id", "role", "status", "lag", "keys", "ops/s"} <= set(head)
    assert "links" not in head
    wide = next(line for line in shown(what, 200) if line.startswith("id")).split()
    assert [*head, "links"] == [name for name in wide if name in (*head, "links")]


def test_rows_that_do_not_fit_are_counted() -> None:
    lines = shown(seen(*(member(f"n{number:02}") for number in range(30)), hot=50))
    assert "... and " in "".join(lines)
    assert any(line.endswith("nodes more") for line in lines)
    assert any(line.endswith("prefixes more") for line in lines)
    assert any(line.startswith("prefix0:*") for line in lines)


def test_a_node_that_is_silent_has_no_figures() -> None:
    gone = {"id": "n2", "status": "silent", "silent_s": 75, "role": "voter", "priority": 90}
    line = next(line for line in shown(seen(member("n1"), gone)) if line.startswith("n2"))
    assert line.split() == ["n2", "voter", "silent", "1m15s"]


def test_what_was_asked_for_decides_the_order() -> None:
    busy = {"ops_per_s": 9.0, "hit_ratio": None}
    what = seen(member("n1"), member("n2", lag=5, connections=1, rates=busy), hot=3)
    orders = {}
    for sort in NodeSort:
        what.node_sort = sort
        orders[sort] = [str(each["id"]) for each in what.nodes]
    assert orders[NodeSort.ID] == orders[NodeSort.OPS] == orders[NodeSort.CLIENTS] == ["n1", "n2"]
    assert orders[NodeSort.LAG] == ["n2", "n1"]
    what.hot_sort = HotSort.REMOVALS
    first = next(line for line in shown(what) if line.startswith("prefix") and ":*" in line)
    assert first.split()[0] == "prefix2:*"


def test_hits_are_weighed_by_what_each_node_does() -> None:
    nodes = [
        member("n1", rates={"ops_per_s": 300.0, "hit_ratio": 1.0}),
        member("n2", rates={"ops_per_s": 100.0, "hit_ratio": 0.0}),
        member("n3", rates={"ops_per_s": 0.0, "hit_ratio": None}),
    ]
    assert any("hits" in line and "75.0%" in line for line in shown(seen(*nodes)))


def test_what_strangers_wrote_commands_no_terminal() -> None:
    what = seen(member("n1", alarms=["\x1b[2J"]))
    what.hot = [Hot("\x1b[31m:*", 1.0, 0.0)]
    assert "\x1b" not in "".join(shown(what))


@pytest.mark.parametrize(
    ("values", "bars"), [([], ""), ([0, 0], "▁▁"), ([1, 2, 4, 8], "▂▃▅█"), ([0, 5], "▁█")]
)
def test_a_sparkline_is_as_high_as_its_highest(values: list[float], bars: str) -> None:
    assert spark(values) == bars


def test_that_changes_are_not_counted_is_said() -> None:
    what = seen(member("n1"), unwatched="you may not")
    assert any(line == "changes are not counted: you may not" for line in shown(what))


# The hottest prefixes


@pytest.mark.parametrize(
    ("key", "prefix"),
    [("user:7:cart", "user:*"), ("a/b:c", "a/*"), ("alone", "alone"), (":x", ":*"), ("x:", "x:*")],
)
def test_a_prefix_ends_at_the_first_separator(key: str, prefix: str) -> None:
    assert prefix_of(key) == prefix


def test_changes_are_counted_by_prefix_and_more_than_that_is_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stops listening where too much comes, and listens again with the next look."""
    monkeypatch.setattr(top_prefixes, "CHANGES_MAX", 100)
    monkeypatch.setattr(top_prefixes, "PREFIXES_MAX", 2)

    async def main() -> None:
        async with a_node() as node, connect(node.url, serializer=Raw()) as cache:
            tally = Tally()
            tally.turn()
            listening = asyncio.create_task(tally.run(cache))
            await until(lambda: tally.listening)
            await cache.set("user:1", b"\x01")
            await cache.delete("user:1")
            await cache.set("b:1", b"\x01")
            await cache.set("c:1", b"\x01")
            await until(lambda: tally._look().changes == 4)
            tally.turn()
            hot = tally.hottest()
            assert [each.prefix for each in hot] == ["user:*", "(others)", "b:*"]
            assert hot[0].sets == hot[0].removals > 0
            assert tally.share() == 1.0
            for number in range(300):
                await cache.set(f"user:{number}", b"\x01")
            await until(lambda: not tally.listening)
            assert 100 <= tally._look().changes < 300
            tally.turn()
            assert tally.share() < 1.0
            await until(lambda: tally.listening)
            await cache.set("user:x", b"\x01")
            await until(lambda: tally._look().changes == 1)
            listening.cancel()
            await asyncio.wait([listening])

    run(main())


# For scripts


def test_once_prints_one_plain_view(node: RunningNode) -> None:
    ran = node.run("top", "--once", *SOON)
    assert (ran.status, ran.err) == (Exit.OK, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("tlru top: cache default   n1 leads in term ")
    head = next(line for line in lines if line.startswith("id")).split()
    row = next(line for line in lines if line.startswith("n1 ")).split()
    assert row[head.index("status")] == "active"
    assert row[head.index("role")] == "leads"
    assert "\x1b" not in ran.out


def test_programs_are_told_everything(node: RunningNode) -> None:
    ran = node.run("top", "--once", "--json", *SOON)
    assert ran.status == Exit.OK
    assert ran.json["nodes"][0]["pid"] == node.process.pid
    assert (ran.json["leader"], ran.json["sampled"]) == ("n1", 1.0)
    assert ran.json["prefixes"] == []


def test_without_a_terminal_there_is_no_live_view(node: RunningNode) -> None:
    ran = node.run("top")
    assert (ran.status, ran.out) == (Exit.USAGE, "")
    assert "use --once, or --json" in ran.err
    with terminal() as tty:
        tty.start("top", "--server", node.url, *SOON, PYTHONWARNINGS="error")
        tty.until(lambda lines: any(line.startswith("n1 ") for line in lines))
        tty.press("q")
        assert tty.ended() == Exit.OK


# On a terminal


def started(tty: Terminal, *servers: str) -> list[str]:
    """The view, once there is something in it."""
    tty.start("top", *(word for one in servers for word in ("--server", one)), *SOON)
    return tty.until(lambda lines: any("active" in line for line in lines))


def restored(tty: Terminal, before: object) -> bool:
    """Whether it is as it was: its screen, its cursor, and how it treats what is typed."""
    last = {name: tty.raw.rfind(name) for name in (b"\x1b[?1049h", b"\x1b[?1049l")}
    shows = tty.raw.rfind(b"\x1b[?25h") > tty.raw.rfind(b"\x1b[?25l")
    return last[b"\x1b[?1049l"] > last[b"\x1b[?1049h"] and shows and tty.modes() == before


def test_keys_are_obeyed(node: RunningNode) -> None:
    with terminal() as tty:
        before = tty.modes()
        lines = started(tty, node.url)
        assert lines[-1] == top_view.KEYS
        with sync.connect(node.url, timeout=PATIENCE_S) as cache:
            cache.set("hot:1", 1)
        tty.until(lambda lines: any(line.startswith("hot:*") for line in lines))
        tty.press("s")
        tty.until(lambda lines: any("by sets" in line for line in lines))
        tty.press("\x1b[A")  # an arrow: nothing of ours
        tty.press("p")
        tty.until(lambda lines: lines[1] == "paused: p goes on")
        tty.press("p")
        tty.until(lambda lines: lines[1] == "")
        tty.resize(132, 40)
        tty.until(lambda lines: lines[-1] == top_view.KEYS and "release" in "".join(lines))
        tty.press("q")
        assert tty.ended() == Exit.OK
        assert restored(tty, before)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)],
)
def test_a_signal_gives_the_terminal_back(
    node: RunningNode, number: signal.Signals, status: Exit
) -> None:
    with terminal() as tty:
        before = tty.modes()
        started(tty, node.url)
        tty.send(number)
        assert tty.ended() == status
        assert restored(tty, before)
        assert b"Traceback" not in tty.raw


def test_that_no_server_is_left_is_shown_and_that_one_is_back() -> None:
    with terminal(columns=100) as tty:  # room for all of it, behind how old the view is
        with serving() as node:
            started(tty, node.url)
            port = node.url.rpartition(":")[2].partition("/")[0]
            node.end(signal.SIGKILL)
            lines = tty.until(lambda lines: "looking for one" in lines[1])
            assert any(line.startswith("n1 ") for line in lines)
        tty.until(lambda lines: " s old: lost the server" in lines[1])
        with serving("--listen", f"127.0.0.1:{port}"):
            tty.until(lambda lines: lines[1] == "")
        tty.press("q")
        assert tty.ended() == Exit.OK


def test_it_follows_the_death_of_the_node_that_it_talks_to() -> None:
    async def main() -> None:
        async with three() as made:
            with terminal() as tty:
                started_at = made["n1"].url.removesuffix("/ws")
                lines = await asyncio.to_thread(started, tty, made["n1"].url)
                assert started_at in lines[0]
                await made.stop("n1")
                others = [made[id].url.removesuffix("/ws") for id in ("n2", "n3")]

                def moved(lines: list[str]) -> bool:
                    there = any(one in lines[0] for one in others)
                    return there and any(x.startswith("n1") and "silent" in x for x in lines)

                await asyncio.to_thread(tty.until, moved)
                tty.press("q")
                assert await asyncio.to_thread(tty.ended) == Exit.OK

    run(main())
