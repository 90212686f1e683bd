"""Batches and operations as bytes: column by column, and each origin once.

A batch is packed once by the leader; the same bytes go to every peer and every disk, so its form
has a number of its own and is for ever. It is one msgpack array of two: the xxh3 checksum of all
that follows it, and the content. An operation forwarded has the same columns, without a checksum.

Invariants: what `pack_batch` gives, `unpack_batch` takes, and gives back what was packed. Of
damaged bytes nothing is used, whichever bit it is. In one batch indexes follow each other, and
neither terms nor times go back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final

import xxhash

from peers.core.entry import Batch, Dot, Entry, Origin, Places, Proposal
from peers.errors import WireError
from peers.wire_fields import (
    BATCH_BYTES_MAX,
    BATCH_ENTRIES_MAX,
    INT_MAX,
    OPERATION_BYTES_MAX,
    OPERATIONS_MAX,
    ORIGINS_MAX,
    pack_plain,
    remembering,
    take_int,
    take_ints,
    take_text,
    unpack_plain,
)
from peers.wire_members import pack_membership, unpack_membership

FORM: Final = 1
# An array of two, of which the first is an unsigned number of 64 bits, however small it is.
_HEAD: Final = struct.Struct(">HQ")
_HEAD_MARK: Final = 0x92CF
_NAMED_LENGTH: Final = 6
_NAMED_FROM: Final = 6  # of a batch's columns; those before it are its own
_CONTENT_LENGTH: Final = _NAMED_FROM + _NAMED_LENGTH

_new = tuple.__new__  # a third of the time that a named tuple takes, for what is checked already

# The columns that batches and forwarded operations share: the origins; of each operation the number
# of its origin (from 1 on; 0 where there is no dot), incarnation, sequence, until; and its bytes.
_Named = tuple[Any, Any, Any, Any, Any, Any]


# -- batches


def pack_batch(entries: Sequence[Entry], vector: Places) -> Batch:
    """A batch of entries that follow each other, behind a log of this vector.

    WireError where it is larger than a batch may be; it is the leader who cuts.
    """
    assert entries, "a batch has entries"
    indexes, terms, ats, dots, untils, operations, memberships = zip(*entries, strict=True)
    first = indexes[0]
    for place in range(len(indexes)):
        assert indexes[place] == first + place, "indexes follow each other"
    known, incarnations, sequences = _columns(vector)
    if memberships.count(None) < len(memberships):
        alone = len(entries) == 1 and (dots, untils, operations) == ((None,), (None,), (b"",))
        assert alone, "a membership stands alone in its batch, and has nothing beside it"
        operations = (pack_membership(memberships[0]),)
    elif None in dots:
        bare = (each for dot, each in zip(dots, operations, strict=True) if dot is None)
        if any(bare):
            raise WireError("an operation without a dot")
    # The vector needs no origins of its own: they are the first of the list.
    named = _pack_named(dots, untils, operations, known)
    content = (FORM, first, incarnations, sequences, _squeezed(terms), _squeezed(ats), *named)
    _read_content(content)  # so that what is refused is refused here, and not by every follower
    plain = pack_plain(content)
    packed = _HEAD.pack(_HEAD_MARK, xxhash.xxh3_64_intdigest(plain)) + plain
    if len(packed) > BATCH_BYTES_MAX:
        raise WireError(f"a batch of {len(packed)} bytes, where {BATCH_BYTES_MAX} are the most")
    return Batch(tuple(entries), vector, packed)


def unpack_batch(packed: Any) -> Batch:
    """The batch of these bytes, which it keeps. WireError where they are damaged."""
    first, vector, terms, ats, named = _read_content(_content_of(packed))
    origins, numbers, incarnations, sequences, untils, operations = named
    if 0 in numbers and any(operations[n] for n, number in enumerate(numbers) if not number):
        return Batch((_with_membership(first, terms, ats, untils, operations),), vector, packed)
    dots = _dots(origins, numbers, incarnations, sequences)
    if len(terms) == 1:  # of a lone writer, who waits for it
        row = (first, terms[0], ats[0], dots[0], untils[0], operations[0], None)
        return Batch((_new(Entry, row),), vector, packed)
    indexes = range(first, first + len(terms))
    rows = zip(indexes, terms, ats, dots, untils, operations, (None,) * len(terms), strict=True)
    return Batch(tuple(map(_new, repeat(Entry), rows)), vector, packed)


def _with_membership(index: int, terms: Any, ats: Any, untils: Any, operations: Any) -> Entry:
    """The entry of a batch that only the log itself understands."""
    if len(operations) != 1 or untils[0] is not None:
        raise WireError("a membership that does not stand alone in its batch")
    return Entry(index, terms[0], ats[0], None, None, b"", unpack_membership(operations[0]))


def _content_of(packed: Any) -> Any:
    if type(packed) is not bytes or not _HEAD.size < len(packed) <= BATCH_BYTES_MAX:
        raise WireError(f"a batch is {_HEAD.size + 1} to {BATCH_BYTES_MAX} bytes")
    mark, checksum = _HEAD.unpack_from(packed)
    content = memoryview(packed)[_HEAD.size :]
    if mark != _HEAD_MARK or checksum != xxhash.xxh3_64_intdigest(content):
        raise WireError(f"a batch of {len(packed)} bytes is damaged: its checksum is another")
    return unpack_plain(content)


def _read_content(content: Any) -> tuple[int, Places, Any, Any, _Named]:
    """First index, vector, terms, times, and the named columns: all checked, all of one length."""
    if type(content) is not tuple or len(content) < 1 or type(content[0]) is not int:
        raise WireError("a batch that does not begin with the number of its form")
    if content[0] != FORM:
        raise WireError(f"a batch of form {content[0]}, and this release reads form {FORM}")
    if len(content) < _CONTENT_LENGTH:
        raise WireError(f"a batch of {len(content)} parts, where {_CONTENT_LENGTH} are needed")
    # What a later release appended is not looked at.
    first, incarnations, sequences, terms, ats = content[1:_NAMED_FROM]
    read = _read_named(content, _NAMED_FROM, BATCH_ENTRIES_MAX)
    count = len(read[-1])
    if not count or take_int(first) > INT_MAX - count:
        raise WireError("a batch has entries, and an index for each")
    vector = _read_vector(read[0], incarnations, sequences)
    return first, vector, _rising(terms, count, "terms"), _rising(ats, count, "times"), read


def _read_vector(origins: tuple[Any, ...], incarnations: Any, sequences: Any) -> Places:
    count = len(incarnations) if isinstance(incarnations, tuple) else 0
    count = min(count, len(origins))
    take_ints(incarnations, count)
    take_ints(sequences, count)
    places = []
    for n in range(count):
        if n and origins[n] < origins[n - 1]:
            raise WireError("a vector whose origins are not in order")
        places.append((origins[n], incarnations[n], sequences[n]))
    return tuple(places)


# -- operations under their dots


def pack_proposals(proposals: tuple[Proposal, ...]) -> _Named:
    """Operations as columns. WireError where they are more, or larger, than a message may have."""
    dots, operations, untils = _columns(proposals)
    named = _pack_named(dots, untils, operations, ())
    _read_named(named, 0, OPERATIONS_MAX)
    return named


def unpack_proposals(found: Any) -> tuple[Proposal, ...]:
    """The operations of these columns."""
    if type(found) is not tuple or len(found) < _NAMED_LENGTH:
        raise WireError(f"operations are {_NAMED_LENGTH} columns")
    read = _read_named(found, 0, OPERATIONS_MAX)
    origins, numbers, incarnations, sequences, untils, operations = read
    if 0 in numbers:
        raise WireError("an operation without a dot")
    rows = zip(_dots(origins, numbers, incarnations, sequences), operations, untils, strict=True)
    return tuple(map(_new, repeat(Proposal), rows))


def _pack_named(
    dots: Sequence[Dot | None], untils: Any, operations: Any, known: Iterable[Origin]
) -> _Named:
    numbers: dict[Origin, int] = {}
    for origin in known:
        numbers[origin] = len(numbers) + 1
    rows: list[tuple[int, int, int]] = []
    for dot in dots:
        if dot is None:
            rows.append((0, 0, 0))
        else:
            rows.append((numbers.setdefault(dot[0], len(numbers) + 1), dot[1], dot[2]))
    of_dots, incarnations, sequences = _columns(rows)
    return (
        tuple(numbers),
        _squeezed(of_dots),
        _squeezed(incarnations),
        _squeezed(sequences),
        _squeezed(untils),
        operations,
    )


def _read_named(columns: tuple[Any, ...], at: int, count_max: int) -> _Named:
    """Those of the columns that begin at this place, checked and of one length."""
    operations = columns[at + 5]
    _check_operations(operations, count_max)
    count = len(operations)
    origins = _take_origins(columns[at])
    numbers = _spread(columns[at + 1], count)
    if count and max(numbers) > len(origins):
        raise WireError("an operation of an origin that is not in the list")
    return (
        origins,
        numbers,
        _spread(columns[at + 2], count),
        _spread(columns[at + 3], count),
        _spread_untils(columns[at + 4], count),
        operations,
    )


def _read_origins(found: Any) -> tuple[Origin, ...]:
    if not isinstance(found, tuple) or len(found) > ORIGINS_MAX:
        raise WireError(f"there are at most {ORIGINS_MAX} origins")
    origins = []
    for origin in found:
        if not isinstance(origin, tuple) or len(origin) < 2:
            raise WireError("an origin is an id and a birth")
        origins.append(Origin(take_text(origin[0]), take_text(origin[1])))
    if len(set(origins)) < len(origins):
        raise WireError("an origin stands twice in the list")
    return tuple(origins)


_take_origins: Final = remembering(_read_origins, lambda _: True)  # there are only texts in them


def _check_operations(operations: Any, count_max: int) -> None:
    if not isinstance(operations, tuple) or len(operations) > count_max:
        raise WireError(f"there are at most {count_max} operations")
    for operation in operations:
        if type(operation) is not bytes:
            raise WireError("an operation that is not bytes")
        if len(operation) > OPERATION_BYTES_MAX:
            raise WireError(f"an operation of more than {OPERATION_BYTES_MAX} bytes")


def _dots(origins: Any, numbers: Any, incarnations: Any, sequences: Any) -> list[Dot | None]:
    if len(numbers) == 1:
        number = numbers[0]
        return [_new(Dot, (origins[number - 1], incarnations[0], sequences[0])) if number else None]
    names = (None, *origins)
    rows = zip(map(names.__getitem__, numbers), incarnations, sequences, strict=True)
    dots: list[Dot | None] = list(map(_new, repeat(Dot), rows))
    if 0 in numbers:
        return [dot if number else None for dot, number in zip(dots, numbers, strict=True)]
    return dots


# -- columns


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, Any, Any]:
    # A loop: to call `zip` with all of them takes as long as a few rows.
    one, two, three = [], [], []
    for row in rows:
        first, second, third = row  # exactly these
        one.append(first)
        two.append(second)
        three.append(third)
    return tuple(one), tuple(two), tuple(three)


def _squeezed(column: tuple[Any, ...]) -> Any:
    """A column of one value is written as the value: what is proposed together is mostly alike."""
    return column[0] if column and column.count(column[0]) == len(column) else column


def _spread(found: Any, count: int) -> tuple[int, ...]:
    """The column of `count` integers that was squeezed, or not."""
    if isinstance(found, tuple):
        return take_ints(found, count)
    return (take_int(found),) * count


def _rising(found: Any, count: int, what: str) -> tuple[int, ...]:
    """Likewise, of integers that never go back: a log relies on that, and mostly they are alike."""
    column = _spread(found, count)
    if isinstance(found, tuple) and sorted(column) != list(column):
        raise WireError(f"a batch whose {what} go back")
    return column


def _spread_untils(found: Any, count: int) -> tuple[int | None, ...]:
    if found is None:
        return (None,) * count
    if not isinstance(found, tuple) or None not in found:
        return _spread(found, count)
    given = [until for until in found if until is not None]
    take_ints(tuple(given), len(given))
    if len(found) != count:
        raise WireError(f"{len(found)} times until which {count} operations hold")
    return found
