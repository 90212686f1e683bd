"""Whatever is wrong with the files is found: it is reported, or it does no harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from peers.core.base import BEGINNING, Base
from peers.core.entry import Batch, Epoch, Origin
from peers.core.log import Log
from peers.core.membership import NOBODY, Member, Membership, Role
from peers.core.output import Committed, Promise
from peers.disk.cluster_file import ClusterFile, Listed
from peers.disk.promises import Life, LifeFile, PromiseFile
from peers.disk.records import Promised
from peers.disk.store import Found, Store
from peers.errors import DamagedError
from tests.peers.disk_story import BLANK, DATA, EPOCH, FOUNDERS, STATE, batches_of, make_batch
from tests.peers.forgetful_files import ForgetfulFiles

PROMISE = replace(BLANK, epoch=EPOCH, incarnation=4, term=3, vote=Origin("b", "b1"))


def new_files() -> ForgetfulFiles:
    files = ForgetfulFiles(Random(1))
    for path in (Path("/"), STATE, DATA):
        files.make_directory(path)
    return files


class Kept:
    """A node's directories, with a log of some segments, and perhaps a snapshot within it."""

    def __init__(self, *, snapshot: int = 0, count: int = 9, segment_bytes: int = 250) -> None:
        self.files = new_files()
        self.log = Log(Base(membership=FOUNDERS))
        store = self.store(segment_bytes)
        store.open()
        store.write_promise(BLANK)
        store.enter(PROMISE, FOUNDERS, leads=True)
        store.keep_behind = 0
        assert store.log is not None
        for _ in range(count):
            batch = make_batch(self.log, 1, 2)
            self.log.append(batch)
            assert store.log.append([batch]) == 1
        store.log.sync()
        store.write_members(Committed(1, FOUNDERS))
        if snapshot:
            base = self.log.base_at(snapshot)
            assert base is not None
            with store.draft_snapshot(base) as draft:
                draft.write(b"state")
                draft.finish()
                assert store.keep_snapshot(draft, base, EPOCH)
        store.close(clean=True)
        self.before = {path: self.files.content(path) for path in self.paths()}

    def store(self, segment_bytes: int = 250) -> Store:
        return Store(STATE, DATA, boot="boot", files=self.files, segment_bytes=segment_bytes)

    def paths(self) -> list[Path]:
        return [d / n for d in (STATE, DATA) for n in self.files.names(d) if n != "lock"]

    def segments(self) -> list[Path]:
        return [path for path in self.paths() if path.suffix == ".log"]

    def restore(self) -> None:
        for directory in (STATE, DATA):
            for name in self.files.names(directory):
                self.files.remove(directory / name)
        for path, content in self.before.items():
            self.files.put(path, content)

    def open(self) -> Found:
        store = self.store()
        found = store.open()
        store.close(clean=True)
        return found

    def holds(self, found: Found) -> bool:
        """Whether what was found is right, as far as it goes."""
        mine: dict[int, Batch] = {batch.last.index: batch for batch in batches_of(self.log)}
        found.log.check()
        return all(mine.get(batch.last.index) == batch for batch in batches_of(found.log))


def flips(content: bytes) -> Iterator[bytes]:
    """Every byte with one bit changed; every bit in its turn."""
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        yield bytes(changed)


@pytest.mark.parametrize("snapshot", [0, 10])
def test_a_wrong_bit_anywhere_is_reported_or_does_no_harm(snapshot: int) -> None:
    kept = Kept(snapshot=snapshot, count=6)
    last = kept.log.last
    for path, content in kept.before.items():
        for changed in flips(content):
            kept.restore()
            kept.files.put(path, changed)
            found = kept.open()
            assert kept.holds(found)
            if found.promise is None:
                assert found.damage
                assert path.name == "promises"
                continue
            assert found.promise.term == PROMISE.term
            if found.promise.whole:
                assert found.log.last == last
                assert found.log.base.position.index <= found.commit
            else:
                assert found.lost
            if found.log.last != last:
                assert found.damage
                assert not found.promise.whole
            again = kept.open()
            assert again.promise == found.promise, "what is missing stays missing"
            assert batches_of(again.log) == batches_of(found.log)


