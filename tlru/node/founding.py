"""Whether what a node was told of founding a cluster fits the cluster that it belongs to.

`expect` and `bootstrap` matter when a cluster is founded, and then perhaps for years not, until all
have lost what they kept. What they say then must not be what was true once. Decides what does not
fit, and when the log is told of it.

That a cluster has grown is no misfit by itself: it takes more than half of its voters to found one
of the same size anew, and as long as so many are expected, no two can come of it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

logger = logging.getLogger(__name__)

LASTS_S: Final = 10.0  # a member that is replaced is away for a moment
IDS_TOLD: Final = 8


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit. `splits`: two clusters could come of one."""

    said: str
    splits: bool = False

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {"said": self.said, "splits": self.splits}


def misfit(
    bootstrap: Collection[str], expect: int, members: Sequence[dict[str, Any]]
) -> Misfit | None:
    """What of the options does not fit these members; None where nothing was said, or it fits."""
    founders, option = len(bootstrap) or expect, "bootstrap" if bootstrap else "expect"
    ids = sorted(str(member["id"]) for member in members)
    if not founders or not ids:
        return None
    if strangers := sorted(set(bootstrap) - set(ids)):
        return Misfit(
            f"`bootstrap` names {_listed(strangers)}, and the cluster that it belongs to has "
            f"{_listed(ids)}"
        )
    voters = sum(member["role"] == "voter" for member in members)
    if founders * 2 <= voters:
        return Misfit(
            f"`{option}` has {founders} of {voters} voters found a cluster, which is no majority: "
            "if all lose what they keep, two clusters can come of them",
            splits=True,
        )
    if founders > len(ids):
        return Misfit(
            f"`{option}` has {founders} nodes found a cluster, and the one that it belongs to has "
            f"{len(ids)} ({_listed(ids)})"
        )
    return None


def _listed(ids: Sequence[str]) -> str:
    more = len(ids) - IDS_TOLD
    return ", ".join(ids[:IDS_TOLD]) + (f" and {more} more" if more > 0 else "")


class FoundingWatch:
    """Tells the log of a misfit that lasts, once."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._found: Misfit | None = None
        self._since_s = 0.0
        self._told = False

    def look(self, found: Misfit | None, now_s: float) -> None:
        """Take up what does not fit at the moment."""
        if found != self._found:
            self._found, self._since_s, self._told = found, now_s, False
        if found is None or self._told or now_s < self._since_s + LASTS_S:
            return
        self._told = True
        logger.warning(
            "node %s: %s; correct it before it matters (docs/cluster.md)", self._node, found.said
        )
