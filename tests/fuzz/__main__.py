"""Fuzzing of all that reads bytes of others: `python -m tests.fuzz --minutes 10`.

Guided by coverage where `atheris` is installed (`pip install atheris`), by Hypothesis else, which
knows the shape of things but not what was reached. It prints what was executed, of each decoder;
a finding is printed with its bytes, and the exit status is 1. The ordinary tests run the same
decoders for a moment (`test_decoders.py`), where each finding is kept as an example.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import unguided


def main() -> int:
    """Run them, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--unguided", action="store_true", help="by Hypothesis, whatever there is")
    told = parser.parse_args()
    began = time.monotonic()
    if told.unguided or importlib.util.find_spec("atheris") is None:
        how, counts, finding = "Hypothesis", *unguided.run(told.minutes * 60)
    else:
        how, counts, finding = "atheris", *guided(told.minutes * 60)
    print(f"\n{how}, {(time.monotonic() - began) / 60:.1f} minutes")
    print(f"{'decoder':24} {'executed':>12} {'taken':>12}")
    for name, (executed, taken) in counts.items():
        print(f"{name:24} {executed:12,} {taken:12,}")
    print(f"{'all':24} {sum(each[0] for each in counts.values()):12,}")
    print(finding or "nothing found")
    return 1 if finding else 0


def guided(seconds: float) -> tuple[dict[str, tuple[int, int]], str]:
    """In a process of its own: libFuzzer ends the process that it runs in."""
    with tempfile.TemporaryDirectory(prefix="tlru-fuzz-") as folder:
        counts = Path(folder) / "counts.json"
        command = [sys.executable, "-m", "tests.fuzz.guided", folder, str(round(seconds))]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        lines = done.stderr.splitlines()
        said = [line for line in lines if line.startswith(("stat::", "#"))]
        print("\n".join(said[-8:]))
        found = json.loads(counts.read_text()) if counts.exists() else {}
        kept = [each.read_bytes().hex() for each in Path(folder).glob("finding-*")]
        finding = "" if done.returncode == 0 and not kept else "\n".join([*lines[-60:], *kept])
        return {name: (each[0], each[1]) for name, each in found.items()}, finding


if __name__ == "__main__":
    sys.exit(main())
