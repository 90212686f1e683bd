"""Who asks a node something: a WebSocket session or an HTTP request.

This module decides nothing. The service answers an `Asker` by the number that the asker gave its
request, at once or much later, and never needs to know how the answer travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from peers.core.entry import Dot
from tlru.errors import TlruError


class Asker(Protocol):
    """Whoever wants an answer."""

    waiting: dict[Dot, str]
    """Locks that it waits for, by the dot of the request; given up when it goes."""

    push_bytes: int
    """The largest message that it takes."""

    waits: int
    """How many of its requests wait for something."""

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        """Hear that a request succeeded. None is a request that wants no answer.

        The fields are the asker's from now on."""

    def reply_alike(self, requests: Sequence[int | None], fields: dict[str, Any]) -> None:
        """Hear that several requests succeeded, all with the same reply."""

    def refuse(self, request: int | None, error: TlruError) -> None:
        """Hear that a request failed."""

    def hurry(self) -> None:
        """Have what was heard leave now: the node has something else to do first."""


class OneByOne:
    """An asker to whom it is nothing special that several replies are alike."""

    def reply(self, request: int | None, fields: dict[str, Any]) -> None:
        """Hear that a request succeeded."""
        raise NotImplementedError

    def reply_alike(self, requests: Sequence[int | None], fields: dict[str, Any]) -> None:
        """Hear it of each of them."""
        for request in requests:
            self.reply(request, dict(fields))

    def hurry(self) -> None:
        """What it hears goes nowhere, or leaves by itself."""
