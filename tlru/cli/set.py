"""`tlru set`: keep a value under a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tlru.cli import items, say, values
from tlru.cli.commands import NO_BREAK, Command, Text
from tlru.cli.conditions import Condition, condition, revision, ttl_flag
from tlru.cli.exits import Exit
from tlru.cli.target import Target, client_command

if TYPE_CHECKING:
    from tlru.client import Written


@click.command(
    "set",
    cls=Command,
    examples=[
        "tlru set greeting hello --ttl 10m",
        'tlru set --type json user:7 \'{"name": "Ada"}\'',
        "tlru set --type file photo ./photo.png",
        "date | tlru set now -",
        "tlru set --if absent leader me --ttl 30s || echo taken",
        "tlru set -- celsius -7",
    ],
)
@click.argument("key", type=Text())
@click.argument("value")
@ttl_flag("How long it lives, as 30s, 5m or 1h30m. [default: forever]")
@click.option("--keep-ttl", is_flag=True, help="Leave the life that the key has as it is.")
@click.option(
    "--type",
    "kind",
    type=click.Choice([str(one) for one in values.Type]),
    metavar="TYPE",
    default=str(values.Type.STR),
    help="What VALUE is: str (text), json, int, bytes (kept as they are), or file (the path of "
    f"one). [default:{NO_BREAK}str]",
)
@click.option(
    "--if",
    "only_if",
    metavar="CONDITION",
    callback=condition,
    help="Write only if the key is absent, is present, or has this version.",
)
@click.option(
    "--rev",
    metavar="REVISION",
    callback=revision,
    help="The source's own revision; write only if the key has none as high.",
)
@client_command
async def command(
    target: Target,
    /,
    key: str,
    value: str,
    ttl: float | None,
    keep_ttl: bool,
    kind: str,
    only_if: Condition | None,
    rev: int | str | None,
) -> Exit:
    """Keep VALUE under KEY.

    VALUE is text unless --type says otherwise; - takes it from stdin, to the last byte. Where
    --if or --rev is not met, nothing is changed and the exit status is 3.
    """
    if ttl is not None and keep_ttl:
        raise click.UsageError("--ttl and --keep-ttl contradict each other; give one of them")
    packed = values.read(value, values.Type(kind))
    async with target.connect() as cache:
        written = await cache.set(key, packed, ttl=ttl, keep_ttl=keep_ttl, if_=only_if, rev=rev)
    if target.json:
        say.json_line({"key": key, **_facts(written)})
    elif not written.applied:
        say.word(_why_not(key, only_if, rev, written))
    return Exit.OK if written.applied else Exit.NOT_APPLIED


def _facts(written: Written[bytes]) -> dict[str, Any]:
    facts: dict[str, Any] = {"applied": written.applied, "version": written.version}
    if written.current is not None:
        facts["current"] = items.facts(written.current)
    return facts


def _why_not(
    key: str, only_if: Condition | None, rev: int | str | None, written: Written[bytes]
) -> str:
    there = written.current
    found = "nothing is kept there" if there is None else f"version {there.version} is there"
    if there is not None and there.rev is not None:
        found += f", of revision {there.rev!r}"
    flags = [f"--if {only_if}"] * (only_if is not None) + [f"--rev {rev}"] * (rev is not None)
    return f"{key!r} was left as it is: {' and '.join(flags)} is not met, since {found}"
