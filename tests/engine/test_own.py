"""What a node wrote itself it need not read back."""

from __future__ import annotations

from typing import Any

from tlru.engine.operations import Once, Set, SetMany, decode
from tlru.engine.own import KEPT_BYTES_MAX, KEPT_MAX, Own

MANY = SetMany((("a", b"1", None, None, None), ("b", b"2", 5, 7, "text/plain")))


def copied(data: bytes) -> bytes:
    return bytes(bytearray(data))


def test_the_same_bytes_give_back_what_was_written_once() -> None:
    own = Own()
    data = own.encode(MANY)
    assert own.decode(data)[0] is MANY
    again, once = own.decode(data)
    assert (again, once) == decode(data) == (MANY, None)
    assert again is not MANY


def test_bytes_that_came_from_elsewhere_are_read() -> None:
    data = Own().encode(MANY)
    found, _ = Own().decode(copied(data))
    assert found == MANY
    assert found is not MANY


def test_what_is_named_or_is_one_set_is_read() -> None:
    own = Own()
    once = Once("s", 1, 2)
    for operation, name in ((MANY, once), (Set("a", b"1"), None)):
        data = own.encode(operation, name)
        assert own.decode(data) == decode(data) == (operation, name)
        assert own.decode(data)[0] is not operation


def test_a_value_that_could_still_change_is_read() -> None:
    own, value = Own(), bytearray(b"1")
    row: Any = ("a", value, None, None, None)
    data = own.encode(SetMany((row,)))
    value[:] = b"2"
    assert own.decode(data) == (SetMany((("a", b"1", None, None, None),)), None)


def test_what_the_log_never_gives_back_does_not_gather_for_ever() -> None:
    own = Own()
    wanted = [SetMany((("a", b"%d" % n, None, None, None),)) for n in range(3 * KEPT_MAX)]
    kept = [own.encode(each) for each in wanted]
    known = [own.decode(data)[0] is each for data, each in zip(kept, wanted, strict=True)]
    assert 0 < sum(known) <= KEPT_MAX
    assert all(known[-sum(known) :])


def test_what_is_kept_has_a_bound_in_bytes() -> None:
    own = Own()
    size = KEPT_BYTES_MAX // 4
    wanted = [SetMany((("a", b"%d" % n + bytes(size), None, None, None),)) for n in range(9)]
    kept = [own.encode(each) for each in wanted]
    known = [own.decode(data)[0] is each for data, each in zip(kept, wanted, strict=True)]
    assert 0 < sum(known) < 4
    assert all(known[-sum(known) :])
    assert own.decode(own.encode(wanted[0]))[0] is wanted[0]  # there is room again


def test_what_is_larger_than_all_that_may_be_kept_is_read() -> None:
    own, large = Own(), SetMany((("a", bytes(KEPT_BYTES_MAX), None, None, None),))
    found, _ = own.decode(own.encode(large))
    assert found == large
    assert found is not large
