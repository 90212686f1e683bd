"""What is wrong with a cluster as a whole: who is away, who disagrees, what it could not bear.

Pure: what was found out goes in, findings come out.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from tlru.cli.doctor_findings import Finding, Severity, counted, lasting, listed
from tlru.cli.doctor_visit import Round, Visit

WALLS_APART_S: Final = 2.0  # of the wall clocks of two nodes; NTP keeps them within milliseconds
FEW_VOTERS: Final = 3  # with fewer no failure is survived

BROKEN, AT_RISK, ADVICE = Severity.BROKEN, Severity.AT_RISK, Severity.ADVICE


def judge(found: Round) -> Iterator[Finding]:
    """Everything about the cluster."""
    yield from _away(found)
    yield from _majority(found)
    yield from _leader(found)
    yield from _disagreements(found)
    yield from _digests(found)
    yield from _walls(found)
    yield from _places(found)
    yield from _releases(found)
    yield from _keeping(found)


def majority_of(found: Round) -> tuple[int, int, int]:
    """How many voters there are, how many take part, and how many have to."""
    count = len(found.voters)
    return count, len(found.serving_voters), count // 2 + 1


def _away(found: Round) -> Iterator[Finding]:
    for visit in found.named:
        do = "start it, or name another server; it is no member of this cluster by that address"
        yield Finding(AT_RISK, "server_away", "", f"{visit.trouble}", do, {"url": visit.url})
    for id, visit in found.visits.items():
        if visit.answered:
            if visit.id not in found.members:
                yield _no_member(visit)
            continue
        seat = found.members[id]
        silent_s = seat.get("silent_s")
        figures = {"url": visit.url, "silent_s": silent_s}
        if visit.distrusted:
            yield Finding(
                BROKEN,
                "certificate_refused",
                id,
                f"its certificate is not believed: {visit.distrusted}",
                "give it one that is good now, names its address, and is of an authority that its "
                "clients believe (docs/tls.md); here --ca says which that are",
                {"url": visit.url, "why": visit.distrusted},
            )
            continue
        if "release" in seat:  # another node has had an answer of its own from it
            yield Finding(
                AT_RISK,
                "unreachable_from_here",
                id,
                f"it answers the other nodes, and not here: {visit.trouble}",
                "look whether its address (advertise) is right, and what stands between",
                figures,
            )
            continue
        heard = "" if silent_s is None else f"; it was last heard {lasting(silent_s)} ago"
        yield Finding(
            AT_RISK,
            "away",
            id,
            f"it gives no answer: {visit.trouble}{heard}",
            "look whether its process runs, stands still or lacks processor time, and whether its "
            f"network is there; if it never comes back: tlru node remove {id}",
            figures,
        )


def _no_member(visit: Visit) -> Finding:
    return Finding(
        AT_RISK,
        "no_member",
        visit.id,
        "it answers, and is no member of the cluster that the others form",
        "look whether it was removed, or belongs to another cluster, and where `join` points",
        {"url": visit.url},
    )


def _majority(found: Round) -> Iterator[Finding]:
    count, serving, needed = majority_of(found)
    figures = {"voters": count, "serving": serving, "needed": needed}
    if serving < needed:
        yield Finding(
            BROKEN,
            "no_majority",
            "",
            f"{serving} of {count} voters take part{_who_wait(found)}, and {needed} have to: "
            "nothing can be written",
            "start those that are away; only if they are gone for good, and their data with them: "
            "tlru node revive",
            figures,
            passing=True,
        )
    elif serving < count and serving == needed:
        yield Finding(
            AT_RISK,
            "no_spare",
            "",
            f"{serving} of {count} voters take part, and {needed} have to: with one fewer nothing "
            "can be written",
            "bring back those that are away before anything is restarted",
            figures,
            passing=True,
        )
    if count == 1:
        do = f"have {FEW_VOTERS} voters, on machines of their own (docs/cluster.md)"
        said = "one node votes: while it is away, nothing is served"
        yield Finding(ADVICE, "one_voter", "", said, do, figures)
    elif count % 2 == 0:
        yield Finding(
            ADVICE,
            "even_voters",
            "",
            f"{count} vote, which bears no more failures than {count - 1} would",
            "have one voter more, or make one an observer (tlru node set ID --role observer)",
            figures,
        )


def _who_wait(found: Round) -> str:
    waiting = [id for id in found.voters if id in found.answering and id not in found.serving]
    return f" ({listed(waiting)} would, with others)" if waiting else ""


def _leader(found: Round) -> Iterator[Finding]:
    who = _groups(found.serving, lambda one: one.status.get("leader"))
    if not found.leaders:
        yield Finding(
            BROKEN,
            "no_leader",
            "",
            "nobody leads: nothing can be written",
            "see the other findings: a majority of the voters has to be there, and to hear each "
            "other; if they do, see the nodes' logs",
            {"answering": len(found.answering)},
            passing=True,
        )
    elif len(who) > 1:
        yield _differ("leaders", "on who leads", who, BROKEN, "see which links are down")


def _disagreements(found: Round) -> Iterator[Finding]:
    serving = found.serving
    look = "a node that does not follow within seconds is cut off: see its links and its log"
    wrong = "they are two clusters: see where each one's `join` points, and restore the wrong one"
    for code, about, fact, do in (
        ("epochs", "on the epoch", lambda one: one.status.get("epoch"), wrong),
        ("terms", "on the term", lambda one: one.status.get("term"), look),
        ("levels", "on the feature level in force", lambda one: one.status.get("level"), look),
        ("members", "on who is a member", _ids, look),
        ("settings", "on the settings of the cluster", _settings, look),
        ("guards", "on whether clients need a token", lambda one: _setup(one, "asks_who"), _ALIKE),
        ("tls", "on whether clients speak TLS", lambda one: _setup(one, "tls"), _ALIKE),
    ):
        groups = _groups(serving, fact)
        if len(groups) > 1:
            severity = BROKEN if code == "epochs" else AT_RISK
            yield _differ(code, about, groups, severity, do)


_ALIKE: Final = "give all nodes the same configuration, and have them reload (tlru node reload)"


def _ids(visit: Visit) -> str:
    return " ".join(sorted(str(each["id"]) for each in visit.view.get("nodes", ())))


def _settings(visit: Visit) -> str:
    shared = {name: told for name, told in visit.settings.items() if name not in ("pos", "time")}
    return ", ".join(f"{name}={told}" for name, told in sorted(shared.items()))


def _setup(visit: Visit, name: str) -> object:
    return visit.status.get("setup", {}).get(name)


def _groups(visits: dict[str, Visit], fact: Callable[[Visit], object]) -> dict[object, list[str]]:
    found: defaultdict[object, list[str]] = defaultdict(list)
    for id, visit in visits.items():
        found[fact(visit)].append(id)
    return dict(found)


def _differ(
    code: str, about: str, groups: dict[object, list[str]], severity: Severity, do: str
) -> Finding:
    told = "; ".join(f"{listed(ids)}: {fact}" for fact, ids in groups.items())
    figures = {",".join(ids): fact for fact, ids in groups.items()}
    said = f"the nodes do not agree {about} ({told})"
    return Finding(severity, f"{code}_differ", "", said, do, figures, passing=True)


def _digests(found: Round) -> Iterator[Finding]:
    places: defaultdict[tuple[object, int], dict[str, list[str]]] = defaultdict(dict)
    for id, visit in found.answering.items():
        digest = visit.status.get("digest", {})
        if pos := digest.get("pos"):
            values = places[visit.status.get("epoch"), pos]
            values.setdefault(digest["value"], []).append(id)
    for (_, pos), values in places.items():
        if len(values) > 1:
            told = "; ".join(f"{listed(ids)}: {value}" for value, ids in values.items())
            yield Finding(
                BROKEN,
                "digests_differ",
                "",
                f"the nodes do not hold the same at position {pos:,} ({told})",
                "those in the minority take the majority's state by themselves; if they do not: "
                "tlru node restore, and look at their machines' memory and disks",
                {"pos": pos, **{",".join(ids): value for value, ids in values.items()}},
                passing=True,
            )


def _walls(found: Round) -> Iterator[Finding]:
    """By the nodes' middle, with this machine's own clock among them."""
    answering = found.answering
    if not answering:
        return
    middle = statistics.median([0.0, *(one.ahead_s for one in answering.values())])
    for id, visit in answering.items():
        apart = visit.ahead_s - middle
        if abs(apart) > WALLS_APART_S + visit.ahead_error_s:
            way = "ahead of" if apart > 0 else "behind"
            yield Finding(
                AT_RISK,
                "wall_clock",
                id,
                f"its wall clock is {lasting(abs(apart))} {way} the others'",
                "look at what keeps that machine's clock (NTP): lives of items do not depend on "
                "it, tokens, certificates and log lines do",
                {"ahead_s": round(apart, 3)},
            )


def _places(found: Round) -> Iterator[Finding]:
    """A zone or a region that goes away should leave a majority."""
    count, _, needed = majority_of(found)
    if count < FEW_VOTERS:
        return
    for what in ("region", "zone"):
        places = defaultdict(list)
        for id in found.voters:
            seat = found.members[id]
            place = seat.get("zone") and f"{seat.get('region', '')}/{seat['zone']}".strip("/")
            places[seat.get("region") if what == "region" else place].append(id)
        if what == "region" and len(places) == 1:
            continue  # one region is what most have, and its zones are looked at next
        for place, ids in places.items():
            if place and count - len(ids) < needed:
                yield Finding(
                    ADVICE,
                    f"one_{what}",
                    "",
                    f"{len(ids)} of {count} voters are in the {what} {place}: without it there is "
                    "no majority",
                    f"spread the voters over three {what}s, or make some in it observers",
                    {what: place, "voters": ids},
                )


def _releases(found: Round) -> Iterator[Finding]:
    answering = found.answering
    releases = _groups(answering, lambda one: one.status.get("release"))
    if len(releases) > 1:
        told = "; ".join(f"{listed(ids)}: {release}" for release, ids in releases.items())
        yield Finding(
            ADVICE,
            "releases_differ",
            "",
            f"the nodes run {len(releases)} releases ({told})",
            "finish the upgrade: replace one node after another, then tlru upgrade finalize",
            {",".join(ids): release for release, ids in releases.items()},
        )
    levels = [one.status.get("level_max", 0) for one in answering.values()]
    in_force = max((one.status.get("level", 0) for one in answering.values()), default=0)
    if len(answering) == len(found.members) and levels and min(levels) > in_force:
        yield Finding(
            ADVICE,
            "level_unused",
            "",
            f"feature level {in_force} is in force, and every node can apply {min(levels)}",
            "once nobody wants to go back to the release before: tlru upgrade finalize",
            {"level": in_force, "possible": min(levels)},
        )


def _keeping(found: Round) -> Iterator[Finding]:
    voters = [found.answering[id] for id in found.voters if id in found.answering]
    setups = [one.status.get("setup", {}) for one in voters]
    if setups and all(setup.get("keeps") is False for setup in setups):
        yield Finding(
            ADVICE,
            "nothing_kept",
            "",
            f"none of {counted(len(setups), 'voter')} that answer has a data directory: when a "
            "majority stops at once, all is gone",
            "if that matters, give the voters a data_dir (docs/disk.md)",
            {"voters": len(setups)},
        )
    never = [one.id for one in voters if _setup(one, "fsync") == "never"]
    if never:
        yield Finding(
            ADVICE,
            "fsync_never",
            "",
            f"{listed(never)} never wait for the disk: a power failure of a majority may lose what "
            "was acknowledged",
            "if that matters, set fsync to interval or always (docs/disk.md)",
            {"nodes": never},
        )
