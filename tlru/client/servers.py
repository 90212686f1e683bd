"""Which server next.

Pure. The addresses that the program named come first, in their order, then those that the cluster
told of. A failure moves on to the next one; after the last comes the first again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tlru.client.settings import complete_url
from tlru.errors import REFUSING_STATUSES, BadRequest

LEARNED_MAX = 64  # servers that a cluster may add to the list


class Servers:
    """The servers known, and the one whose turn it is."""

    def __init__(self, urls: Iterable[str], cache: str) -> None:
        self._named = tuple(urls)
        self._learned: tuple[str, ...] = ()
        self._cache = cache
        self._at = self._named[0]
        self.problems: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._all())

    def current(self) -> str:
        """The address to try now."""
        return self._at

    def move_on(self) -> None:
        """Try the next one from now on."""
        every = self._all()
        at = every.index(self._at) if self._at in every else -1
        self._at = every[(at + 1) % len(every)]

    def failed(self, url: str, problem: str) -> None:
        """Note why an address was of no use, and move on."""
        self.problems[url] = problem
        if url == self._at:
            self.move_on()

    def worked(self, url: str) -> None:
        """An address is of use: what was wrong anywhere is old news."""
        self._at = url
        self.problems.clear()

    def all_failed(self) -> bool:
        """Whether every server has been tried, in vain, since one was last of use."""
        return all(url in self.problems for url in self._all())

    def learn(self, servers: Any) -> None:
        """Take up a cluster's list, `[{"url", "status", ...}]`; what is of no use in it is left."""
        found: dict[str, None] = {}
        for server in servers if isinstance(servers, list) else ():
            if len(found) < LEARNED_MAX and (url := self._usable(server)) is not None:
                found[url] = None
        if found:
            self._learned = tuple(url for url in found if url not in self._named)
            known = {*self._all(), self._at}
            self.problems = {url: told for url, told in self.problems.items() if url in known}

    def told(self) -> str:
        """What is wrong with each, for a message to the user."""
        if not self.problems:
            return f"{self._at}: not connected yet"
        return "; ".join(f"{url}: {problem}" for url, problem in self.problems.items())

    def _usable(self, server: Any) -> str | None:
        if not isinstance(server, dict) or server.get("status") in REFUSING_STATUSES:
            return None
        try:
            return complete_url(server["url"], self._cache)
        except (BadRequest, KeyError, AttributeError, TypeError):
            return None

    def _all(self) -> tuple[str, ...]:
        return self._named + self._learned
