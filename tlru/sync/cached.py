"""The blocking face of the decorator that keeps what a function gives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

from tlru.client.cached import make_key
from tlru.client.keys import KeyFor

P = ParamSpec("P")
R = TypeVar("R")


class Store(Protocol):
    """What keeps the results: a cache, with how it is to be filled."""

    def fill(self, key: str, load: Callable[[], Any], *, anew: bool) -> Any:
        """The result under a key, or loaded."""

    def forget(self, key: str) -> int:
        """Remove the result under a key."""


class Cached(Generic[P, R]):
    """A function whose results are kept."""

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

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result that is kept, or what the function gives now."""
        return self._fill(args, kwargs, anew=False)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function gives now, which is kept from now on."""
        return self._fill(args, kwargs, anew=True)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result for these arguments; whether there was one. Failures are raised."""
        return bool(self._store.forget(self.key(*args, **kwargs)))

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key under which the result for these arguments is kept."""
        return self._key_for(*self._bound, *args, **kwargs)

    def _fill(self, args: Any, kwargs: Any, *, anew: bool) -> R:
        call = functools.partial(self._function, *self._bound, *args, **kwargs)
        return cast(R, self._store.fill(self.key(*args, **kwargs), call, anew=anew))


class Decorator(Protocol):
    """Makes a `Cached` of a function."""

    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


def decorator(store: Store, key: KeyFor | str | None) -> Decorator:
    """The decorator for this store."""

    def decorate(function: Callable[..., Any]) -> Cached[..., Any]:
        return Cached(function, store, make_key(function, key))

    return cast(Decorator, decorate)
