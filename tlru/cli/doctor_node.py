"""What is wrong with one node: its status, its checks, its links, its load, what guards it.

Pure: what was found out goes in, findings come out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tlru.cli.doctor_findings import Finding, Severity, counted, lasting
from tlru.cli.doctor_strain import is_told_here
from tlru.cli.doctor_visit import Round, Visit

CERTIFICATE_DAYS_RISK: Final = 7
CERTIFICATE_DAYS_ADVICE: Final = 21
BEARER_S_ADVICE: Final = 3_600
COMING_S: Final = 60.0  # a node may take so long to come up before that is a risk
CONNECTIONS_NEAR: Final = 0.9  # of those that it takes
REFUSED_NEAR: Final = 0.1  # of what is asked for
REFUSED_A_SECOND: Final = 1.0
FLAPS_MIN: Final = 5  # links that were made anew
FLAPS_AN_HOUR: Final = 12
QUEUED_BYTES: Final = 8 << 20  # that wait to leave for one other node
DAY_S: Final = 86_400

BROKEN, AT_RISK, ADVICE = Severity.BROKEN, Severity.AT_RISK, Severity.ADVICE

_STATUSES: Final[Mapping[str, str]] = {
    "starting": "wait; if it does not end, see its log, and whether it reaches the other nodes",
    "recovering": "wait while it reads its disk; if it does not end, see its log: it may have to "
    "be started again",
    "syncing": "wait while it takes the state of another; if it does not end, look at its link",
    "inconsistent": "it takes the majority's state by itself; if it does not: tlru node restore",
    "isolated": "it does not hear the leader: look at its network, and at the links below",
    "draining": "it is about to stop; start it again if that was not meant",
    "removed": "to have it back, start it with an empty data_dir (and state_dir)",
    "outdated": "start it with the release that the others run (tlru upgrade)",
}
_PASSING: Final = frozenset(("starting", "recovering", "syncing", "draining"))
# Said better elsewhere: by the status itself, and by what else fails.
_SAID_ELSEWHERE: Final = frozenset(("status", "steady"))


def judge(found: Round, now_s: float) -> Iterator[Finding]:
    """Everything about each node that answers; `now_s` since 1970."""
    for id, visit in found.answering.items():
        yield from _status(id, visit)
        yield from _checks(id, visit)
        yield from _links(id, visit, found)
        yield from _load(id, visit)
        yield from _guards(id, visit)
        yield from _certificates(id, visit, now_s)


def _status(id: str, visit: Visit) -> Iterator[Finding]:
    status, uptime_s = str(visit.status.get("status")), visit.status.get("uptime_s", 0.0)
    if status != "active":
        soon = status in _PASSING and (status != "starting" or uptime_s < COMING_S)
        yield Finding(
            AT_RISK if soon else BROKEN,
            f"status_{status}",
            id,
            f"it is {status}, and serves nothing (up for {lasting(uptime_s)})",
            _STATUSES.get(status, "see its log"),
            {"status": status, "uptime_s": uptime_s},
            passing=status in _PASSING,
        )
    for alarm in visit.status.get("alarms", ()):
        if is_told_here(visit, str(alarm)):
            continue
        do = "do what it says; its log tells when it began"
        yield Finding(BROKEN, "alarm", id, str(alarm), do, {})
    if visit.websocket:
        yield Finding(
            BROKEN,
            "websocket",
            id,
            f"it answers HTTP, and no WebSocket: {visit.websocket}",
            "look at what stands before it: a proxy has to let `Upgrade: websocket` through",
            {"url": visit.url},
        )


def _checks(id: str, visit: Visit) -> Iterator[Finding]:
    """What its own background check found, in its own words."""
    if visit.status.get("status") != "active":
        return  # all of them fail then, and for one reason
    failing = {name: check for name, check in visit.checks.items() if not check.get("ok", True)}
    alone = failing.keys() <= {"steady"}
    for name, check in failing.items():
        if name in _SAID_ELSEWHERE and not alone:
            continue
        figures = {n: f for n, f in check.items() if n not in ("ok", "problem", "do")}
        told = ", ".join(f"{n} {f}" for n, f in figures.items())
        yield Finding(
            AT_RISK if visit.ready else BROKEN,
            f"check_{name}",
            id,
            f"{check.get('problem', 'a check fails')} ({told})" if told else str(check["problem"]),
            str(check.get("do", "see its log")),
            figures,
            passing=True,
        )


def _links(id: str, visit: Visit, found: Round) -> Iterator[Finding]:
    own: dict[str, Any] = next((n for n in visit.view.get("nodes", ()) if n["id"] == id), {})
    hours = max(visit.status.get("uptime_s", 0.0) / 3_600, 1 / 60)
    for link in own.get("links", ()):
        to = str(link["to"])
        if to not in found.members:
            continue
        known = found.said_status(to) not in ("silent", "unknown")
        if link["state"] != "connected" and known:
            next_s = link.get("next_s")
            soon = "" if next_s is None else f"; it is tried again in {next_s:.0f} s"
            circuit = link.get("circuit", "closed")
            if circuit != "closed":
                soon += ", and seldom, since it has failed so often (its breaker is open)"
            yield Finding(
                AT_RISK,
                "link_down",
                id,
                f"it has no link with {to} ({link['state']}"
                + (f": {link['why']}" if link.get("why") else "")
                + f"){soon}",
                f"look at the network between them, and at the mesh address of {to} "
                f"({link.get('address') or 'none is known'})",
                {
                    "to": to,
                    "state": link["state"],
                    "next_s": next_s,
                    "circuit": circuit,
                },
                passing=True,
            )
        reconnects = link.get("reconnects", 0)
        if reconnects >= FLAPS_MIN and reconnects / hours >= FLAPS_AN_HOUR:
            yield Finding(
                AT_RISK,
                "link_flaps",
                id,
                f"its link with {to} was made anew {reconnects} times in {lasting(hours * 3_600)}",
                "look at the network between them, and whether either process stands still now "
                "and then",
                {"to": to, "reconnects": reconnects},
            )
        if (queued := link.get("queued_bytes", 0)) > QUEUED_BYTES:
            yield Finding(
                AT_RISK,
                "link_slow",
                id,
                f"{queued >> 20} MiB wait to leave for {to}",
                f"look whether {to} has too much to do, and how much the network can carry",
                {"to": to, "queued_bytes": queued},
                passing=True,
            )


def _load(id: str, visit: Visit) -> Iterator[Finding]:
    said = visit.status
    most = said.get("setup", {}).get("connections_max")
    count = said.get("connections", 0)
    if most and count >= CONNECTIONS_NEAR * most:
        yield Finding(
            AT_RISK,
            "connections",
            id,
            f"it has {count:,} of the {most:,} connections that it takes",
            "spread the clients (tlru node rebalance), have more nodes, or raise `connections`",
            {"connections": count, "most": most},
        )
    behind, all_of_them = said.get("subscriptions_behind", 0), said.get("subscriptions", 0)
    if behind:
        yield Finding(
            ADVICE,
            "slow_readers",
            id,
            f"{behind:,} of {counted(all_of_them, 'subscription')} lag behind what happens",
            "see which clients read slowly; `fold` lets them skip what is overtaken, and "
            "retained_bytes how long they may take",
            {"behind": behind, "subscriptions": all_of_them},
            passing=True,
        )
    rates = said.get("rates") or {}
    refused, asked = rates.get("errors_per_s") or 0.0, rates.get("ops_per_s") or 0.0
    if refused >= REFUSED_A_SECOND and refused >= REFUSED_NEAR * asked:
        yield Finding(
            AT_RISK,
            "refuses",
            id,
            f"it refuses {refused:g} of {asked:g} requests a second",
            "see by which code (tlru_errors_total of /metrics): `overloaded` and `rate_limited` "
            "want less asked or more nodes, others a client mended",
            {"refused_per_s": refused, "asked_per_s": asked},
            passing=True,
        )


def _guards(id: str, visit: Visit) -> Iterator[Finding]:
    setup = visit.status.get("setup", {})
    if setup.get("asks_who") is False and setup.get("loopback_only") is False:
        yield Finding(
            AT_RISK,
            "open_to_all",
            id,
            "it listens beyond this machine and asks nobody for a token: whoever reaches it may do "
            "everything",
            "have it ask (tokens_file or jwt_keys: docs/security.md), or listen on 127.0.0.1",
            {"asks_who": False, "loopback_only": False},
        )
    if setup.get("tls") is False and setup.get("loopback_only") is False:
        yield Finding(
            ADVICE,
            "no_tls",
            id,
            "it listens beyond this machine without TLS: what clients say can be read on the way",
            "give it tls_cert and tls_key (docs/tls.md), unless something before it does that",
            {"tls": False, "loopback_only": False},
        )
    if setup.get("mesh_guarded") is False and setup.get("mesh_loopback_only") is False:
        yield Finding(
            AT_RISK,
            "open_mesh",
            id,
            "other nodes need neither a secret nor a certificate to join it from elsewhere",
            "give all nodes a token, or mesh_cert, mesh_key and mesh_ca (docs/cluster.md)",
            {"mesh_guarded": False},
        )


def _certificates(id: str, visit: Visit, now_s: float) -> Iterator[Finding]:
    for option, end_ms in visit.status.get("setup", {}).get("certificates_end", {}).items():
        left_s = end_ms / 1_000 - now_s
        if left_s >= CERTIFICATE_DAYS_ADVICE * DAY_S:
            continue
        severity = AT_RISK if left_s < CERTIFICATE_DAYS_RISK * DAY_S else ADVICE
        ends = f"ends in {lasting(left_s)}" if left_s > 0 else f"ended {lasting(-left_s)} ago"
        yield Finding(
            severity if left_s > 0 else BROKEN,
            "certificate",
            id,
            f"its certificate ({option}) {ends}",
            "renew it and replace the file: it is taken up within seconds (docs/tls.md)",
            {"option": option, "left_s": round(left_s)},
        )


def judge_bearer(bearer: str | None, now_s: float) -> Iterator[Finding]:
    """The token that was shown, where it says itself when it ends."""
    end = None if bearer is None else _end_of(bearer)
    if end is not None and end - now_s < BEARER_S_ADVICE:
        yield Finding(
            ADVICE,
            "token_ends",
            "",
            f"the token that this command shows ends in {lasting(max(0.0, end - now_s))}",
            "have another made before (tlru token make, or whoever issued it)",
            {"left_s": round(end - now_s)},
        )


def _end_of(bearer: str) -> float | None:
    parts = bearer.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    end = claims.get("exp") if isinstance(claims, dict) else None
    return float(end) if isinstance(end, int | float) else None
