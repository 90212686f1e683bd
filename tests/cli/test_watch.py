"""tlru watch: what it prints, how it ends, and that nothing is missed, whoever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import PATIENCE_S, TLRU, RunningNode, environment, serving
from tests.cli.terminals import terminal
from tests.integration.processes import processes
from tests.running import run, until
from tlru import sync
from tlru.cli.exits import Exit
from tlru.client import connect


@contextmanager
def watching(node: RunningNode, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """The command, going on; gone afterwards."""
    process = subprocess.Popen(
        [*TLRU, "watch", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TLRU_SERVER=node.url),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_begun(node: RunningNode, process: subprocess.Popen[str], key: str) -> None:
    """Change a key until the command tells of it: from then on it misses nothing."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    while not process.stdout.readline():
        assert process.poll() is None, process.communicate()
        node.run("set", key, "begun")
    os.set_blocking(process.stdout.fileno(), True)


def here(node: RunningNode) -> str:
    """The position up to now."""
    with sync.connect(node.url, timeout=PATIENCE_S) as cache:
        told = cache.status()
    return f"{told['epoch']}-{told['pos']}"


def changed(node: RunningNode, name: str) -> str:
    """Change some keys with this beginning; the position before all of it."""
    before = here(node)
    with sync.connect(node.url, timeout=PATIENCE_S) as cache:
        cache.set(f"{name}:1", "two\nlines", ttl=3_600)
        cache.set(f"{name}:2", {"a": [1]})
        cache.touch(f"{name}:1", ttl=7_200)
        cache.delete(f"{name}:2")
    return before


def test_changes_are_lines_with_tabs_in_a_pipe(node: RunningNode) -> None:
    before = changed(node, "lines")
    ran = node.run("watch", "lines:*", "--since", before, "--count", "4")
    assert (ran.status, ran.err) == (Exit.OK, "")
    first, second, third, fourth, _ = ran.out.replace("two\nlines", "two|lines").split("\n")
    assert first.split("\t")[1:] == ["set", "lines:1", "3600", "two|lines"]
    assert second.split("\t")[1:] == ["set", "lines:2", "", '{"a":[1]}']
    assert third.split("\t")[1:] == ["touch", "lines:1", "7200", ""]
    assert fourth.split("\t")[1:] == ["delete", "lines:2", "", ""]


def test_json_says_all_of_it_and_where_to_go_on(node: RunningNode) -> None:
    before = changed(node, "json")
    ran = node.run("watch", "json:*", "--since", before, "--count", "4", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [(each["type"], each["key"]) for each in told] == [
        ("set", "json:1"),
        ("set", "json:2"),
        ("touch", "json:1"),
        ("delete", "json:2"),
    ]
    assert (told[0]["value"], told[1]["value"], told[2]["ttl"]) == ("two\nlines", {"a": [1]}, 7200)
    argv = ("--since", told[1]["position"], "--quiet-for", "200ms", "--json")
    rest = [json.loads(line) for line in node.run("watch", "json:*", *argv).out.splitlines()]
    assert [each["version"] for each in rest] == [each["version"] for each in told[2:]]


def test_keys_alone_and_several_patterns(node: RunningNode) -> None:
    before = changed(node, "several")
    argv = ("--since", before, "--keys", "--json", "--count", "6")
    ran = node.run("watch", "several:1", "several:*", *argv)
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert {each["pattern"] for each in told} == {"several:1", "several:*"}
    of_one = [each["type"] for each in told if each["pattern"] == "several:1"]
    assert of_one == ["set", "touch"]
    assert not any("value" in each for each in told)


def test_a_snapshot_comes_first(node: RunningNode) -> None:
    changed(node, "snapshot")
    ran = node.run("watch", "snapshot:*", "--snapshot", "--quiet-for", "300ms", "--json")
    assert ran.status == Exit.OK
    assert [json.loads(line)["key"] for line in ran.out.splitlines()] == ["snapshot:1"]


def test_that_too_few_came_is_told_by_the_status(node: RunningNode) -> None:
    ran = node.run("watch", "nothing:*", "--count", "1", "--for", "200ms")
    assert (ran.status, ran.out, ran.err) == (Exit.ABSENT, "", "")
    assert node.run("watch", "nothing:*", "--for", "200ms").status == Exit.OK


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--since", "x"], "'x' is no position"),
        ([""], "watches nothing"),
        (["--since", "1-2", "--state", "x"], "both say where to begin"),
        ([f"{number}" for number in range(65)], "more than 64"),
        (["--quiet-for", "never"], "expected a duration"),
    ],
)
def test_what_makes_no_sense_is_told(node: RunningNode, argv: list[str], words: str) -> None:
    ran = node.run("watch", *argv)
    assert (ran.status, ran.out) == (Exit.USAGE, "")
    assert words in ran.err


