"""`tlru doctor`: what is wrong with a cluster that runs, how bad that is, and what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import click

from tlru.cli import doctor_cluster, doctor_node, doctor_strain, say
from tlru.cli.commands import Command
from tlru.cli.doctor_findings import Finding, Severity, counted, in_order
from tlru.cli.doctor_visit import Round, go_round
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts
from tlru.cli.target import Target, client_command, complete

AGAIN_S: Final = 1.5  # what passes by itself has passed by then: an election, a late message
WIDTH: Final = 100
WIDTH_MIN: Final = 40
_COLOURS: Final = {Severity.BROKEN: "31", Severity.AT_RISK: "33", Severity.ADVICE: "36"}


@click.command(
    "doctor",
    cls=Command,
    examples=[
        "tlru doctor",
        "tlru doctor cache-1:8400 cache-2:8400",
        "tlru doctor --json | jq '.findings[] | select(.severity == \"broken\")'",
    ],
)
@click.argument("urls", nargs=-1, metavar="[URL]...")
@client_command
async def command(target: Target, /, urls: tuple[str, ...]) -> Exit:
    """Look at a running cluster, and say what is wrong, how bad it is, and what to do.

    One server is enough: it says who the members are, and each is asked by itself. What may pass in
    a moment is looked at twice. BROKEN does not work, AT RISK works and may not for long, ADVICE
    could be better. The exit status is 0 where nothing is broken or at risk, 1 where something is,
    and 5 where nobody could be reached.
    """
    if urls:
        target = replace(target, servers=tuple(complete(url) for url in urls))
    found = await go_round(target)
    findings = _judge(target, found)
    if any(one.passing for one in findings):
        await asyncio.sleep(AGAIN_S)
        found = await go_round(target)
        findings = _judge(target, found)
    if target.json:
        say.json_line({**_summary(found), "findings": [one.told() for one in findings]})
    else:
        _show(found, findings)
    worst = max((one.severity for one in findings), default=Severity.ADVICE)
    return Exit.OK if worst is Severity.ADVICE else Exit.WRONG


def _judge(target: Target, found: Round) -> list[Finding]:
    now_s = time.time()
    return in_order(
        (
            *doctor_cluster.judge(found),
            *doctor_node.judge(found, now_s),
            *doctor_strain.judge(found, now_s),
            *doctor_node.judge_bearer(target.bearer, now_s),
        )
    )


def _summary(found: Round) -> Facts:
    count, serving, needed = doctor_cluster.majority_of(found)
    answering = found.answering
    leaders = found.leaders
    return {
        "members": sorted(found.members),
        "answering": sorted(answering),
        "leader": next(iter(leaders)) if len(leaders) == 1 else None,
        "voters": count,
        "serving": serving,
        "may_fail": max(0, serving - needed),
    }


def _show(found: Round, findings: Sequence[Finding]) -> None:
    summary = _summary(found)
    leader = summary["leader"]
    print(
        say.one_line(
            f"{counted(len(found.members), 'member')}, {len(summary['answering'])} of which "
            f"answer here; {leader or 'nobody'} leads; {summary['may_fail']} more of "
            f"{counted(summary['voters'], 'voter')} may fail"
        )
    )
    for finding in findings:
        print()
        _show_one(finding)
    bad = sum(one.severity > Severity.ADVICE for one in findings)
    print()
    if bad:
        things = "thing is" if bad == 1 else "things are"
        print(f"{bad} {things} wrong")
    else:
        print("nothing is wrong")


def _show_one(finding: Finding) -> None:
    word = finding.severity.word.upper()
    said = _folded(f"{word}  {finding.about or 'the cluster'}: {finding.said}", "")
    if _coloured():
        said = f"\x1b[1;{_COLOURS[finding.severity]}m{word}\x1b[0m{said.removeprefix(word)}"
    print(said)
    print(_folded(f"{finding.do[:1].upper()}{finding.do[1:]}.", "  "))


def _folded(line: str, start: str) -> str:
    """For a terminal as wide as it is; in a pipe nothing is folded."""
    shown = start + say.one_line(line)
    if not sys.stdout.isatty():
        return shown
    width = max(WIDTH_MIN, min(shutil.get_terminal_size().columns, WIDTH))
    return textwrap.fill(shown, width, subsequent_indent="  ", break_long_words=False)


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
