"""What each figure of a node's health means: which bound it has, and what to do beyond it.

Pure: figures go in, checks come out. Each says which purposes it decides; one that decides none is
told and sends nobody away, because it would send everybody away from all nodes at once and help
none of them: a disk that fills is a person's business while there still is time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

READ: Final = "read"
WRITE: Final = "write"
PURPOSES: Final = (READ, WRITE)

PROBE_WITHIN_S: Final = 1.0
LOOP_LAG_MAX_MS: Final = 500.0
LAG_MAX: Final = 20_000  # entries: some tenths of a second of the writes that a node can apply
CLOCK_ERROR_MAX_MS: Final = 1_000  # lives are judged by this clock
ROOM_MIN_BYTES: Final = 512 << 20  # for a few segments of the log, and a snapshot being written

_BOTH: Final = frozenset(PURPOSES)
_WRITES: Final = frozenset((WRITE,))


@dataclass(frozen=True, slots=True)
class Check:
    """One check: whether it went well, its figure and bound, and if not, what to do."""

    name: str
    ok: bool
    figures: dict[str, Any]  # Any: numbers and words, as they are told
    problem: str = ""
    do: str = ""
    decides: frozenset[str] = field(default=_BOTH)

    def told(self) -> dict[str, Any]:
        """As it stands in an answer."""
        found: dict[str, Any] = {"ok": self.ok, **self.figures}
        if not self.ok:
            found |= {"problem": self.problem, "do": self.do}
        return found


def loop_lag(ms: float) -> Check:
    """How late the process gets round to what it has to do."""
    return Check(
        "loop_lag",
        ms < LOOP_LAG_MAX_MS,
        {"ms": round(ms, 1), "most_ms": LOOP_LAG_MAX_MS},
        "the process gets round to its work too late",
        "it has more to do than its processor can: look for other programs on the machine, give "
        "it more, or move clients to other nodes (tlru node rebalance)",
    )


def probe(cache: str, ms: float, problem: str) -> Check:
    """A write through the log, read back."""
    return Check(
        f"probe_{cache}",
        not problem,
        {"ms": round(ms, 2), "most_ms": PROBE_WITHIN_S * 1_000},
        problem,
        "see whether a majority of the voters is there (tlru doctor), and whether disks and "
        "network keep up",
        _WRITES,
    )


def lag(cache: str, entries: int | None, problem: str = "") -> Check:
    """How much the leader has committed that this node has not applied yet."""
    behind = entries is None or entries > LAG_MAX
    return Check(
        f"lag_{cache}",
        not behind,
        {"entries": entries, "most": LAG_MAX},
        problem or "this node is too far behind the leader",
        "it catches up by itself where its processor and its link allow; if it does not, look at "
        "both"
        if not problem
        else "see whether a majority of the voters is there, and reaches this node (tlru doctor)",
    )


def digest(cache: str, pos: int, value: int, *, agrees: bool) -> Check:
    """Whether what the node holds is what the majority holds."""
    return Check(
        f"digest_{cache}",
        agrees,
        {"pos": pos, "value": f"{value:016x}"},
        "what this node holds is not what the majority holds",
        "it takes the majority's state by itself; if that does not end, tlru node restore, and "
        "look at the machine's memory and disk",
    )


def clock_error(cache: str, ms: int) -> Check:
    """How far the cluster's time may be ahead of what this node thinks."""
    return Check(
        f"clock_error_{cache}",
        ms <= CLOCK_ERROR_MAX_MS,
        {"ms": ms, "most_ms": CLOCK_ERROR_MAX_MS},
        "this node does not know the cluster's time well enough to judge lives by it",
        "look at its link with the leader, and at what keeps the machine's clock (NTP)",
        _WRITES,
    )


def disk(trouble: str) -> Check:
    """Whether what is to be kept can be kept."""
    return Check(
        "disk",
        not trouble,
        {},
        trouble,
        "make room on the disk, or mend it; the node goes on by itself",
        _WRITES,
    )


def room(free: int | None) -> Check:
    """How much room the disk has left. It decides nothing: see above."""
    return Check(
        "disk_room",
        free is not None and free >= ROOM_MIN_BYTES,
        {"free_bytes": free, "least_bytes": ROOM_MIN_BYTES},
        "the disk does not say how much room it has" if free is None else "the disk is nearly full",
        "make room before writes are refused",
        frozenset(),
    )
