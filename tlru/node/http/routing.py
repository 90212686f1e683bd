"""Which route a path and a method lead to.

Pure. Paths are compared as they came, undecoded: an encoded slash never becomes one that separates.
What a path names (`{key}`, `{channel}`) is all the rest of it, slashes too; an `{id}` or a `{file}`
end at a slash. Where two templates fit, the one that stands first and has the method is meant, so
that a key may end in `/incr` for every method but the one that means it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tlru.node.http import targets
from tlru.node.http.answers import Answer
from tlru.node.http.problems import MethodNotAllowed, NoSuchRoute
from tlru.node.http.request import Request
from tlru.wire.strict_json import shown

Handler = Callable[[Request], Awaitable[Answer]]

_PARTS = {"{key}": "(.*)", "{channel}": "(.*)", "{id}": "([^/]*)", "{file}": "([^/]*)"}


@dataclass(frozen=True, slots=True)
class Route:
    """A path template and what serves it, by method. Whatever takes GET takes HEAD."""

    path: str
    methods: Mapping[str, Handler]
    pattern: re.Pattern[str] | None = field(init=False)

    def __post_init__(self) -> None:
        pattern = None
        for name, part in _PARTS.items():
            if name in self.path:
                head, tail = self.path.split(name)
                pattern = re.compile(re.escape(head) + part + re.escape(tail), re.DOTALL)
        object.__setattr__(self, "pattern", pattern)

    def handler(self, method: str) -> Handler | None:
        """What serves a method here."""
        return self.methods.get("GET" if method == "HEAD" else method)


class Found(NamedTuple):
    """A route, and what the path names, decoded."""

    route: Route
    handler: Handler
    place: str | None


class Table:
    """Routes, and the way to them."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._plain: dict[str, list[Route]] = {}
        for route in routes:
            if route.pattern is None:
                self._plain.setdefault(route.path, []).append(route)
        self._patterns = [(one, one.pattern) for one in routes if one.pattern is not None]

    def find(self, method: str, path: str) -> Found:
        """The route of a request. NoSuchRoute, or MethodNotAllowed with what is allowed."""
        fitting = self._fitting(path)
        for route, place in fitting:
            if (handler := route.handler(method)) is not None:
                return Found(route, handler, None if place is None else targets.decode(place))
        if not fitting:
            raise NoSuchRoute(f"nothing is served at {shown(path)}; / lists what is")
        raise MethodNotAllowed(
            f"{shown(path)} is not served by {shown(method)}", {"Allow": self._allow(fitting)}
        )

    def allowed(self, path: str) -> str:
        """The methods of a path, as `Allow` lists them; nothing where it is not served."""
        return self._allow(self._fitting(path))

    def _fitting(self, path: str) -> list[tuple[Route, str | None]]:
        fitting: list[tuple[Route, str | None]] = [
            (route, None) for route in self._plain.get(path, ())
        ]
        for route, pattern in self._patterns:
            if (found := pattern.fullmatch(path)) is not None:
                fitting.append((route, found[1]))
        return fitting

    @staticmethod
    def _allow(fitting: list[tuple[Route, str | None]]) -> str:
        methods = {method for route, _ in fitting for method in route.methods}
        if methods:
            methods |= {"OPTIONS", *(["HEAD"] if "GET" in methods else [])}
        return ", ".join(sorted(methods))
