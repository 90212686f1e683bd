"""What somebody may do: rights by prefix, and the class whose share of the node they take.

Pure. Where a grant comes from (a token, or nothing at all) is decided elsewhere; whoever carries
out a request asks it.

Invariant: an answer never depends on what is in the cache, so a refusal gives nothing away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_CLASS: Final = "default"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one bearer may do. A right holds for everything that begins with one of its prefixes."""

    name: str  # who it is, for logs; never the token
    client_class: str = DEFAULT_CLASS
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    admin: bool = False
    expires: float | None = None  # by the wall clock, in seconds since 1970
    token_id: str = ""  # by which its token can be revoked, where the token names one
    token_hash: str = field(default="", repr=False)  # and by which it always can
    key: str = field(default="", repr=False)  # what its signature was checked with

    def told(self) -> dict[str, Any]:
        """As `hello` tells it."""
        return {
            "read": list(self.read),
            "write": list(self.write),
            "subscribe": list(self.subscribe),
            "publish": list(self.publish),
            "admin": self.admin,
        }


def within(prefixes: tuple[str, ...], wanted: str) -> bool:
    """Whether all that begins with `wanted` lies within one of the prefixes."""
    return wanted.startswith(prefixes)


# Who has not said who it is, where that is asked.
NOBODY: Final = Grant("nobody", client_class="nobody")

# Without authentication everybody may do everything.
EVERYTHING: Final = Grant(
    "anybody", read=("",), write=("",), subscribe=("",), publish=("",), admin=True
)
