"""The decorator that keeps what a function gives.

It decides how a decorated function looks from outside: it is called as before, and can be told to
forget a result (`invalidate`), to compute it anew (`refresh`), and under which key it is (`key`).

What is kept belongs to the arguments: two calls share a result only if they share a key.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from tlru.client.keys import KeyFor, key_maker, shortened

P = ParamSpec("P")
R = TypeVar("R")


class Store(Protocol):
    """What keeps the results: a cache, with how it is to be filled."""

    def fill(self, key: str, load: Callable[[], Any], *, anew: bool) -> Awaitable[Any]:
        """The result under a key, or loaded."""

    def forget(self, key: str) -> Awaitable[int]:
        """Remove the result under a key."""


class Cached(Generic[P, R]):
    """A function whose results are kept; calling it gives a coroutine."""

    # Taken over from the function.
    __name__: str
    __qualname__: str
    __wrapped__: Callable[..., Any]

    def __init__(
        self,
        function: Callable[..., Any],
        store: Store,
        key_for: KeyFor,
        bound: tuple[Any, ...] = (),
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._store = store
        self._key_for = key_for
        self._bound = bound

    def __get__(self, instance: Any, owner: type | None = None) -> Cached[..., R]:
        if instance is None:
            return self
        return Cached(self._function, self._store, self._key_for, (instance, *self._bound))

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result that is kept, or what the function gives now."""
        return await self._fill(args, kwargs, anew=False)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function gives now, which is kept from now on."""
        return await self._fill(args, kwargs, anew=True)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments; whether there was one. Failures are raised."""
        return bool(await self._store.forget(self.key(*args, **kwargs)))

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key under which the result for these arguments is kept."""
        return self._key_for(*self._bound, *args, **kwargs)

    async def _fill(self, args: Any, kwargs: Any, *, anew: bool) -> R:
        call = functools.partial(self._function, *self._bound, *args, **kwargs)
        return cast(R, await self._store.fill(self.key(*args, **kwargs), call, anew=anew))


class Decorator(Protocol):
    """Makes a `Cached` of a function or a coroutine function."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Cached[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


def make_key(function: Callable[..., Any], key: KeyFor | str | None) -> KeyFor:
    """What makes the keys of a function's calls: as it is told, or out of name and arguments.

    A string is a pattern of the arguments by their names, such as `"user:{id}"`.
    """
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator; what it gives cannot be kept")
    if key is None:
        return key_maker(function)
    if callable(key):
        return key
    return _pattern(function, key)


def _pattern(function: Callable[..., Any], pattern: str) -> KeyFor:
    signature = inspect.signature(function)

    def key_for(*args: Any, **kwargs: Any) -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return shortened(pattern.format(**bound.arguments))

    return key_for


def decorator(store: Store, key: KeyFor | str | None) -> Decorator:
    """The decorator for this store."""

    def decorate(function: Callable[..., Any]) -> Cached[..., Any]:
        return Cached(function, store, make_key(function, key))

    return cast(Decorator, decorate)
