"""Fields and bytes: what each type looks like in msgpack, and how much of it may come.

A codec is derived once from the annotations of a class, so a new message is its dataclass and a
code. What the messages are, and their codes, is decided in `wire.py`.

Invariant: `unpack` gives what the annotations say, within the limits, or raises a WireError. How
much some bytes claim to hold is bounded before anything is made for it.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple, NoReturn

import msgpack

from peers.errors import WireError

# The limits. Whoever meets one gets a WireError: who sends cuts smaller, who receives refuses.
FRAME_BYTES_MAX: Final = 64 << 20
BATCH_BYTES_MAX: Final = 32 << 20
OPERATION_BYTES_MAX: Final = 16 << 20  # of any field of bytes
BATCH_ENTRIES_MAX: Final = 4096
BATCHES_MAX: Final = 4096  # in one message
OPERATIONS_MAX: Final = 4096  # in one Forward
ORIGINS_MAX: Final = 1024  # in a batch: those of its vector and of its entries
REACHES_MAX: Final = 64  # members, and any tuple without a limit of its own
ID_CHARS_MAX: Final = 64  # ids, births, what is random in an epoch: any str without its own
DETAIL_CHARS_MAX: Final = 1024  # addresses and labels of members
INT_MAX: Final = (1 << 63) - 1
# All arrays of a message together, so that no nesting multiplies what each of them may hold.
ELEMENTS_MAX: Final = 1 << 16
REMEMBERED_MAX: Final = 256  # values that were checked before
REMEMBERED_LENGTH_MAX: Final = 16  # of each of them
_ARRAY_MAX: Final = max(BATCH_ENTRIES_MAX, BATCHES_MAX, OPERATIONS_MAX, ORIGINS_MAX)
_TEXT_BYTES_MAX: Final = 4 * DETAIL_CHARS_MAX


# -- bytes


PACKER_BYTES_MAX: Final = 1 << 20  # a packer keeps room for the longest that it has packed


class _Packers(threading.local):
    """The packer of each thread: to make one takes as long as to pack."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(autoreset=True)


_packers: Final = _Packers()


def pack_plain(plain: Any) -> bytes:
    """The msgpack bytes of plain data."""
    try:
        packed: bytes = _packers.packer.pack(plain)
        if len(packed) > PACKER_BYTES_MAX:
            _packers.packer = msgpack.Packer(autoreset=True)
    except (ValueError, OverflowError, TypeError) as exc:
        raise WireError(f"what was to be sent cannot be written: {exc}") from exc
    return packed


