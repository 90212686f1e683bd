"""A file system of a few megabytes, which a test fills, and empties again."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = bytes(4096)
FILLER = "filler"


@contextmanager
def small_disk(folder: Path, size: str = "16m") -> Iterator[Path]:
    """A tmpfs of this size at this folder, which is gone afterwards."""
    folder.mkdir(parents=True)
    told = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not told.returncode, (
        f"this test mounts a small file system and may not: {told.stderr.strip()}; "
        "run it as root, with the capability SYS_ADMIN"
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no room on it."""
    file = os.open(disk / FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while True:
            os.write(file, CHUNK)
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
    finally:
        os.close(file)
    assert not os.statvfs(disk).f_bavail


def empty(disk: Path) -> None:
    """Make room again."""
    (disk / FILLER).unlink()