def test_what_is_damaged_is_set_aside_and_never_deleted() -> None:
    kept = Kept()
    first, second, *rest = kept.segments()
    content = bytearray(kept.files.content(second))
    content[-40] ^= 1
    kept.files.put(second, bytes(content))
    found = kept.open()
    assert found.promise == replace(PROMISE, whole=False)
    assert "a checksum does not hold behind entry" in found.damage[0]
    names = kept.files.names(DATA)
    for path in (second, *rest):
        assert f"{path.name}.damaged-1" in names
    assert kept.files.content(DATA / f"{second.name}.damaged-1") == bytes(content)
    assert first.name in names


@pytest.mark.parametrize("torn", ["short", "zeros"])
def test_a_torn_end_is_cut_and_is_no_damage(torn: str) -> None:
    kept = Kept()
    last = kept.segments()[-1]
    content = kept.files.content(last)
    for size in range(len(content) - 60, len(content)):
        kept.restore()
        tail = bytes(len(content) - size) if torn == "zeros" else b""
        kept.files.put(last, content[:size] + tail)
        found = kept.open()
        assert (found.promise, found.damage) == (PROMISE, ())
        assert kept.holds(found)
        assert found.log.last.index < kept.log.last.index
        assert kept.open().log.last == found.log.last


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_missing_segment_is_noticed(which: int) -> None:
    kept = Kept()
    gone = kept.segments()[which]
    kept.files.remove(gone)
    found = kept.open()
    assert found.promise == replace(PROMISE, whole=False)
    assert found.damage
    assert kept.holds(found)
    assert found.log.last.index == (0 if which == 0 else int(gone.name[:20]) - 1)


def test_what_is_missing_before_the_snapshot_is_reported_and_not_missed() -> None:
    kept = Kept(snapshot=14, segment_bytes=150)
    assert len(kept.segments()) > 4
    kept.files.remove(kept.segments()[1])
    found = kept.open()
    assert found.damage
    assert found.promise == PROMISE
    assert (found.commit, found.log.last) == (14, kept.log.last)
    assert 0 < found.log.base.position.index <= 14


def test_a_damaged_snapshot_is_not_missed_while_the_log_goes_back_to_the_beginning() -> None:
    kept = Kept(snapshot=10)
    (path,) = (path for path in kept.paths() if "snapshot" in path.name)
    kept.files.put(path, kept.files.content(path)[:-1])
    found = kept.open()
    assert found.promise == PROMISE
    assert found.snapshot is None
    assert batches_of(found.log) == batches_of(kept.log)
    assert found.damage[0] == f"{path}: it ends early"


def test_behind_a_damaged_snapshot_the_log_is_of_no_use() -> None:
    kept = Kept(snapshot=10)
    for path in kept.segments()[:2]:
        kept.files.remove(path)
    (path,) = (path for path in kept.paths() if "snapshot" in path.name)
    kept.files.put(path, b"")
    found = kept.open()
    assert found.promise == replace(PROMISE, whole=False)
    assert (found.snapshot, found.log.last.index) == (None, 0)
    assert found.log.membership == FOUNDERS
    assert all("damaged" in path.name for path in kept.segments()[:-1])


def test_a_log_of_another_node_is_not_taken_for_ours() -> None:
    ours, theirs = Kept(count=2), Kept()
    for path in ours.segments():
        ours.files.remove(path)
    other = replace(PROMISE, birth="their-birth")
    files = PromiseFile(theirs.files, STATE)
    files.write(Promised(other))
    found = theirs.open()
    assert found.promise == replace(other, whole=False)
    assert found.log.last.index == 0
    assert "it is another node's" in found.damage[0]


# -- the state directory


