"""Where a watch has come to, kept in a file.

Decides what the file holds: a position for each pattern, so that each goes on exactly where it was,
and what they are positions of. It is replaced as a whole, after what was printed has left, so that
whenever the command is killed, or the machine, the next one prints what is missing; what was being
printed at that moment it may print again.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tlru.client.changes import place
from tlru.errors import BadRequest

FILE_BYTES_MAX: Final = 1 << 20  # beyond which it is no file of ours


class Places:
    """The positions that a file keeps; without a file, those of this run alone."""

    def __init__(self, path: str | None, cache: str, patterns: Sequence[str]) -> None:
        self._path = None if path is None else Path(path)
        self._cache = cache
        self._kept: dict[str, str] = {}
        if self._path is not None:
            self._kept = _read(self._path, cache, patterns)

    def get(self, pattern: str) -> str | None:
        """Where this pattern goes on; None where it begins."""
        return self._kept.get(pattern)

    def keep(self, positions: Mapping[str, str]) -> None:
        """Go on from these the next time. Raises OSError where the disk does not take them."""
        if self._path is None or positions == self._kept:
            return
        self._kept = dict(positions)
        text = json.dumps({"cache": self._cache, "positions": self._kept}, indent=2)
        _replace(self._path, text + "\n")


def _read(path: Path, cache: str, patterns: Sequence[str]) -> dict[str, str]:
    mend = "name another file with --state, or delete it to begin anew"
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(FILE_BYTES_MAX))
        positions = _checked(found)
    except FileNotFoundError:
        _need_folder(path)
        return {}
    except OSError as problem:
        raise BadRequest(f"cannot read {path}: {problem.strerror}; {mend}") from problem
    except (ValueError, TypeError, KeyError) as problem:
        raise BadRequest(f"{path} is no file that `tlru watch` has written; {mend}") from problem
    if found["cache"] != cache:
        raise BadRequest(f"{path} is about the cache {found['cache']!r}, not {cache!r}; {mend}")
    if set(positions) != set(patterns):
        of = " ".join(positions)
        raise BadRequest(f"{path} is about the patterns {of}, not {' '.join(patterns)}; {mend}")
    return positions


def _checked(found: Any) -> dict[str, str]:  # Any: what stood in a file
    positions: dict[str, str] = {str(key): str(one) for key, one in found["positions"].items()}
    for one in positions.values():
        place(one)  # ValueError for what is none
    return positions


def _need_folder(path: Path) -> None:
    """Told at the start, rather than when the first change has been printed."""
    if not path.parent.is_dir():
        raise BadRequest(f"there is no folder {path.parent} for {path.name}; make it first")


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave an empty file under the name
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