def unpack_plain(data: bytes | memoryview) -> Any:
    """The one value in `data`, of tuples, texts, bytes and numbers; there are no maps."""
    try:
        return msgpack.unpackb(
            data,
            use_list=False,
            # Each value takes a byte at least: few bytes hold few values, and need no count.
            list_hook=_counter() if len(data) > ELEMENTS_MAX else None,
            object_pairs_hook=_refuse_map,  # an empty one is a single byte, and takes 64
            max_array_len=min(_ARRAY_MAX, len(data)),
            max_str_len=_TEXT_BYTES_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    except WireError:
        raise
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as exc:
        raise WireError(f"{len(data)} bytes are not what nodes say: {exc}") from exc
    except (MemoryError, RecursionError) as exc:
        raise WireError(f"{len(data)} bytes are too much to be read") from exc


def _counter() -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What is given every array of a message, and refuses the one that is too much."""
    left = ELEMENTS_MAX

    def spend(array: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal left
        left -= len(array) + 1
        if left < 0:
            raise WireError(f"more than {ELEMENTS_MAX} values in one message")
        return array

    return spend


def _refuse_map(_: object) -> NoReturn:
    raise WireError("a map, where nodes send none")


# -- what is checked of a value


def take_int(found: Any) -> int:
    """An integer that is not a bool."""
    if type(found) is int and 0 <= found <= INT_MAX:
        return found
    raise _unlike("an integer from 0 to 2^63-1", found)


def take_ints(found: Any, count: int) -> tuple[int, ...]:
    """A column of `count` integers."""
    if isinstance(found, tuple) and len(found) == count == 1:
        take_int(found[0])
        return found
    if (
        isinstance(found, tuple)
        and len(found) == count
        and set(map(type, found)) <= {int}
        and (not found or (min(found) >= 0 and max(found) <= INT_MAX))
    ):
        return found
    raise _unlike(f"a column of {count} integers from 0 to 2^63-1", found)


def take_bool(found: Any) -> bool:
    """True or False, and no number."""
    if type(found) is bool:
        return found
    raise _unlike("true or false", found)


def take_bytes(found: Any) -> bytes:
    """Bytes, not more than an operation may have."""
    if type(found) is bytes and len(found) <= OPERATION_BYTES_MAX:
        return found
    raise _unlike(f"at most {OPERATION_BYTES_MAX} bytes", found)


def remembering(
    take: Callable[[Any], Any], has_integers: Callable[[Any], bool]
) -> Callable[[Any], Any]:
    """The same, for tuples that are nearly always one of a few: who sends, of which epoch, to whom.
    `has_integers`: whether the numbers in what is equal to one of them are such: True equals 1."""
    known: dict[Any, Any] = {}

    def remembered(found: Any) -> Any:
        try:
            value = known.get(found)
        except TypeError as exc:
            raise _unlike("texts and numbers", found) from exc
        if value is None or not has_integers(found):
            value = take(found)
            if len(value) > REMEMBERED_LENGTH_MAX:
                return value
            if len(known) >= REMEMBERED_MAX:
                known.clear()
            known[value] = value  # without what a later release may have added to it
        return value

    return remembered


def text_taker(chars_max: int) -> Callable[[Any], str]:
    """What takes a text of so many characters at most."""

    def take(found: Any) -> str:
        if type(found) is str and len(found) <= chars_max:
            return found
        raise _unlike(f"a text of at most {chars_max} characters", found)

    return take


take_text: Final = text_taker(ID_CHARS_MAX)


def _unlike(expected: str, found: object) -> WireError:
    if isinstance(found, str | bytes | tuple):
        shown = f"{type(found).__name__} of length {len(found)}"
    else:
        shown = repr(found)
    return WireError(f"{expected} should stand here, not {shown}")


# -- codecs


class Codec(NamedTuple):
    """How values of one type cross: `pack` makes them plain, and is None where they are already;
    `unpack` checks what came and makes them again."""

    pack: Callable[[Any], Any] | None
    unpack: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Codecs:
    """Derives codecs. An annotation has a codec of its own, or one from what it is made of.

    `items_max` is by the type of the items, `chars_max` by class and field; `laws` are what the
    types alone do not say.
    """

    own: Mapping[Any, Codec]
    items_max: Mapping[Any, int]
    chars_max: Mapping[tuple[type[Any], str], int]
    laws: Mapping[Any, Callable[[Any], bool]]

    def of(self, hint: Any, chars_max: int = ID_CHARS_MAX) -> Codec:
        """The codec of an annotation. TypeError where there can be none: a defect, at import."""
        codec = self.own.get(hint) or self._derived(hint, chars_max)
        law = self.laws.get(hint)
        return codec if law is None else Codec(codec.pack, _lawful(codec.unpack, law))

    def _derived(self, hint: Any, chars_max: int) -> Codec:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if hint in _SCALARS:
            return Codec(None, _SCALARS[hint])
        if hint is str:
            return Codec(None, text_taker(chars_max))
        if origin in (types.UnionType, typing.Union) and args[1:] == (types.NoneType,):
            return _optional(self.of(args[0], chars_max))
        if origin is tuple and args[1:] == (...,):
            items_max = self.items_max.get(args[0], REACHES_MAX)
            return _sequence(self.of(args[0], chars_max), items_max)
        if origin is tuple:
            codecs = [self.of(arg, chars_max) for arg in args]
            return Codec(_row_packer(tuple, codecs), _row_unpacker(hint, codecs, lambda *row: row))
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return Codec(attrgetter("value"), _enum_unpacker(hint))
        if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
            return self._record(hint)
        raise TypeError(f"no codec for {hint!r}; give it one in peers/wire.py")

    def _record(self, kind: Any) -> Codec:
        """Of a dataclass or a named tuple: its fields in their order."""
        names, defaults = _fields_of(kind)
        hints = typing.get_type_hints(kind)
        codecs = [
            self.of(hints[name], self.chars_max.get((kind, name), ID_CHARS_MAX)) for name in names
        ]
        unpack = _row_unpacker(kind, codecs, kind, defaults)
        if issubclass(kind, tuple):
            quick = _quick_unpacker(kind, [hints[name] for name in names], codecs, unpack)
            return Codec(_row_packer(tuple, codecs), quick)
        return Codec(_row_packer(_picker(names), codecs) or _picker(names), unpack)


_SCALARS: Final[dict[Any, Callable[[Any], Any]]] = {
    int: take_int,
    bool: take_bool,
    bytes: take_bytes,
}


def _fields_of(kind: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """The names of a record's fields, and the defaults of the last of them."""
    if issubclass(kind, tuple):
        return kind._fields, tuple(kind._field_defaults.values())
    fields = [field for field in dataclasses.fields(kind) if field.init]  # the rest is derived
    assert all(field.default_factory is dataclasses.MISSING for field in fields), kind
    defaults = (field.default for field in fields if field.default is not dataclasses.MISSING)
    return tuple(field.name for field in fields), tuple(defaults)


def _picker(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _row_packer(
    pick: Callable[[Any], tuple[Any, ...]], codecs: list[Codec]
) -> Callable[[Any], Any] | None:
    steps = [(place, codec.pack) for place, codec in enumerate(codecs) if codec.pack is not None]
    if not steps:
        return None if pick is tuple else pick

    def pack(value: Any) -> list[Any]:
        row = list(pick(value))
        for place, step in steps:
            row[place] = step(row[place])
        return row

    return pack


def _row_unpacker(
    kind: Any, codecs: list[Codec], make: Callable[..., Any], defaults: tuple[Any, ...] = ()
) -> Callable[[Any], Any]:
    takes = tuple(codec.unpack for codec in codecs)
    count, needed = len(takes), len(takes) - len(defaults)
    name = getattr(kind, "__name__", "row")

    def unpack(found: Any) -> Any:
        if type(found) is not tuple or len(found) < needed:
            raise WireError(f"{name}: {_unlike(f'at least {needed} fields', found)}")
        try:
            # What a later release added is not looked at, what an earlier one lacks is filled in.
            row = [take(part) for take, part in zip(takes, found, strict=False)]
        except WireError as exc:
            raise WireError(f"{name}: {exc}") from exc
        if len(row) < count:
            row += defaults[len(row) - needed :]
        return make(*row)

    return unpack


# What is asked of a field of these types is written where the row is read, and not in a function:
# most messages have nothing but these, and to call one for each takes longer than all the rest.
_INLINE: Final[dict[Any, str]] = {
    int: f"type({{0}}) is int and 0 <= {{0}} <= {INT_MAX}",
    bool: "type({0}) is bool",
}
_INLINE_OPTIONAL: Final = "({{0}} is None or {})"


def _quick_unpacker(
    kind: Any, hints: Sequence[Any], codecs: Sequence[Codec], careful: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """The same for a named tuple, written out: what has exactly its fields, as nearly all have, is
    taken at one go, and everything else is left to the `careful` one, which says what is wrong."""
    names = [f"field_{place}" for place in range(len(hints))]
    asked, made = [], []
    given: dict[str, Any] = {"careful": careful, "new": tuple.__new__, "kind": kind}
    for name, hint, codec in zip(names, hints, codecs, strict=True):
        optional = typing.get_origin(hint) is types.UnionType
        scalar = typing.get_args(hint)[0] if optional else hint
        question = _INLINE.get(scalar)
        if question is None:
            given[f"take_{name}"] = codec.unpack
            made.append(f"take_{name}({name})")
        else:
            question = _INLINE_OPTIONAL.format(question) if optional else question
            asked.append(question.format(name))
            made.append(name)
    source = f"""
def unpack(found):
    if type(found) is tuple and len(found) == {len(names)}:
        {", ".join(names)}, = found
        if {" and ".join(asked) or "True"}:
            try:
                return new(kind, ({", ".join(made)},))
            except WireError as exc:
                raise WireError(f"{kind.__name__}: {{exc}}") from exc
    return careful(found)
"""
    given["WireError"] = WireError
    exec(source, given)  # made of our own annotations, when the module is imported
    unpack: Callable[[Any], Any] = given["unpack"]
    return unpack


def _sequence(item: Codec, items_max: int) -> Codec:
    inner, take = item

    def pack(values: tuple[Any, ...]) -> Any:
        if len(values) > items_max:
            raise WireError(f"{len(values)} in one message, where {items_max} are the most")
        return values if inner is None else tuple(map(inner, values))

    def unpack(found: Any) -> tuple[Any, ...]:
        if type(found) is not tuple or len(found) > items_max:
            raise _unlike(f"an array of at most {items_max}", found)
        return tuple(map(take, found))

    return Codec(pack, unpack)


def _optional(given: Codec) -> Codec:
    pack, unpack = given
    return Codec(
        None if pack is None else lambda value: None if value is None else pack(value),
        lambda found: None if found is None else unpack(found),
    )


def _enum_unpacker(kind: type[enum.Enum]) -> Callable[[Any], Any]:
    known = {member.value: member for member in kind}
    of_type = {type(value) for value in known}

    def unpack(found: Any) -> Any:
        if type(found) in of_type and found in known:
            return known[found]
        raise _unlike(f"a {kind.__name__}", found)

    return unpack


def _lawful(take: Callable[[Any], Any], law: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def unpack(found: Any) -> Any:
        value = take(found)
        if not law(value):
            raise WireError(f"not so: {(law.__doc__ or law.__name__).splitlines()[0]}")
        return value

    return unpack
