"""The two faces of the client have the same names and the same parameters."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import pytest

import tlru.sync
from tlru import client
from tlru.client import cache as aio
from tlru.client.cached import Cached as AsyncCached
from tlru.sync import cache as blocking
from tlru.sync.cached import Cached as BlockingCached

SHOWN = ("__init__", "__call__", "__get__")


def public(face: type) -> dict[str, Any]:
    """What a user of a class may use, with what it inherits."""
    found = {}
    for base in reversed(face.__mro__[:-1]):
        for name, value in vars(base).items():
            if not name.startswith("_") or name in SHOWN:
                found[name] = value
    found.pop("__init__")  # both are made by functions
    return found


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, str]]:
    """Names, defaults and kinds of a function's parameters."""
    return [
        (each.name, each.default, str(each.kind))
        for each in inspect.signature(function).parameters.values()
    ]


def hints(function: Callable[..., Any]) -> dict[str, str]:
    """Its annotations, by their text: each module has type variables of its own."""
    found = {name: str(hint) for name, hint in typing.get_type_hints(function).items()}
    found.pop("return", None)
    found.pop("load", None)  # the asyncio client takes coroutine functions too
    return found


PAIRS = [
    (client.Cache, tlru.sync.Cache),
    (client.Lock, tlru.sync.Lock),
    (AsyncCached, BlockingCached),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda face: face.__module__)
def test_both_have_the_same_names(one: type, other: type) -> None:
    assert public(one).keys() - {"name"} == public(other).keys() - {"name"}


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (f"{a.__name__}.{name}", public(a)[name], public(b)[name])
        for a, b in PAIRS
        for name in public(a)
        if callable(public(a)[name])
    ]
    + [("connect", aio.connect, blocking.connect)],
)
def test_both_have_the_same_parameters(
    name: str, one: Callable[..., Any], other: Callable[..., Any]
) -> None:
    assert parameters(one) == parameters(other)
    assert hints(one) == hints(other)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda face: face.__module__)
def test_everything_is_documented_and_means_the_same(one: type, other: type) -> None:
    for name, value in public(one).items():
        if name == "__get__":
            continue
        assert inspect.getdoc(value), f"{one.__name__}.{name}"
        assert inspect.getdoc(public(other)[name]), f"the blocking {one.__name__}.{name}"


def test_only_what_waits_is_a_coroutine_function() -> None:
    """A part, a lock, a decorator and an iteration are had at once; nothing blocks meanwhile."""
    plain = {"at", "cached", "lock", "keys", "items", "near", "watch"}
    for name, value in public(client.Cache).items():
        assert inspect.iscoroutinefunction(value) == (name not in plain), name
    assert not any(inspect.iscoroutinefunction(each) for each in public(tlru.sync.Cache).values())
