"""`tlru status`: show how the servers are doing."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from tlru.cli import say, tables
from tlru.cli.commands import Command
from tlru.cli.exits import Exit, exit_for
from tlru.cli.one_server import look_at
from tlru.cli.target import Target, client_command
from tlru.config import show_size
from tlru.errors import TlruError

Facts = dict[str, Any]  # Any: what a node says of itself, which may be more than we know

SERVING = "active"


@click.command(
    "status",
    cls=Command,
    examples=[
        "tlru status",
        "tlru status --server a:8400 --server b:8400 --server c:8400",
        "tlru status --json | jq .keys",
    ],
)
@client_command
async def command(target: Target, /) -> Exit:
    """Show how every server that is named is doing, and one named cache on it.

    Each is asked by itself, over a connection of its own. Where one cannot be reached, or does not
    serve, its row says why and the exit status is 5.
    """
    answers = await asyncio.gather(*(_ask(target, server) for server in target.servers))
    if target.json:
        for server, answer in zip(target.servers, answers, strict=True):
            say.json_line({"server": server, **_plain(answer)})
    elif len(answers) == 1:
        _one(target.servers[0], answers[0])
    else:
        _many(target.servers, answers)
    worst = max((exit_for(one) for one in answers if isinstance(one, TlruError)), default=Exit.OK)
    serving = all(one.get("status") == SERVING for one in answers if isinstance(one, dict))
    return max(worst, Exit.OK if serving else Exit.UNAVAILABLE)


async def _ask(target: Target, server: str) -> Facts | TlruError:
    try:
        return await look_at(target, server)
    except TlruError as problem:
        return problem


def _plain(answer: Facts | TlruError) -> Facts:
    return {"error": answer.to_wire()} if isinstance(answer, TlruError) else answer


def _one(server: str, answer: Facts | TlruError) -> None:
    if isinstance(answer, TlruError):
        say.word(str(answer))
        return
    rows = [(name, text) for name, text in _page(answer) if text]
    tables.show(["server", server], rows)


def _page(facts: Facts) -> list[tuple[str, str]]:
    labels = facts.get("labels") or {}
    where = ", ".join(str(facts[name]) for name in ("region", "zone") if facts.get(name))
    return [
        ("node", f"{facts.get('node')} ({facts.get('status')}, {_role(facts)})"),
        ("where", where),
        ("labels", ", ".join(f"{name}={word}" for name, word in labels.items())),
        ("addresses", ", ".join(facts.get("addresses") or ())),
        ("release", f"{facts.get('release')}, process {facts.get('pid')} on {facts.get('host')}"),
        ("up", uptime(facts)),
        ("round trip", f"{facts['round_trip_ms']} ms"),
        ("clients", _number(facts.get("connections"))),
        ("requests", _rates(facts)),
        ("cache", str(facts.get("cache"))),
        ("keys", _of(_number(facts.get("keys")), _number(facts.get("max_entries")))),
        ("memory", _of(_size(facts.get("bytes")), _size(facts.get("max_bytes")))),
        ("position", f"{_number(facts.get('pos'))} in epoch {facts.get('epoch')}"),
    ]


def _many(servers: tuple[str, ...], answers: list[Facts | TlruError]) -> None:
    head = ["server", "node", "status", "role", "keys", "memory", "clients", "ms", "up"]
    rows = [
        # As one would type it: ws:// goes without saying, and 80 columns are not many.
        [
            server.removeprefix("ws://"),
            *(_row(one) if isinstance(one, dict) else ["", str(one.code), *[""] * 6]),
        ]
        for server, one in zip(servers, answers, strict=True)
    ]
    tables.show(head, rows, right={"keys", "memory", "clients", "ms"})
    for one in answers:
        if isinstance(one, TlruError):
            say.word(str(one))


def _row(facts: Facts) -> list[str]:
    return [
        str(facts.get("node", "")),
        str(facts.get("status", "")),
        _role(facts),
        _number(facts.get("keys")),
        _size(facts.get("bytes")),
        _number(facts.get("connections")),
        str(facts["round_trip_ms"]),
        uptime(facts),
    ]


def _role(facts: Facts) -> str:
    return "leads" if facts.get("leads") else str(facts.get("role", ""))


def _rates(facts: Facts) -> str:
    rates = facts.get("rates") or {}
    told = [f"{_number(rates.get('ops_per_s'))} a second"]
    if rates.get("errors_per_s"):
        told.append(f"{_number(rates['errors_per_s'])} refused")
    if isinstance(ratio := rates.get("hit_ratio"), float):
        told.append(f"{ratio:.1%} hits")
    return ", ".join(told)


def uptime(facts: Facts) -> str:
    """In the two largest units, as 3d4h: more would be noise."""
    seconds = int(facts.get("uptime_s") or 0)
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def _of(used: str, most: str) -> str:
    return f"{used} of {most}" if most else used


def _number(found: object) -> str:
    return f"{found:,}" if isinstance(found, (int, float)) else ""


def _size(found: object) -> str:
    """About how much, in the unit that fits."""
    if not isinstance(found, int):
        return ""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if found >= size:
            return f"{found / size:.1f}".removesuffix(".0") + unit
    return show_size(found) if found == 0 else f"{found}B"
