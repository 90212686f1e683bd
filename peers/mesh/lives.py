"""Which processes have been met: copies of a state directory are told from nodes that came back.

Pure. Every start of a node raises its incarnation, which is on disk before anything leaves the
process. So a process with an earlier one than is known, or with the same and something else drawn
at its start, runs on a copy of a directory: it is refused.

Invariant: what is remembered is bounded; the oldest is forgotten first.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from peers.errors import LinkError
from peers.mesh.ends import Close
from peers.mesh.greeting import Greeting

LIVES_MAX: Final = 1024


class Life(NamedTuple):
    """One process of a node."""

    incarnation: int
    nonce: str


class Lives:
    """The newest life of each birth that was met."""

    def __init__(self, node: str, birth: str) -> None:
        self._node, self._birth = node, birth
        self._met: dict[str, Life] = {}
        self._copies: dict[str, str] = {}  # the nonce of the last copy of each birth

    def judge(self, said: Greeting) -> LinkError | None:
        """Whether this process may be linked with, as far as its life goes."""
        if said.birth == self._birth:
            return _copy(said)
        if said.node == self._node:
            return LinkError(
                Close.REFUSED, f"two nodes are called {said.node}: give one of them another id"
            )
        known = self._met.get(said.birth)
        if known is None or said.incarnation > known.incarnation or said.nonce == known.nonce:
            return None
        # One directory has one process at a time: an earlier start is that of an older copy.
        return _copy(said)

    def met(self, said: Greeting) -> None:
        """This one was let in."""
        _remember(self._met, said.birth, Life(said.incarnation, said.nonce))

    def is_news(self, copy: Greeting) -> bool:
        """Whether this copy was not the last one of its birth that was asked about."""
        known = self._copies.get(copy.birth)
        _remember(self._copies, copy.birth, copy.nonce)
        return known != copy.nonce


def _remember(memory: dict[str, Any], birth: str, what: Any) -> None:
    memory.pop(birth, None)
    if len(memory) >= LIVES_MAX:
        del memory[next(iter(memory))]
    memory[birth] = what


def _copy(said: Greeting) -> LinkError:
    return LinkError(
        Close.COPY, f"two processes of {said.node} run on copies of one state directory: stop one"
    )
