"""Node.js for tests: found, equipped once, and run on a test file."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
STAMP = MODULES / ".tlru-installed"
EQUIP_WITHIN_S = 100
RUN_WITHIN_S = 80


def node() -> str:
    """The program. A machine without it cannot show that the client works, so that is a failure."""
    found = shutil.which("node")
    assert found, "Node.js is missing: apt-get install nodejs npm"
    return found


def equip() -> None:
    """Install what the tests of the client need, unless that has been done."""
    wanted = (HERE / "package-lock.json").read_text()
    MODULES.mkdir(exist_ok=True)
    with (HERE / "node_modules.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if STAMP.exists() and STAMP.read_text() == wanted:
            return
        npm = shutil.which("npm")
        assert npm, "npm is missing: apt-get install npm"
        command = [npm, "ci", "--no-progress", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=HERE, capture_output=True, text=True, timeout=EQUIP_WITHIN_S, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        STAMP.write_text(wanted)


async def run_tests(file: str, told: Mapping[str, Any] | None = None) -> str:
    """Run one file of Node.js tests, and fail as it fails; what it said. `told` reaches it as JSON
    in `TLRU_TOLD`."""
    equip()
    env = {**os.environ, "TLRU_TOLD": json.dumps(told or {})}
    env.pop("NODE_OPTIONS", None)
    process = await asyncio.create_subprocess_exec(
        *(node(), "--test", "--test-reporter=spec", str(HERE / file)),
        cwd=HERE,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode(errors="replace")
    assert process.returncode == 0, text
    assert "pass 0" not in text, "a file without tests shows nothing"
    return text
