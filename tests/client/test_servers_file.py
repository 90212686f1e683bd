"""The file of servers: what may be in it, and how it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import stat
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tlru
from tests.client.scripted import Link, run, scripted, until
from tests.running import a_node
from tlru.client import listing
from tlru.client.listing import FILE_BYTES_MAX, FILE_SERVERS_MAX, DamagedError
from tlru.client.server import Server
from tlru.client.servers_file import ServersFile

A, B, C = "ws://a:8400/ws", "ws://b:8400/ws", "ws://c:8400/ws"
TOLD = [Server(A, region="eu", id="n1", role="voter"), Server(B, region="us", id="n2")]


def packed(document: Any) -> bytes:
    """As somebody would write it."""
    return json.dumps(document, indent=4).encode()


def renewed(data: bytes | None, *servers: Server, cache: str = "default") -> Any:
    """What a file holds after the cluster has told of these."""
    after = listing.renewed(data, servers, cache)
    return None if after is None else json.loads(after)


@asynccontextmanager
async def keeping(path: Path) -> AsyncIterator[ServersFile]:
    """A file that is being kept."""
    file = ServersFile(path, "default")
    task = asyncio.create_task(file.run())
    try:
        yield file
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# -- what is in it


def test_a_list_of_addresses_will_do() -> None:
    found = listing.read(packed(["ws://a:8400", "ws://b:8400"]), "default")
    assert found.own == (Server(A), Server(B))
    assert (found.told, found.left) == ((), ())


def test_an_entry_may_say_all_that_is_known() -> None:
    full = {"url": "ws://a:8400", "region": "eu", "zone": "1", "priority": 7, "weight": 0.5}
    told = {**full, "url": "ws://b:8400", "id": "n2", "role": "voter"}
    found = listing.read(packed({"servers": [full, told]}), "big")
    url = "ws://a:8400/ws?cache=big"
    assert found.own == (Server(url, region="eu", zone="1", priority=7, weight=0.5),)
    assert [each.id for each in found.told] == ["n2"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b'"ws://a"',
        b'{"server": []}',
        b'{"servers": "ws://a"}',
        b"[" * 100_000,
        b"[" + b" " * FILE_BYTES_MAX + b"]",
    ],
)
def test_what_is_no_list_of_servers_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        listing.read(data, "default")
    with pytest.raises(DamagedError):
        listing.renewed(data, TOLD, "default")


def test_an_entry_without_an_address_is_told_and_left() -> None:
    found = listing.read(packed(["ws://a:8400", "htp://b", {"id": "x"}, 7]), "default")
    assert found.own == (Server(A),)
    assert len(found.left) == 3
    assert "htp://b" in found.left[0]


def test_what_a_file_names_is_bounded() -> None:
    urls = [f"ws://n{n}:1" for n in range(FILE_SERVERS_MAX + 5)]
    found = listing.read(packed(urls), "default")
    assert len(found.own) == FILE_SERVERS_MAX
    assert "only the first" in found.left[0]


def test_a_file_that_is_not_there_is_made() -> None:
    assert renewed(None, *TOLD) == {
        "servers": [
            {"url": A, "id": "n1", "region": "eu", "zone": "", "priority": 100}
            | {"role": "voter", "weight": 1.0},
            {"url": B, "id": "n2", "region": "us", "zone": "", "priority": 100}
            | {"role": "", "weight": 1.0},
        ]
    }


def test_the_clusters_entries_come_and_go_and_ones_own_stay() -> None:
    mine = {"url": "ws://gate.example:443", "note": "from outside"}
    data = listing.renewed(packed([mine, "ws://b:8400"]), TOLD, "default")
    assert data is not None
    assert [each if isinstance(each, str) else each["url"] for each in json.loads(data)] == [
        "ws://gate.example:443",
        "ws://b:8400",
        A,
    ], "an address that somebody wrote is not written again"
    assert [each["url"] for each in renewed(data, Server(C, id="n3"))[2:]] == [C]
    assert renewed(data, Server(C, id="n3"))[:2] == [mine, "ws://b:8400"]


def test_fields_that_are_not_known_stay() -> None:
    first = {"url": "ws://a:8400", "id": "n1", "region": "old", "rack": 12}
    after = renewed(packed({"about": {"by": "us"}, "servers": [first]}), *TOLD[:1])
    assert after["about"] == {"by": "us"}
    assert after["servers"][0]["rack"] == 12
    assert after["servers"][0]["region"] == "eu"


def test_the_name_of_a_cache_is_each_clients_own_and_not_in_the_file() -> None:
    server = Server("ws://a:8400/ws?cache=big", id="n1")
    after = renewed(None, server, cache="big")
    assert after["servers"][0]["url"] == A
    assert listing.read(packed(after), "other").told[0].url == "ws://a:8400/ws?cache=other"


def test_whatever_stands_in_other_fields_can_be_kept() -> None:
    odd = b'{"a": NaN, "b": "\\ud800", "c": "caf\xc3\xa9", "d": "\\u0000", "servers": []}'
    after = listing.renewed(odd, TOLD, "default")
    assert after is not None
    assert "café".encode() in after
    assert json.loads(after)["b"] == "\ud800"
    assert listing.renewed(after, TOLD, "default") is None


def test_what_is_nested_too_deeply_is_damaged_or_kept() -> None:
    for depth in range(900, 1100, 1):
        deep = b"[" * depth + b"]" * depth
        with contextlib.suppress(DamagedError):
            listing.read(b'["ws://a", %b]' % deep, "default")
        with contextlib.suppress(DamagedError):
            listing.renewed(b'{"x": %b, "servers": []}' % deep, TOLD, "default")


SERVERS = st.lists(
    st.builds(
        Server,
        st.sampled_from([f"ws://n{n}/ws" for n in range(9)]),
        region=st.text(max_size=5),
        zone=st.text(max_size=5),
        priority=st.integers(0, 1000),
        weight=st.floats(0, 10),
        id=st.text(max_size=5),
        status=st.sampled_from(["active", "silent"]),
    ),
    unique_by=lambda each: each.url,
    max_size=9,
)
OWN = st.lists(st.sampled_from(["ws://own1", "ws://n1", "nonsense", 7]), max_size=4)


@given(OWN, SERVERS, SERVERS, st.randoms())
def test_what_was_written_is_read_as_it_was_and_written_once(
    own: list[Any], first: list[Server], second: list[Server], chance: Any
) -> None:
    """Whatever was there before; and in whatever order, and however well, servers are told of."""
    data: bytes = packed(own)
    for told in (first, second):
        data = listing.renewed(data, told, "default") or data
        found = listing.read(data, "default")
        named = {each.url for each in found.own}
        assert {each.url: each for each in found.told} == {
            each.url: replace(each, status="") for each in told if each.url not in named
        }
        assert json.loads(data)[: len(own)] == own
        chance.shuffle(told)
        again = [replace(each, status="silent") for each in told]
        assert listing.renewed(data, again, "default") is None


# -- on the disk


def test_a_list_that_is_in_the_file_already_leaves_it_untouched(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    path.write_bytes(listing.renewed(packed(["ws://own:1"]), TOLD, "default") or b"")
    os.utime(path, ns=(1, 1))
    before = path.read_bytes(), path.stat()

    async def main() -> None:
        async with keeping(path) as file:
            file.keep([replace(each, status="silent") for each in reversed(TOLD)])
            file.keep(TOLD)
            # Another list is written after them: by then they have been looked at.
            await asyncio.sleep(0)
            await until(lambda: not file._news.is_set())
        async with keeping(path) as file:
            file.keep(TOLD)
            await until(lambda: not file._news.is_set())

    run(main)
    after = path.read_bytes(), path.stat()
    assert after[0] == before[0]
    for field in ("st_mtime_ns", "st_ino", "st_ctime_ns"):
        assert getattr(after[1], field) == getattr(before[1], field), field


def test_the_mode_stays_and_a_link_leads_where_it_did(tmp_path: Path) -> None:
    path, link = tmp_path / "real.json", tmp_path / "link.json"
    path.write_bytes(b"[]")
    path.chmod(0o640)
    link.symlink_to(path)

    async def main() -> None:
        async with keeping(link) as file:
            file.keep(TOLD)
            await until(lambda: path.read_bytes() != b"[]")

    run(main)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.json", "real.json"]


@pytest.mark.parametrize("why", ["read-only", "no folder", "damaged"])
def test_a_file_that_cannot_be_kept_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    path = tmp_path / "gone" / "servers.json" if why == "no folder" else tmp_path / "servers.json"
    before = b"[" if why == "damaged" else b"[]"
    if why != "no folder":
        path.write_bytes(before)
        path.chmod(0o444 if why == "read-only" else 0o644)

    async def main() -> None:
        async with keeping(path) as file:
            for servers in (TOLD, TOLD[:1], TOLD):
                file.keep(servers)
                await until(lambda: not file._news.is_set() and file._warned)

    with caplog.at_level(logging.WARNING, "tlru.client"):
        run(main)
    assert len(caplog.messages) == 1
    assert str(path) in caplog.messages[0]
    if why != "no folder":
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_what_was_told_is_written_though_the_program_is_over(tmp_path: Path, turns: int) -> None:
    """On a busy machine it may be over before a thread has taken the writing up."""
    path, free = tmp_path / "servers.json", threading.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        file = ServersFile(path, "main")
        keeping = asyncio.create_task(file.run())
        await asyncio.sleep(0)
        busy = loop.run_in_executor(None, free.wait)
        file.keep([Server("ws://a.example:1/ws")])
        for _ in range(turns):
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.sleep(0)
        free.set()
        await busy
        await asyncio.wait([keeping])
        assert keeping.cancelled()

    asyncio.run(scenario())
    listed = json.loads(path.read_text())["servers"]
    assert [entry["url"] for entry in listed] == ["ws://a.example:1/ws"]


def test_many_who_write_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    """Threads, each as another process would: the file is always one of what they wrote."""
    path = tmp_path / "servers.json"
    lists = [[Server(f"ws://n{n}-{k}/ws", id=f"n{n}") for k in range(20)] for n in range(4)]
    over = threading.Event()

    def write(servers: list[Server]) -> None:
        async def main() -> None:
            async with keeping(path) as file:
                for count in range(1, 21):
                    file.keep(servers[:count])
                    await until(lambda: not file._news.is_set())

        asyncio.run(main())

    threads = [threading.Thread(target=write, args=(each,)) for each in lists]
    seen = 0

    def read() -> None:
        nonlocal seen
        while not over.is_set() or not seen:
            if path.exists():
                found = listing.read(path.read_bytes(), "default")
                assert len({each.id for each in found.told}) == 1, "of one writer alone"
                assert not found.left
                seen += 1

    problems: list[BaseException] = []

    def watch() -> None:
        try:
            read()
        except BaseException as exc:
            problems.append(exc)

    reader = threading.Thread(target=watch)
    for thread in [reader, *threads]:
        thread.start()
    for thread in threads:
        thread.join(60)
    over.set()
    reader.join(60)
    assert not problems
    assert seen
    assert [each.name for each in tmp_path.iterdir()] == ["servers.json"]


# -- by a client


def test_a_file_alone_suffices_and_follows_what_the_cluster_tells(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"

    async def main() -> None:
        async with a_node(id="n1", region="eu") as node:
            path.write_text(json.dumps([node.url.replace("127.0.0.1", "localhost")]))
            async with tlru.connect(servers_file=path) as cache:
                await cache.set("k", 1)
                await until(lambda: node.url in path.read_text())
            own, told = json.loads(path.read_text())
            assert "localhost" in own
            assert (told["url"], told["id"], told["region"]) == (node.url, "n1", "eu")
            os.utime(path, ns=(1, 1))
            async with tlru.connect(servers_file=str(path)) as cache:
                assert await cache.get("k") == 1
                file = cache._client.exchange()._keeper._file
                assert file is not None
                await until(lambda: file._newest)
                await until(lambda: not file._news.is_set())
            assert path.stat().st_mtime_ns == 1, "it says so already"

    run(main)


def test_the_blocking_client_has_it_too(tmp_path: Path) -> None:
    from tests.client.nodes import node_in_thread

    path = tmp_path / "servers.json"
    with node_in_thread() as url:
        path.write_text(json.dumps([url]))
        with tlru.sync.connect(servers_file=path, region="eu") as cache:
            cache.set("k", 1)
            assert cache.get("k") == 1


@pytest.mark.parametrize("content", [None, "[", "[]", "[7]"])
def test_without_any_server_the_error_says_what_is_wrong(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "servers.json"
    if content is not None:
        path.write_text(content)

    async def main() -> None:
        async with tlru.connect(servers_file=path, timeout=5) as cache:
            for _ in range(2):
                with pytest.raises(tlru.Unavailable) as caught:
                    await cache.get("k")
                assert str(path) in str(caught.value)
                assert "name a server in `connect`" in str(caught.value)

    run(main)


@pytest.mark.parametrize("content", ["{", b"\xff\x00"])
def test_a_damaged_file_is_a_warning_where_a_server_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes
) -> None:
    path = tmp_path / "servers.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    async def main() -> None:
        async with a_node() as node, tlru.connect(node.url, servers_file=path) as cache:
            await cache.set("k", 1)
            await until(lambda: len(caplog.messages) == 2)

    with caplog.at_level(logging.WARNING, "tlru.client"):
        run(main)
    assert "is damaged" in caplog.messages[0]
    assert "left as it is" in caplog.messages[1]


def test_servers_of_the_last_time_are_found_again(tmp_path: Path) -> None:
    """The named one is away now; the file still knows the other."""
    path = tmp_path / "servers.json"

    async def gone(link: Link, number: int) -> None:
        link.cut()

    async def main() -> None:
        async with a_node(id="n1") as node, scripted(gone) as away:
            path.write_text(json.dumps({"servers": [{"url": node.url, "id": "n1"}]}))
            async with tlru.connect(away.url, servers_file=path) as cache:
                await cache.set("k", 1)
                assert await cache.get("k") == 1

    run(main)
