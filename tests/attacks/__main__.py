"""Attack a node while another client measures: `python -m tests.attacks [name ...]`.

Three processes: the node, on a core of its own; the attacker, and the quiet client (this one),
which goes first, on another. Peace and attack take turns, `--rounds` times: each round's p99 is
compared with that of the peace around it, and what counts is the middle one of the rounds.
The attacks are so many a second that neither core is full: beyond that it would be the machine's
end that is measured, which the flood test is about. The attacker has a token of the class `bulk`,
the quiet client one of `default`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Sequence

from tests.attacks import bombs, bounds, floods, intruders, slow
from tests.attacks.measuring import (
    CLIENTS_CORE,
    GROWTH_BYTES_MAX,
    RATIO_MAX,
    Found,
    be_first,
    measure,
)
from tests.attacks.target import Attack, Target, carry_out
from tests.benchmarks.flood import Tally

ATTACKS: dict[str, Attack] = {
    **slow.ATTACKS,
    **floods.ATTACKS,
    **bombs.ATTACKS,
    **bounds.ATTACKS,
    **intruders.ATTACKS,
}
MIB = 1 << 20


def middle_ms(tallies: Sequence[Tally]) -> float:
    """The middle one of their p99."""
    return statistics.median(each.p(0.99) for each in tallies) * 1000


def row(name: str, found: Found) -> str:
    """A line of the table."""
    common = found.answers.most_common(4)
    answers = ", ".join(f"{count:,} x {what}" for what, count in common) or "nothing"
    verdict = "" if found.good else "  MISSED"
    spread = f"{min(found.ratios):.2f}-{max(found.ratios):.2f}"
    return (
        f"{name:<20}{middle_ms(found.quiet):>9.2f}{middle_ms(found.during):>8.2f}"
        f"{found.ratio:>7.2f}{spread:>12}{100 * found.load:>6.0f}%"
        f"{found.grown / MIB:>9.1f}{found.creep / MIB:>7.1f}{found.left:>5}  {answers}{verdict}"
    )


async def run(names: list[str], seconds: float, rounds: int) -> bool:
    """Print the table; whether all goals are met."""
    print(
        f"{'attack':<20}{'quiet p99':>9}{'p99 ms':>8}{'ratio':>7}{'from-to':>12}"
        f"{'core':>7}{'MiB more':>9}{'creep':>7}{'fds':>5}  heard"
    )
    good = True
    for name in names:
        found = await measure(name, seconds, rounds)
        good &= found.good
        print(row(name, found), flush=True)
    print(f"goals: ratio <= {RATIO_MAX:g}, all answered, <= {GROWTH_BYTES_MAX >> 20} MiB, 0 fds")
    return good


def attack(args: argparse.Namespace) -> None:
    """Be the attacker: say that it is so far, wait for the word, and tell what was heard."""
    print("ready", flush=True)
    sys.stdin.readline()
    target = Target(args.port, args.token, args.seconds, args.mesh)
    print(json.dumps(asyncio.run(carry_out(ATTACKS[args.names[0]], target))))


def main() -> int:
    """Attack with all, or with those that are named; or be the attacker."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="attack", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=2.0, help="of peace, and of each attack")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--first",
        action="store_true",
        help="go before whatever else the machine does, which needs to be root",
    )
    parser.add_argument("--port", type=int, help="be the attacker of the node there")
    parser.add_argument("--mesh", type=int, default=0, help="where its peers reach it")
    parser.add_argument("--token", default="", help="that the attacker has")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in ATTACKS]:
        parser.error(f"no such attack: {unknown[0]!r}; there are {', '.join(ATTACKS)}")
    os.sched_setaffinity(0, {CLIENTS_CORE})
    if args.port is not None:
        attack(args)
        return 0
    if args.first:
        be_first()
    names = args.names or list(ATTACKS)
    return 0 if asyncio.run(run(names, args.seconds, args.rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())
