"""Typed values: checked when they are written, checked when they are read."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import sys
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict

import msgpack
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlru.client.serializers import Serializer, dump, load
from tlru.client.typed import typed
from tlru.errors import BadValue

UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Options(TypedDict, total=False):
    depth: typing.Required[int]
    note: str


@dataclass
class Address:
    street: str
    zip: str | None = None


@dataclass(frozen=True)
class User:
    id: UserId
    name: str
    born: datetime.date
    seen: datetime.datetime
    colours: set[Colour] = field(default_factory=set)
    address: Address | None = None
    scores: dict[str, list[float]] = field(default_factory=dict)
    ratio: Annotated[decimal.Decimal, "exact"] = decimal.Decimal(1)
    token: uuid.UUID | None = None
    span: datetime.timedelta = datetime.timedelta()
    kind: Literal["person", "robot", 7] = "person"
    place: Point | None = None
    pair: tuple[int, str] = (0, "")
    rest: tuple[int, ...] = ()
    names: Sequence[str] = ()
    blob: bytes = b""
    options: Options | None = None


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclass
class Dog:
    kind: Literal["dog"]
    lives: int


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("it is odd")


class Struct(msgspec.Struct):
    id: int
    seen: datetime.datetime
    tags: set[str] = set()


class Model(pydantic.BaseModel):
    id: int
    seen: datetime.datetime
    home: pydantic.AnyUrl | None = None


@pydantic.dataclasses.dataclass
class ModelClass:
    id: int


@dataclass
class Mixed:
    struct: Struct
    model: Model


NOON = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)


def through(serializer: Serializer[Any], value: Any) -> Any:
    return load(serializer, "k", dump(serializer, "k", value))


def read(serializer: Serializer[Any], plain: Any) -> Any:
    return load(serializer, "k", msgpack.packb(plain, datetime=True))


users = st.builds(
    User,
    id=st.integers(-(2**63), 2**63).map(UserId),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    born=st.dates(),
    seen=st.datetimes(
        min_value=datetime.datetime(1900, 1, 1),
        max_value=datetime.datetime(2200, 1, 1),
        timezones=st.just(datetime.UTC),
    ),
    colours=st.sets(st.sampled_from(Colour)),
    address=st.none() | st.builds(Address, street=st.just("x"), zip=st.none() | st.just("1")),
    scores=st.dictionaries(st.sampled_from("abc"), st.lists(st.floats(allow_nan=False))),
    ratio=st.decimals(allow_nan=False),
    token=st.uuids(),
    span=st.timedeltas(min_value=datetime.timedelta(days=-9), max_value=datetime.timedelta(days=9)),
    kind=st.sampled_from(["person", "robot", 7]),
    place=st.builds(Point, st.integers(0, 9), st.floats(0, 9)),
    pair=st.tuples(st.integers(0, 9), st.just("y")),
    rest=st.lists(st.integers(0, 9)).map(tuple),
    names=st.lists(st.just("n")),
    blob=st.binary(),
    options=st.none() | st.just(Options(depth=1)) | st.just(Options(depth=2, note="n")),
)


@given(users)
def test_a_dataclass_comes_back_equal(user: User) -> None:
    assert through(typed(User), user) == user


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Tree, Tree(1, [Tree(2, [Tree(3)])])),
        (list[User | None], [None]),
        (Optional[int], None),  # noqa: UP045  # the old way to write it is in use
        (Mapping[str, Colour], {"a": Colour.RED}),
        (frozenset[int], frozenset({1, 2})),
        (tuple[Cat | Dog, ...], (Dog("dog", 1), Cat("cat", 9))),
        (Struct, Struct(1, NOON, {"a"})),
        (Model, Model(id=1, seen=NOON, home=pydantic.AnyUrl("http://a.example/"))),
        (ModelClass, ModelClass(id=3)),
        (Mixed, Mixed(Struct(1, NOON), Model(id=2, seen=NOON))),
        (list[Struct], [Struct(1, NOON)]),
        (dict[str, Any], {"a": [1, {"b": None}]}),
        (list, [1, "a"]),
        (dict, {"a": 1}),
        (int | str, "7"),
        (datetime.time, datetime.time(12, 30)),
    ],
    ids=lambda each: getattr(each, "__name__", None) or str(each)[:30],
)
def test_what_went_in_comes_out(declared: Any, value: Any) -> None:
    found = through(typed(declared), value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("declared", "value", "told"),
    [
        (User, "no user", "expected User, found str"),
        (Address, Address(7), "expected str at .street, found int"),  # type: ignore[arg-type]  # on purpose
        (Tree, Tree(1, [Tree("x")]), "expected int at .children[0].value, found str"),  # type: ignore[arg-type]  # on purpose
        (list[int], [1, True], "expected int at [1], found bool"),
        (list[int], (1, 2), "expected list, found tuple"),
        (dict[str, int], {"a": "b"}, "expected int at ['a'], found str"),
        (datetime.datetime, datetime.datetime(2026, 5, 1), "datetime with a time zone"),
        (datetime.date, NOON, "expected date, found datetime"),
        (Literal[1, 2], True, "expected one of 1, 2, found bool"),
        (Colour, "red", "expected Colour, found str"),
        (Cat | Dog, Tree(1), "Cat"),
        (Struct, 7, ""),
        (Mixed, Mixed(1, 2), "expected Struct at .struct, found int"),  # type: ignore[arg-type]  # on purpose
        (tuple[int, str], (1,), "2 values in a row"),
        (None, 0, "expected None, found int"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_kept(
    declared: Any, value: Any, told: str
) -> None:
    serializer = typed(declared)
    if declared is Struct:
        # msgspec writes anything; it is found out when it is read.
        with pytest.raises(BadValue):
            through(serializer, value)
        return
    with pytest.raises(BadValue) as caught:
        dump(serializer, "k", value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "plain", "told"),
    [
        (Address, {"zip": "1"}, "Address with its field 'street'"),
        (Address, [1], "a dict that is a Address"),
        (Tree, {"value": 1, "children": [{"value": "x"}]}, "int at .children[0].value"),
        (Even, {"number": 3}, "it is odd"),
        (datetime.date, "2026-13-01", "a string that is a date"),
        (decimal.Decimal, "x", "a string that is a Decimal"),
        (uuid.UUID, 7, "a string that is a UUID"),
        (Colour, "green", "a value of Colour"),
        (set[Any], [[1]], "a set of what can be its members"),
        (Struct, {"id": "x"}, "int"),
        (Model, {"id": "x"}, "Model"),
        (Options, {"note": "x"}, "'depth'"),
        (Point, [1], "2 values in a row"),
        (int | None, "x", "int | None"),
        (datetime.timedelta, "x", "float"),
        (datetime.datetime, "yesterday", "datetime"),
    ],
)
def test_what_somebody_else_has_kept_is_checked(declared: Any, plain: Any, told: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(typed(declared), plain)
    assert told in str(caught.value)


def test_two_releases_can_share_a_cache() -> None:
    """A field that the reader does not know is ignored; one that is missing takes its default."""
    assert read(typed(Address), {"street": "x", "planet": "Mars"}) == Address("x")


def test_a_union_takes_the_one_that_fits_exactly() -> None:
    @dataclass
    class Small:
        a: int

    @dataclass
    class Large:
        a: int
        b: int = 0

    declared = typed(Small | Large)
    assert read(declared, {"a": 1}) == Small(1)
    assert read(declared, {"a": 1, "b": 2}) == Large(1, 2)
    assert read(declared, {"a": 1, "c": 2}) == Small(1), "a field too many, as from a newer release"


def test_numbers_and_moments_of_other_languages_are_understood() -> None:
    """JSON clients write 1 for 1.0, and moments as text."""
    assert read(typed(float), 1) == 1.0
    assert type(read(typed(float), 1)) is float
    assert read(typed(datetime.datetime), "2026-05-01T12:00:00+00:00") == NOON


def test_a_field_that_is_not_given_is_not_kept() -> None:
    @dataclass
    class Derived:
        a: int
        b: int = field(init=False, default=7)

    assert msgpack.unpackb(typed(Derived).dumps(Derived(1))) == {"a": 1}
    assert through(typed(Derived), Derived(1)) == Derived(1)


@dataclass
class WithInitVar:
    a: dataclasses.InitVar[int]


@pytest.mark.parametrize("declared", [type, complex, list[complex], WithInitVar, "User", object()])
def test_a_type_that_cannot_be_read_back_is_refused_when_it_is_declared(declared: Any) -> None:
    with pytest.raises(TypeError):
        typed(declared)


def test_annotations_that_lead_nowhere_are_told() -> None:
    @dataclass
    class Lost:
        other: Nowhere  # type: ignore[name-defined]  # noqa: F821  # on purpose

    with pytest.raises(TypeError, match=r"annotations of .*Lost cannot be resolved"):
        typed(Lost)


if sys.version_info >= (3, 12):

    def test_a_named_alias_is_what_it_stands_for() -> None:
        alias = typing.TypeAliasType("alias", list[int])
        assert through(typed(alias), [1]) == [1]
