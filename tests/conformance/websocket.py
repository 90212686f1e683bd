"""The WebSocket of a node against Autobahn's cases: `python -m tests.conformance.websocket`.

The suite itself (Autobahn|Testsuite) is of Python 2; `kosoku` runs its cases, and is not installed
with the tests: `pip install kosoku`, here or in an environment of its own, and say `--kosoku PATH`
then. The cases want an echo, which is what `echo.py` makes of a node: all but the conversation is
the node's own. Ends with 1 where a case fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conformance.echo import an_echo

WITHIN_S = 1_800
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")

# Cases at which kosoku 0.1.0 itself fails, before it connects: it hashes text.
NOT_RUN = re.compile(r"1[23]\.\d\.[123]|12\.5\.([4-9]|1[1-4])", re.ASCII)


def main() -> int:
    """Run them, and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.websocket",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", nargs="*", default=[], help="such as 1.* 12.1.1 (all of them)")
    parser.add_argument("--kosoku", default=shutil.which("kosoku"), help="where the runner is")
    told = parser.parse_args()
    if told.kosoku is None:
        print("kosoku is not installed: pip install kosoku, or say --kosoku PATH", file=sys.stderr)
        return 2
    verdicts = asyncio.run(run(told.kosoku, told.cases))
    return report(verdicts)


async def run(runner: str, cases: list[str]) -> dict[str, Any]:
    """What each case ended with, by its id."""
    wanted = [word for case in cases for word in ("-i", case)]
    with tempfile.TemporaryDirectory(prefix="tlru-websocket-") as folder:
        async with an_echo() as node:
            process = await asyncio.create_subprocess_exec(
                runner, *wanted, "-p", "2", "-o", folder, node.url
            )
            try:
                async with asyncio.timeout(WITHIN_S):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        index = json.loads((Path(folder) / "index.json").read_text())
        return {id: found for agent in index.values() for id, found in agent.items()}


def report(verdicts: dict[str, Any]) -> int:
    """Print a table by group of cases; 1 where something failed."""
    groups: dict[str, Counter[str]] = {}
    failed = []
    for id, found in verdicts.items():
        both = (found["behavior"], found["behaviorClose"])
        counts = groups.setdefault(id.split(".")[0], Counter())
        if all(each in GOOD for each in both):
            counts[found["behavior"]] += 1
        elif both[0] == "ERROR" and NOT_RUN.fullmatch(id):
            counts["not run"] += 1
        else:
            counts["FAILED"] += 1
            failed.append(f"{id}: {', '.join(both)}")
    names = [*GOOD, "not run", "FAILED"]
    print(f"{'cases':>8}" + "".join(f"{name:>15}" for name in names))
    for group in sorted(groups, key=int):
        print(f"{group + '.*':>8}" + "".join(f"{groups[group][name]:15}" for name in names))
    print("\n".join(failed))
    return 1 if any(counts["FAILED"] for counts in groups.values()) or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
