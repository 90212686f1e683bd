"""Run a command with the package as machine code (docs/compiled.md), compiled first if need be:

python -m tests.compiling python -m tests.benchmarks.against_clusters
python -m tests.compiling pytest -n 3 tests/engine
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parents[1]
BUILT: Final = HERE / "build" / "compiled"
STAMP: Final = BUILT / "made-of"
MADE_OF: Final = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "README.md",
    "LICENSE",
    "peers",
    "tlru",
)


def made_of() -> str:
    """A digest of all that is installed, and of how."""
    digest = hashlib.sha256(sys.version.encode())
    for name in MADE_OF:
        for path in sorted((HERE / name).rglob("*")) or [HERE / name]:
            if path.is_file() and path.parent.name != "__pycache__":
                digest.update(f"{path.relative_to(HERE)} {path.stat().st_size}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def compile_it() -> None:
    """Put the compiled package into its folder, unless it is there. Takes some minutes."""
    digest = made_of()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    print("compiling: this takes two to four minutes", file=sys.stderr, flush=True)
    shutil.rmtree(BUILT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:  # a build leaves things where it was done
        for name in MADE_OF:
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, Path(folder) / name)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-cache-dir"]
        environment = {**os.environ, "TLRU_COMPILE": "1"}
        subprocess.run([*command, "--target", BUILT, folder], env=environment, check=True)
    STAMP.write_text(digest)


def main() -> None:
    """Compile, and become the command."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    compile_it()
    # The compiled package comes before the one in this folder, and the folder a command runs in is
    # no place to look.
    path = os.pathsep.join((str(BUILT), str(HERE)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    where = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join((where, environment["PATH"]))
    os.execvpe(sys.argv[1], sys.argv[1:], environment)


if __name__ == "__main__":
    main()
