"""`tlru node list`: the nodes of a cluster, each by its own word."""

from __future__ import annotations

from typing import Any

import click

from tlru.cli import say, tables
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts, ask
from tlru.cli.target import Target, client_command


@click.command(
    "list",
    cls=Command,
    short_help="List nodes, with what each says of itself.",
    examples=[
        "tlru node list",
        "tlru node list --server cache-2:8400",
        "tlru node list --json | jq '.nodes[] | select(.status != \"active\").id'",
    ],
)
@client_command
async def listing(target: Target, /) -> Exit:
    """List the nodes of a cluster, each with what it says of itself.

    LAG is how many entries a node has yet to apply, MS the round trip between it and the one that
    leads. A node that gives no answer is silent, and for how long; the log may still hear one that
    is unknown.
    """
    told = await ask(target, "GET", "/v1/nodes")
    if target.json:
        say.json_line(told)
        return Exit.OK
    rows = told["nodes"]
    head = ["id", "status", "role", "priority", "region", "lag", "ms", "release", "address"]
    shown = [_row(each, told["leader"]) for each in rows]
    if not any(each.get("region") for each in rows):
        at = head.index("region")
        for row in (head, *shown):
            del row[at]
    tables.show(head, shown, right={"priority", "lag", "ms"})
    for each in rows:
        for words in (*([each["why"]] if each.get("why") else []), *each.get("alarms", ())):
            say.word(f"{each['id']}: {words}")
    return Exit.OK


def _row(facts: Facts, leader: str | None) -> list[str]:
    addresses = facts.get("addresses") or [""]
    return [
        str(facts["id"]),
        _status(facts),
        "leads" if facts["id"] == leader else str(facts.get("role", "")),
        str(facts.get("priority", "")),
        str(facts.get("region", "")),
        "" if "lag" not in facts else f"{facts['lag']:,}",
        _round_trip(facts, leader),
        str(facts.get("release") or ""),
        # As one would type it: ws:// and /ws go without saying.
        addresses[0].removeprefix("ws://").removesuffix("/ws"),
    ]


def _status(facts: Facts) -> str:
    silent_s = facts.get("silent_s")
    if facts["status"] != "silent":
        return str(facts["status"])
    return "silent" if silent_s is None else f"silent {_seconds(silent_s)}"


def _seconds(seconds: float) -> str:
    """In the two largest units, as 3d4h."""
    from tlru.cli.status import uptime

    return uptime({"uptime_s": seconds})


def _round_trip(facts: Facts, leader: str | None) -> str:
    links: list[dict[str, Any]] = facts.get("links") or []
    found = next((each["round_trip_ms"] for each in links if each["to"] == leader), None)
    return "" if found is None else f"{found:.1f}"