def test_a_promise_comes_back_with_all_that_is_in_it() -> None:
    everything = Promise(
        *(Epoch(3, "c", "b"), "birth", 7, 9, Origin("b", "b1"), False, True, 12),
        *(Epoch(4, "d", "c"), ("a", "b"), Committed(11, FOUNDERS)),
    )
    for promise in (everything, BLANK, PROMISE):
        files = new_files()
        file = PromiseFile(files, STATE)
        file.write(Promised(promise, FOUNDERS))
        assert PromiseFile(files, STATE).read() == Promised(promise, FOUNDERS)


def test_the_last_promise_counts_and_the_file_is_begun_anew_when_it_has_grown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("peers.disk.promises.GROWN_BYTES", 500)
    files = new_files()
    file = PromiseFile(files, STATE)
    sizes = []
    for term in range(40):
        file.write(Promised(replace(PROMISE, term=term)))
        sizes.append(len(files.content(file.path)))
        assert PromiseFile(files, STATE).read() == Promised(replace(PROMISE, term=term))
    assert max(sizes) < 700
    assert sizes != sorted(sizes)


def test_a_promise_that_was_torn_was_never_relied_on() -> None:
    files = new_files()
    file = PromiseFile(files, STATE)
    file.write(Promised(PROMISE))
    size = len(files.content(file.path))
    file.write(Promised(replace(PROMISE, term=9)))
    whole = files.content(file.path)
    for end in range(size, len(whole)):
        files.put(file.path, whole[:end])
        assert PromiseFile(files, STATE).read() == Promised(PROMISE)


def test_after_a_promise_that_failed_the_next_is_kept() -> None:
    files = new_files()
    file = PromiseFile(files, STATE)
    file.write(Promised(PROMISE))
    failures = iter([5])
    files.fails = lambda what, path: next(failures, None) if what == "sync" else None
    with pytest.raises(Exception, match="promises cannot be written"):
        file.write(Promised(replace(PROMISE, term=8)))
    file.write(Promised(replace(PROMISE, term=9)))
    files.crash()
    assert PromiseFile(files, STATE).read() == Promised(replace(PROMISE, term=9))


def test_a_life_that_has_what_a_later_release_wrote_is_read() -> None:
    files = new_files()
    LifeFile(files, STATE).write(Life("boot", True, "always", True, 5, 6))
    assert LifeFile(files, STATE).read() == Life("boot", True, "always", True, 5, 6)


FULL = Membership(
    (
        Member("a", "x", 7, Role.OBSERVER, "north", (("mesh", "ws://a"), ("zone", "1")), True),
        Member("b", "y"),
    ),
    3,
)


def test_the_list_of_members_is_readable_and_comes_back() -> None:
    files = new_files()
    ClusterFile(files, STATE).write(EPOCH, Committed(8, FULL))
    text = files.content(STATE / "cluster.json").decode()
    assert '"id": "a"' in text
    assert set(json.loads(text)["cluster"]["members"][0]) == set(Member.__slots__)
    assert ClusterFile(files, STATE).read() == Listed(EPOCH, Committed(8, FULL))


def test_a_list_that_was_changed_by_hand_adds_nobody_and_is_reported() -> None:
    kept = Kept()
    path = STATE / "cluster.json"
    found = json.loads(kept.files.content(path))
    found["cluster"]["members"][0]["id"] = "mallory"
    kept.files.put(path, json.dumps(found).encode())
    opened = kept.open()
    assert opened.listed is None
    assert "changed by hand" in opened.damage[0]
    assert "cluster.json is set aside as cluster.json.damaged-1" in opened.damage[1]
    assert opened.promise == PROMISE


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"cluster": 1, "checksum": 2}'])
def test_a_list_of_nonsense_is_reported(content: bytes) -> None:
    files = new_files()
    files.put(STATE / "cluster.json", content)
    with pytest.raises(DamagedError):
        ClusterFile(files, STATE).read()


def test_nothing_at_all_is_a_new_node() -> None:
    files = new_files()
    found = Store(STATE, DATA, boot="boot", files=files).open()
    assert (found.promise, found.snapshot, found.listed) == (None, None, None)
    assert (found.clock, found.damage, found.lost) == ((0, 0), (), ())
    assert found.log.base == BEGINNING
    assert found.log.membership == NOBODY