def test_ctrl_c_ends_it(node: RunningNode) -> None:
    with watching(node, "ctrl:*") as process:
        until_begun(node, process, "ctrl:c")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (Exit.INTERRUPTED, "")


def test_a_reader_that_leaves_ends_it_though_nothing_more_happens(node: RunningNode) -> None:
    with watching(node, "leaves:*") as process:
        until_begun(node, process, "leaves:1")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == Exit.CLOSED_PIPE
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_reader_that_stands_still_costs_no_change_and_ctrl_c_works(node: RunningNode) -> None:
    """More than a pipe holds waits to be printed; the command is not stuck in it."""
    before = here(node)
    with sync.connect(node.url, timeout=PATIENCE_S) as cache:
        for number in range(5):
            cache.set(f"still:{number}", "x" * 60_000)
    with watching(node, "still:*", "--since", before, "--count", "5") as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == Exit.INTERRUPTED
    ran = node.run("watch", "still:*", "--since", before, "--count", "5")
    assert len(ran.out) > 5 * 60_000


# The file


def test_it_goes_on_where_it_was(node: RunningNode, tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    argv = ("watch", "place:*", "--state", str(file), "--quiet-for", "200ms")
    assert node.run(*argv).out == ""
    changed(node, "place")
    first = node.run(*argv[:-2], "--count", "1", "--json")
    rest = node.run(*argv, "--json")
    told = [json.loads(line) for line in (first.out + rest.out).splitlines()]
    assert [each["type"] for each in told] == ["set", "set", "touch", "delete"]
    assert node.run(*argv).out == ""
    assert (first.err, rest.err) == ("", "")
    assert os.listdir(tmp_path) == [file.name]


def test_the_file_also_moves_while_nothing_is_printed(tmp_path: Path) -> None:
    """A pattern that is quiet in a busy cluster would fall behind what is retained."""
    file = tmp_path / "quiet.json"
    argv = ("watch", "quiet:*", "--state", str(file))
    with serving("--mark-s", "100ms") as node:
        node.run(*argv, "--for", "100ms")
        before = json.loads(file.read_text())["positions"]["quiet:*"]
        node.run("set", "busy", "x")
        node.run(*argv, "--for", "1s")
    assert json.loads(file.read_text())["positions"]["quiet:*"] != before


def test_a_file_that_is_about_something_else_is_refused(node: RunningNode, tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    node.run("watch", "one:*", "--state", str(file), "--for", "50ms")
    told = json.loads(file.read_text())
    assert list(told["positions"]) == ["one:*"]
    for argv, words in (
        (["two:*"], "is about the patterns one:*, not two:*"),
        (["one:*", "--cache", "other"], "is about the cache 'default', not 'other'"),
    ):
        ran = node.run("watch", *argv, "--state", str(file))
        assert (ran.status, ran.out) == (Exit.REFUSED, "")
        assert words in ran.err
    file.write_text("[]")
    ran = node.run("watch", "one:*", "--state", str(file))
    assert (ran.status, "no file that `tlru watch` has written" in ran.err) == (Exit.REFUSED, True)
    ran = node.run("watch", "one:*", "--state", str(tmp_path / "no" / "place.json"))
    assert (ran.status, "there is no folder" in ran.err) == (Exit.REFUSED, True)


def test_a_point_that_is_gone_is_told_as_a_reset(node: RunningNode) -> None:
    argv = ("watch", "gone:*", "--since", "7-0123abcd-1", "--quiet-for", "300ms")
    ran = node.run(*argv, "--json")
    assert [json.loads(line)["type"] for line in ran.out.splitlines()] == ["reset"]
    assert ran.err.startswith("tlru: changes of gone:* were missed: ")
    assert node.run(*argv).out == ""


def test_whoever_is_killed_nothing_is_missed(tmp_path: Path) -> None:
    """kill -9 of the command, three times, and of the node that it talks to, while keys change."""
    file, printed = tmp_path / "place.json", tmp_path / "printed"
    count = 1_200

    async def start(urls: list[str], out: Any, err: Any) -> asyncio.subprocess.Process:
        argv = ("watch", "n:*", "--state", str(file), "--json")
        env = environment(TLRU_SERVER=",".join(urls))
        return await asyncio.create_subprocess_exec(*TLRU, *argv, stdout=out, stderr=err, env=env)

    def lines() -> list[dict[str, Any]]:
        """Those that are whole: a command may have been killed in the middle of one."""
        found = []
        for line in printed.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def seen() -> int:
        return len({each["value"] for each in lines()})

    async def test() -> None:
        async with processes(tmp_path, "n1", "n2", "n3") as made:
            await made.until_grown()
            # The one that is killed comes first, so that the command talks to it.
            urls = [made.nodes[id].url for id in ("n2", "n1", "n3")]
            with printed.open("ab") as out, (tmp_path / "err").open("ab") as err:
                command = await start(urls, out, err)
                try:
                    await until(file.exists)
                    async with connect(made.nodes["n1"].url, timeout=20) as cache:
                        for number in range(count):
                            await cache.set(f"n:{number}", number)
                            if number in (250, 500, 750):
                                await until(lines)
                                command.kill()
                                await command.wait()
                                # Else the next line would be lost with half of this one.
                                out.write(b"\n")
                                out.flush()
                                command = await start(urls, out, err)
                            if number == 1_000:
                                await until(lambda: seen() >= 800, PATIENCE_S)
                                await made.nodes["n2"].end(signal.SIGKILL)
                    await until(lambda: seen() == count, PATIENCE_S)
                finally:
                    command.kill()
                    await command.wait()

    run(test())
    values = [each["value"] for each in lines()]
    assert set(values) == set(range(count))
    firsts = list(dict.fromkeys(values))
    assert firsts == sorted(firsts)
    assert len(values) < count + 4 * 500  # what was being printed may come again, and no more
    words = (tmp_path / "err").read_text()
    assert "tlru: lost ws://" in words
    assert "tlru: goes on at ws://" in words
    assert "missed" not in words


# A terminal


def test_on_a_terminal_a_change_is_one_line_that_fits(node: RunningNode) -> None:
    before = here(node)
    with sync.connect(node.url, timeout=PATIENCE_S) as cache:
        cache.set("tty:long", "v" * 500, ttl=5_400)
        cache.set("tty:\x1b[2J", "\x1b[31mred\n")
        cache.delete("tty:long")
    with terminal(100, 10) as tty:
        argv = ("--since", before, "--count", "3", "--server", node.url)
        tty.start("watch", "tty:*", *argv)
        assert tty.ended() == Exit.OK
        shown = tty.shown()
        raw = tty.raw
    assert [len(line) for line in shown[:1]] == [100]
    assert shown[0].endswith("v…")
    assert shown[0].split()[1:4] == ["set", "tty:long", "1.5h"]
    assert "tty:\\x1b[2J" in shown[1]
    assert "\\x1b[31mred\\n" in shown[1]
    assert shown[2].split()[1:] == ["delete", "tty:long"]
    assert b"\x1b[32mset" in raw
    assert b"\x1b[31mdelete" in raw
    with terminal(100, 10) as tty:
        tty.start("watch", "tty:*", *argv, NO_COLOR="1")
        assert tty.ended() == Exit.OK
        assert b"\x1b" not in tty.raw
