"""`typed(User)`: a serializer for values of one type, checked when written and when read.

It decides which machinery reads a type: msgspec and pydantic read their own, where they are
installed; dataclasses, named tuples, typed dicts and everything the standard library offers in
annotations go through `plain`.

A type that cannot be read back is refused here, when the program starts, not at the first value.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
import typing
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeVar, cast, overload

from tlru.client.plain import (
    MAPPINGS,
    SCALARS,
    SERIES,
    UNIONS,
    Converter,
    Mismatch,
    enumeration,
    literal,
    mapping,
    row,
    series,
    union,
)
from tlru.client.serializers import Msgpack, Serializer

T = TypeVar("T")

# What says something of a type without being another.
WRAPPERS: Final = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final)
# `type X = ...`, which Python 3.11 does not have.
ALIASES: Final[tuple[Any, ...]] = tuple(
    getattr(typing, name) for name in ("TypeAliasType",) if hasattr(typing, name)
)


class Typed(Generic[T]):
    """Reads and writes one type, through plain values in msgpack."""

    def __init__(self, declared: Any) -> None:
        self._declared = declared
        converter = Builder().build(declared)
        self._to_plain: Callable[[Any], Any] = converter.to_plain
        self._from_plain: Callable[[Any], T] = converter.from_plain

    def __repr__(self) -> str:
        return f"tlru.typed({_name(self._declared)})"

    def dumps(self, value: T, /) -> bytes:
        """The bytes of a value that fits its declaration."""
        return Msgpack.dumps(self._to_plain(value))

    def loads(self, data: bytes, /) -> T:
        """A value of the declared type."""
        return self._from_plain(Msgpack.loads(data))


class OfMsgspec(Generic[T]):
    """Reads and writes one msgspec Struct with msgspec itself."""

    def __init__(self, declared: type[T]) -> None:
        msgspec = _loaded("msgspec")
        self.dumps: Callable[[T], bytes] = msgspec.msgpack.Encoder().encode
        self.loads: Callable[[bytes], T] = msgspec.msgpack.Decoder(declared).decode


@overload
def typed(declared: type[T]) -> Serializer[T]: ...
@overload
def typed(declared: Any) -> Serializer[Any]: ...
def typed(declared: Any) -> Serializer[Any]:
    """A serializer for values of this type: a dataclass, a Struct, a model, or `User | None`.

    Raises `TypeError` for a type of which it cannot tell how to read it back.
    """
    if is_struct(declared):
        return cast(Serializer[Any], OfMsgspec(declared))
    return Typed(declared)


def is_struct(declared: Any) -> bool:
    """Whether it is a msgspec Struct. One that is not imported cannot have been subclassed."""
    msgspec = _loaded("msgspec")
    return (
        msgspec is not None and isinstance(declared, type) and issubclass(declared, msgspec.Struct)
    )


def is_model(declared: Any) -> bool:
    """Whether it is a pydantic model or dataclass."""
    pydantic = _loaded("pydantic")
    if pydantic is None or not isinstance(declared, type):
        return False
    return issubclass(declared, pydantic.BaseModel) or bool(
        pydantic.dataclasses.is_pydantic_dataclass(declared)
    )


def _loaded(name: str) -> Any:
    """A module that the program has imported, or None. Neither is imported on its behalf."""
    return sys.modules.get(name)


class Builder:
    """Makes the converter of a type out of those of its parts."""

    def __init__(self) -> None:
        # Types that speak of themselves find here the converter that is still being made.
        self._made: dict[Any, Converter] = {}

    def build(self, declared: Any) -> Converter:
        """The converter of a declared type."""
        if typing.get_origin(declared) in WRAPPERS:
            return self.build(typing.get_args(declared)[0])
        if declared in SCALARS:
            return SCALARS[declared]
        if isinstance(declared, typing.NewType):
            return self.build(declared.__supertype__)
        if isinstance(declared, ALIASES):
            return self.build(declared.__value__)
        if isinstance(declared, type):
            return self._class(declared)
        return self._form(declared)

    def _form(self, declared: Any) -> Converter:
        origin, arguments = typing.get_origin(declared), typing.get_args(declared)
        if origin in UNIONS:
            return union(tuple(self.build(each) for each in arguments), _name(declared))
        if origin is Literal:
            return literal(arguments)
        if origin is tuple and arguments[1:] != (...,):
            return row(tuple(self.build(each) for each in arguments), tuple)
        if origin is tuple:
            return series(tuple, tuple, self.build(arguments[0]))
        if origin in SERIES:
            return series(SERIES[origin], origin, self.build(arguments[0]))
        if origin in MAPPINGS:
            return mapping(self.build(arguments[0]), self.build(arguments[1]))
        raise TypeError(f"values of type {_name(declared)} cannot be read back: pass a serializer")

    def _class(self, declared: type) -> Converter:
        anything = SCALARS[Any]
        if is_struct(declared):
            return _struct(declared)
        if is_model(declared):
            return _model(declared)
        if issubclass(declared, enum.Enum):
            return enumeration(declared)
        if dataclasses.is_dataclass(declared):
            return self._itself(declared, self._dataclass)
        if typing.is_typeddict(declared):
            return self._itself(declared, self._typed_dict)
        if issubclass(declared, tuple) and hasattr(declared, "_fields"):
            return self._itself(declared, self._named_tuple)
        if declared in SERIES:
            return series(SERIES[declared], declared, anything)
        if declared is tuple:
            return series(tuple, tuple, anything)
        if declared in MAPPINGS:
            return mapping(anything, anything)
        raise TypeError(f"values of type {_name(declared)} cannot be read back: pass a serializer")

    def _itself(self, declared: type, make: Callable[[type], Converter]) -> Converter:
        """The converter of a type that may speak of itself, through fields of its own type."""
        if declared not in self._made:
            made: list[Converter] = []
            self._made[declared] = Converter(
                lambda value: made[0].to_plain(value),
                lambda value: made[0].from_plain(value),
                lambda value: made[0].from_exactly(value),
            )
            made.append(make(declared))
        return self._made[declared]

    def _dataclass(self, declared: type) -> Converter:
        hints = _hints(declared)
        stored = [field for field in dataclasses.fields(declared) if field.init]
        if any(isinstance(hint, dataclasses.InitVar) for hint in hints.values()):
            raise TypeError(f"{_name(declared)} has an InitVar, which is not kept in its instances")
        missing = dataclasses.MISSING
        return fields(
            declared,
            {field.name: self.build(hints[field.name]) for field in stored},
            required={
                field.name
                for field in stored
                if field.default is missing and field.default_factory is missing
            },
            read=getattr,
            holds=lambda value: type(value) is declared,
        )

    def _typed_dict(self, declared: Any) -> Converter:
        hints = _hints(declared)
        marks = {name: typing.get_origin(hint) for name, hint in hints.items()}
        # Where annotations are strings, what is marked in them is not in `__required_keys__`.
        required = {name for name in declared.__required_keys__ if name in hints}
        required |= {name for name, mark in marks.items() if mark is typing.Required}
        required -= {name for name, mark in marks.items() if mark is typing.NotRequired}
        return fields(
            declared,
            {name: self.build(hint) for name, hint in hints.items()},
            required=required,
            read=lambda value, name: value[name],
            holds=lambda value: type(value) is dict,
        )

    def _named_tuple(self, declared: Any) -> Converter:
        hints = _hints(declared)
        inners = tuple(self.build(hints.get(name, Any)) for name in declared._fields)
        return row(inners, lambda values: declared(*values))


def fields(
    declared: Callable[..., Any],
    inners: dict[str, Converter],
    *,
    required: set[str],
    read: Callable[[Any, str], Any],
    holds: Callable[[Any], bool],
) -> Converter:
    """A type of named fields, which is written as a dict."""
    name = _name(declared)

    def to_plain(value: Any) -> dict[str, Any]:
        if not holds(value):
            raise Mismatch(name, value)
        found = {}
        for field, inner in inners.items():
            try:
                found[field] = inner.to_plain(read(value, field))
            except Mismatch as exc:
                raise exc.within(f".{field}") from None
            except KeyError:
                if field in required:
                    raise Mismatch(f"{name} with its field {field!r}", value) from None
        return found

    def from_plain(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(f"a dict that is a {name}", value)
        if absent := [field for field in required if field not in value]:
            raise Mismatch(f"{name} with its field {sorted(absent)[0]!r}", value)
        found = {}
        for field, inner in inners.items():
            if field in value:
                try:
                    found[field] = inner.from_plain(value[field])
                except Mismatch as exc:
                    raise exc.within(f".{field}") from None
        try:
            return declared(**found)
        except (TypeError, ValueError) as exc:  # of a __post_init__
            raise Mismatch(f"{name} ({exc})", value) from exc

    def from_exactly(value: Any) -> Any:
        if type(value) is dict and not value.keys() <= inners.keys():
            raise Mismatch(f"{name} without other fields", value)
        return from_plain(value)

    return Converter(to_plain, from_plain, from_exactly)


def _struct(declared: type) -> Converter:
    msgspec = _loaded("msgspec")

    def to_plain(value: Any) -> Any:
        if not isinstance(value, declared):
            raise Mismatch(_name(declared), value)
        return msgspec.to_builtins(value, builtin_types=(bytes,))

    def from_plain(value: Any) -> Any:
        try:
            return msgspec.convert(value, declared)
        except msgspec.ValidationError as exc:
            raise Mismatch(f"{_name(declared)} ({exc})", value) from exc

    return Converter(to_plain, from_plain, from_plain)


def _model(declared: Any) -> Converter:
    pydantic = _loaded("pydantic")
    adapter: Any = pydantic.TypeAdapter(declared)

    def to_plain(value: Any) -> Any:
        if not isinstance(value, declared):
            raise Mismatch(_name(declared), value)
        return adapter.dump_python(value, mode="json")

    def from_plain(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError as exc:
            raise Mismatch(f"{_name(declared)} ({exc})", value) from exc

    return Converter(to_plain, from_plain, from_plain)


def _hints(declared: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(declared, include_extras=True)
    except NameError as exc:
        raise TypeError(f"the annotations of {_name(declared)} cannot be resolved: {exc}") from exc


def _name(declared: Any) -> str:
    return getattr(declared, "__qualname__", None) or str(declared)
