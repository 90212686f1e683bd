"""What is wrong with how a node fares: more to do than it can do, backups that fail or are old, and
what it was told of founding a cluster.

Pure: what was found out goes in, findings come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tlru.cli.doctor_findings import Finding, Severity, lasting, listed
from tlru.cli.doctor_visit import Round, Visit

REFUSED_LATELY_S: Final = 5.0
BACKUPS_MISSED: Final = 2  # so many intervals after the newest it is old

BROKEN, AT_RISK, ADVICE = Severity.BROKEN, Severity.AT_RISK, Severity.ADVICE


def judge(found: Round, now_s: float) -> Iterator[Finding]:
    """Everything about how each node fares that answers; `now_s` since 1970."""
    for id, visit in found.answering.items():
        yield from _overload(id, visit)
        yield from _backups(id, visit, now_s)
        yield from _founding(id, visit)
    yield from _no_backups(found)


def _overload(id: str, visit: Visit) -> Iterator[Finding]:
    """What it lets in less of, from the first rank, the most important, on. That its loop was late
    for a moment is no harm where nobody was refused."""
    strain = visit.status.get("strain") or {}
    ago_s = strain.get("refused_s_ago")
    admitted = strain.get("admitted") or []
    refused = {rank: share for rank, share in enumerate(admitted) if share < 1}
    if not refused or ago_s is None or ago_s > REFUSED_LATELY_S:
        return
    told = listed(f"{share:.0%} of rank {rank}" for rank, share in refused.items())
    yield Finding(
        BROKEN if 0 in refused else AT_RISK,
        "overloaded",
        id,
        f"it has more to do than it can, and lets in {told} ({_felt(strain)})",
        "have clients ask less (`limits`: docs/limits.md), spread them (tlru node rebalance), or "
        "have more nodes or a faster one",
        {"admitted": admitted, **{name: strain.get(name) for name in _FELT}},
        passing=True,
    )


_FELT: Final[Mapping[str, str]] = {
    "lag_ms": "its loop's turns come {:g} ms late",
    "backlog": "{:.0%} of the writes that may wait do",
    "memory": "it has {:.0%} of the memory that it may",
}


def _felt(strain: Mapping[str, Any]) -> str:
    return "; ".join(words.format(strain.get(name) or 0) for name, words in _FELT.items())


def _backups(id: str, visit: Visit, now_s: float) -> Iterator[Finding]:
    said = visit.status.get("backups")
    if not said:
        return
    every_s, newest = said["every_s"], said["newest"]
    # By its own wall clock, by which it was stamped.
    age_s = None if newest is None else max(0.0, now_s + visit.ahead_s - newest / 1_000)
    age = "it has never made one" if age_s is None else f"its newest is {lasting(age_s)} old"
    figures = {"every_s": every_s, "age_s": age_s and round(age_s), "failed": said["failed"]}
    if said["trouble"]:
        yield Finding(
            AT_RISK,
            "backup_fails",
            id,
            f"{said['trouble']}; {age}",
            "look at that directory: whether it is there, has room, and may be written "
            "(docs/backup.md); it is tried again by itself",
            figures,
        )
        return
    waited_s = visit.status.get("uptime_s", 0.0) if age_s is None else age_s
    if waited_s > BACKUPS_MISSED * every_s and visit.serves:
        yield Finding(
            AT_RISK,
            "backup_old",
            id,
            f"{age}, and one is due every {lasting(every_s)}",
            "see its log for what keeps it from making them, and whether somebody takes them away "
            "from its directory (docs/backup.md)",
            figures,
        )


def _no_backups(found: Round) -> Iterator[Finding]:
    """Of those that keep anything: who keeps nothing has nothing to have back."""
    all_of_them = [one.status for one in found.answering.values()]
    keeping = sum(bool(said.get("setup", {}).get("keeps")) for said in all_of_them)
    known = all("backups" in said for said in all_of_them)  # an earlier release does not say
    if keeping and known and not any(said["backups"] for said in all_of_them):
        yield Finding(
            ADVICE,
            "no_backups",
            "",
            "what nodes hold is kept, and none makes backups: what somebody deletes by mistake is "
            "gone",
            "if that matters, set backup_dir (docs/backup.md)",
            {"keeping": keeping},
        )


def _founding(id: str, visit: Visit) -> Iterator[Finding]:
    said = (visit.status.get("setup") or {}).get("founding")
    if said:
        yield Finding(
            AT_RISK if said["splits"] else ADVICE,
            "founding",
            id,
            str(said["said"]),
            "set the option to what the cluster is by now, or leave it out: `join` is enough for a "
            "node that belongs to one (docs/cluster.md)",
            {"splits": said["splits"]},
            passing=True,
        )


def is_told_here(visit: Visit, alarm: str) -> bool:
    """Whether an alarm of a node's is told better by what stands above."""
    return alarm == (visit.status.get("backups") or {}).get("trouble")
