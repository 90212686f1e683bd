"""status and bench, against nodes that are processes of their own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cli.commands import PATIENCE_S, TLRU, RunningNode, environment, serving, tlru
from tlru._version import __version__
from tlru.cli import bench, main, say, status
from tlru.cli.exits import Exit
from tlru.config import Config

# status


def test_a_node_tells_how_it_is_doing(node: RunningNode) -> None:
    node.run("set", "status", "x")
    ran = node.run("status")
    assert (ran.status, ran.err) == (Exit.OK, "")
    rows = dict(line.split(None, 1) for line in ran.out.splitlines())
    assert rows["server"] == node.url
    assert rows["node"] == "n1 (active, leads)"
    assert rows["addresses"] == node.url
    assert rows["release"].startswith(f"{__version__}, process {node.process.pid} on ")
    assert rows["cache"] == "default"
    assert int(rows["keys"]) >= 1
    assert rows["memory"].endswith(" of 1GiB")
    assert "round" in rows
    assert "where" not in rows
    assert "labels" not in rows


def test_a_node_tells_programs_everything(node: RunningNode) -> None:
    facts = node.run("status", "--json", "--cache", "other").json
    assert (facts["server"], facts["cache"], facts["status"]) == (node.url, "other", "active")
    assert (facts["node"], facts["pid"]) == ("n1", node.process.pid)
    assert facts["round_trip_ms"] > 0
    assert facts["max_bytes"] == Config().max_bytes


def test_what_a_node_is_labelled_with_is_shown() -> None:
    with serving("--region", "eu", "--zone", "a", "--label", "rack=7", "--max-entries", "9") as one:
        ran = one.run("status")
    rows = dict(line.split(None, 1) for line in ran.out.splitlines())
    assert (rows["where"], rows["labels"], rows["keys"]) == ("eu, a", "rack=7", "0 of 9")


def test_several_servers_are_rows_and_one_that_is_away_is_told(node: RunningNode) -> None:
    ran = tlru(
        "status", "--server", node.url, "--server", "ws://127.0.0.1:1", "--server", node.http
    )
    assert ran.status == Exit.UNAVAILABLE
    assert ran.err == "tlru: cannot reach ws://127.0.0.1:1: connection refused\n"
    head, *rows = [line.split() for line in ran.out.splitlines()]
    assert head[:4] == ["server", "node", "status", "role"]
    assert [row[:3] for row in (rows[0], rows[2])] == [
        [node.url.removeprefix("ws://"), "n1", "active"],
        [node.http.removeprefix("http://"), "n1", "active"],
    ]
    assert rows[1] == ["127.0.0.1:1", "unavailable"]
    as_json = tlru("status", "--json", "--server", f"{node.url},ws://127.0.0.1:1")
    lines = as_json.out.splitlines()
    assert len(lines) == 2
    assert '"error":{"code":"unavailable"' in lines[1]
    assert as_json.status == Exit.UNAVAILABLE


@pytest.mark.parametrize(
    ("facts", "up"),
    [(0, "0s"), (59.9, "59s"), (60, "1m0s"), (3_725, "1h2m"), (90_000, "1d1h"), (86_400, "1d0h")],
)
def test_how_long_a_node_is_up_is_told_in_two_units(facts: float, up: str) -> None:
    assert status.uptime({"uptime_s": facts}) == up


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0B"), (999, "999B"), (1_024, "1KiB"), (1_536, "1.5KiB"), (5 << 20, "5MiB"), (None, "")],
)
def test_a_size_is_shown_roughly(count: int | None, shown: str) -> None:
    assert status._size(count) == shown


# bench


def test_a_bench_tells_how_long_answers_took(node: RunningNode) -> None:
    ran = node.run(
        "bench", "--seconds", "200ms", "--callers", "4", "--keys", "300", "--reads", "50"
    )
    assert (ran.status, ran.err) == (Exit.OK, "")
    head, *rows = [line.split() for line in ran.out.splitlines()]
    assert " ".join(head) == "count per second p50 ms p90 ms p99 ms max ms"
    assert [row[0] for row in rows] == ["get", "set", "all"]
    counts = [int(row[1].replace(",", "")) for row in rows]
    assert counts[0] + counts[1] == counts[2] > 0
    for row in rows:
        percentiles = [float(figure) for figure in row[3:]]
        assert percentiles == sorted(percentiles)


def test_a_bench_leaves_nothing_behind(node: RunningNode) -> None:
    argv = ("--seconds", "100ms", "--callers", "1", "--reads", "0", "--size", "1KiB", "--json")
    measured = node.run("bench", *argv).json
    assert list(measured["operations"]) == ["set"]
    assert measured["operations"]["set"]["count"] > 0
    assert {
        name: measured[name] for name in ("callers", "reads_percent", "value_bytes", "keys")
    } == {
        "callers": 1,
        "reads_percent": 0,
        "value_bytes": 1_024,
        "keys": 1_000,
    }
    assert measured["errors"] == {}
    assert node.run("scan", "bench:").out == ""


def test_a_bench_whose_node_dies_says_so_with_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The node is killed when the bench tells its progress for the first time."""
    with serving() as node:

        @contextmanager
        def killing(name: str) -> Iterator[Callable[[float], None]]:
            def progress(share: float) -> None:
                if node.process.poll() is None:
                    node.end(signal.SIGKILL)

            yield progress

        monkeypatch.setattr(bench, "_progress", killing)
        argv = ["bench", "--seconds", "1s", "--timeout", "300ms", "--callers", "3"]
        ended = main([*argv, "--server", node.url])
    assert ended in (Exit.UNAVAILABLE, Exit.UNKNOWN)
    out, err = capfd.readouterr()
    assert out.splitlines()[0].split()[0] == "count"
    lines = err.splitlines()
    assert all(line.startswith("tlru: ") for line in lines)
    assert " requests failed: " in lines[0]
    assert lines[-1].startswith("tlru: the last one: ")


def test_a_value_that_the_node_does_not_take_ends_a_bench() -> None:
    with serving("--value-bytes", "1KiB") as node:
        ran = node.run("bench", "--size", "2KiB", "--seconds", "100ms")
    assert (ran.status, ran.out) == (Exit.REFUSED, "")
    assert ran.err.startswith("tlru: ")
    assert ran.err.count("\n") == 1


def test_a_bench_shows_a_bar_on_a_terminal_only(node: RunningNode) -> None:
    ours, theirs = pty.openpty()
    argv = ["bench", "--seconds", "300ms", "--callers", "2", "--server", node.url, "--json"]
    with subprocess.Popen(
        [*TLRU, *argv], stdout=subprocess.PIPE, stderr=theirs, env=environment(TERM="xterm")
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux tells that nobody has the other end any more
                break
            shown += part
        assert process.stdout is not None
        assert process.stdout.read().startswith(b'{"seconds":')
        assert process.wait(PATIENCE_S) == Exit.OK
    os.close(ours)
    assert b"2 callers" in shown


# What a terminal is shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 🎉", "plain é 🎉"),
        ("a\tb\nc", "a\\tb\\nc"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_stands_in_a_table_is_one_line(text: str, shown: str) -> None:
    assert say.one_line(text) == shown
