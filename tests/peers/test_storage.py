"""What is kept on a disk is found again whole, or reported with a sentence."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.core.entry import Epoch
from peers.disk import storage
from peers.disk.chunk_files import FRAME
from peers.disk.storage import Mark, State, StateDirectory, next_life
from peers.errors import StorageError

MARK = Mark(Epoch(2, "beef", "cafe"), 7, 1_000, 2_000)
STATE = State("birth", 3, Epoch(2, "beef"), True, 7, 1_000, 2_000)
CHUNKS = [b"one", b"two" * 100, b"\x00" * 70]


@contextmanager
def opened(path: Path) -> Iterator[StateDirectory]:
    directory = StateDirectory(path)
    directory.open()
    try:
        yield directory
    finally:
        directory.close()


def keep(directory: StateDirectory, chunks: list[bytes] = CHUNKS, mark: Mark = MARK) -> None:
    with directory.replace_snapshot(mark) as draft:
        for chunk in chunks:
            draft.write(chunk)
        draft.keep()


def kept(directory: StateDirectory) -> tuple[Mark, list[bytes]]:
    stored = directory.read_snapshot()
    assert stored is not None
    try:
        return stored.mark, list(stored.chunks())
    finally:
        stored.close()


def state_in(path: Path) -> State | None:
    directory = StateDirectory(path)
    try:
        return directory.open()
    finally:
        directory.close()


def complaint(path: Path) -> str:
    """What opening a directory, and reading all of it, is refused with."""
    with pytest.raises(StorageError) as caught, opened(path) as directory:
        kept(directory)
    return str(caught.value)


# -- the state


def test_a_new_directory_is_made_with_its_parents_and_holds_nothing(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "a" / "b")
    assert directory.open() is None
    assert directory.read_snapshot() is None
    directory.close()


def test_a_state_is_found_again(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
    assert state_in(tmp_path) == STATE
    assert sorted(os.listdir(tmp_path)) == ["lock", "state.json"]


def test_a_life_has_a_birth_of_its_own_and_one_incarnation_more() -> None:
    first = next_life(None)
    assert first.incarnation == 1
    assert first.birth != next_life(None).birth
    again = next_life(STATE)
    assert (again.birth, again.incarnation, again.clean) == ("birth", 4, False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_state_with_any_wrong_bit_or_cut_short_is_never_trusted(
    tmp_path: Path, data: st.DataObject
) -> None:
    file = tmp_path / "state.json"
    file.unlink(missing_ok=True)
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        damaged = bytearray(whole[:at])
    file.write_bytes(damaged)
    if _reads_the_same(whole, bytes(damaged)):
        assert state_in(tmp_path) == STATE
    else:
        assert f"{file} is damaged or of another release" in complaint(tmp_path)


def _reads_the_same(whole: bytes, damaged: bytes) -> bool:
    """Whether JSON is the same to the last field, as where one blank became another."""
    try:
        return bool(json.loads(whole) == json.loads(damaged))
    except ValueError:
        return False


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"state": 5, "checksum": ""}', b"[" * 60_000],
    ids=lambda content: content[:8].decode("latin-1") or "nothing",
)
def test_a_state_of_nonsense_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert "is damaged or of another release" in complaint(tmp_path)


def test_a_state_that_was_edited_by_hand_is_not_trusted(tmp_path: Path) -> None:
    """An incarnation that was had before would make new operations count as old ones."""
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
    file = tmp_path / "state.json"
    found = json.loads(file.read_text())
    found["state"]["incarnation"] = 2
    file.write_text(json.dumps(found))
    assert "checksum" in complaint(tmp_path)


def test_a_snapshot_without_a_state_is_not_overwritten_by_an_empty_cache(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        keep(directory)
    words = complaint(tmp_path)
    assert "holds a snapshot but no state.json" in words
    assert "to start empty" in words


# -- the snapshot


def test_a_snapshot_is_found_again(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
        keep(directory)
        assert kept(directory) == (MARK, CHUNKS)
        keep(directory, [b"other"])
        assert kept(directory) == (MARK, [b"other"])
    assert sorted(os.listdir(tmp_path)) == ["lock", "snapshot", "state.json"]


def test_a_snapshot_that_is_not_finished_leaves_the_one_before(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
        keep(directory)
        with directory.replace_snapshot(MARK) as draft:
            draft.write(b"half")
        with contextlib.suppress(ZeroDivisionError), directory.replace_snapshot(MARK) as draft:
            draft.write(b"half")
            raise ZeroDivisionError
        assert kept(directory) == (MARK, CHUNKS)
    assert sorted(os.listdir(tmp_path)) == ["lock", "snapshot", "state.json"]


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "snapshot.new").write_bytes(b"half")
    (tmp_path / "state.json.new").write_bytes(b"half")
    with opened(tmp_path):
        assert os.listdir(tmp_path) == ["lock"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data())
def test_a_snapshot_with_any_damage_is_never_trusted(tmp_path: Path, data: st.DataObject) -> None:
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
        keep(directory)
    file = tmp_path / "snapshot"
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    match data.draw(st.sampled_from(["bit", "cut", "more", "zeros"])):
        case "bit":
            damaged = bytearray(whole)
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            damaged = bytearray(whole[:at])
        case "more":
            damaged = bytearray(whole + b"\x00" * (at + 1))
        case _:  # what a file system may leave of the last blocks
            damaged = bytearray(whole[:at] + bytes(len(whole) - at))
    file.write_bytes(damaged)
    if damaged != whole:
        words = complaint(tmp_path)
        assert str(file) in words
        assert "move it away to start without it" in words


def test_a_chunk_cannot_claim_more_than_there_may_be(tmp_path: Path) -> None:
    """Else one wrong byte would have gigabytes read at once."""
    with opened(tmp_path) as directory:
        directory.write_state(STATE)
        keep(directory)
    file = tmp_path / "snapshot"
    start = file.read_bytes()[: len(storage.MAGIC)]
    file.write_bytes(start + FRAME.pack(2**32 - 1, 5) + b"x")
    assert "impossible length" in complaint(tmp_path)


# -- having the directory


def test_a_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StorageError, match="in use by another running node"):
        StateDirectory(tmp_path).open()
    with opened(tmp_path):
        pass


def test_a_directory_that_cannot_be_read_is_let_go_of(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(b"")
    complaint(tmp_path)
    (tmp_path / "state.json").unlink()
    with opened(tmp_path):
        pass


def test_a_file_in_the_way_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/x cannot be used: Not a directory"):
        StateDirectory(tmp_path / "file" / "x").open()


def test_a_directory_that_one_may_not_write_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    nobody = 65_534
    was = os.geteuid()
    if was == 0:  # the superuser may write everywhere
        os.seteuid(nobody)
    try:
        with pytest.raises(StorageError, match="cannot be used: Permission denied"):
            StateDirectory(tmp_path / "x").open()
    finally:
        os.seteuid(was)
        tmp_path.chmod(0o700)


def test_a_directory_that_vanished_is_reported_when_it_is_written(tmp_path: Path) -> None:
    with opened(tmp_path / "x") as directory:
        (tmp_path / "x" / "lock").unlink()
        (tmp_path / "x").rmdir()
        with pytest.raises(StorageError, match=r"state.json.new cannot be written: No such file"):
            directory.write_state(STATE)
        with pytest.raises(StorageError, match=r"snapshot.new cannot be written: No such file"):
            keep(directory)
