"""What a start concludes from what it finds: what there is, what is wrong, and what is missing.

Nothing is changed here. `store.py` first keeps the conclusion that something is missing, and only
then sets aside what is damaged: else a second start would find nothing wrong, and take it for all.

Invariant: a node is taken to be whole only if it has all that it may have promised to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from peers.core.base import Base
from peers.core.log import Log
from peers.core.membership import NOBODY, Membership
from peers.core.output import Promise
from peers.disk.cluster_file import ClusterFile, Listed
from peers.disk.files import Files, words_of
from peers.disk.log_reading import Heads, Reading, read_heads, read_log
from peers.disk.promises import Life, LifeFile, PromiseFile
from peers.disk.records import Promised
from peers.disk.segments import NAME as SEGMENT_NAME
from peers.disk.snapshot_files import NAME as SNAPSHOT_NAME
from peers.disk.snapshot_files import Found as Snapshots
from peers.disk.snapshot_files import KeptSnapshot, read_snapshots
from peers.errors import DamagedError

Read = TypeVar("Read")

ALWAYS = "always"


@dataclass(slots=True)
class Start:
    """What was found."""

    promised: Promised | None = None
    life: Life | None = None
    listed: Listed | None = None
    log: Log = field(default_factory=Log)
    snapshot: KeptSnapshot | None = None
    goes_on: bool = (
        False  # the log stands in these segments; else it is to be begun behind its base
    )
    heads: Heads = field(default_factory=Heads)
    reading: Reading = field(default_factory=Reading)
    damage: list[str] = field(default_factory=list)  # sentences: which file, and what is wrong
    lost: list[str] = field(default_factory=list)  # sentences: why something is missing
    aside: list[Path] = field(default_factory=list)
    spare: list[Path] = field(default_factory=list)

    @property
    def promise(self) -> Promise | None:
        """The promises, if there are any."""
        return None if self.promised is None else self.promised.promise

    @property
    def membership(self) -> Membership:
        """Who belongs, where no log says so."""
        if self.promised is None:
            return NOBODY
        if self.listed is not None and self.listed.epoch == self.promised.promise.epoch:
            return self.listed.committed.membership
        return self.promised.began or NOBODY


def look_at_state(promises: PromiseFile, life: LifeFile, cluster: ClusterFile) -> Start:
    """Read the state directory."""
    start = Start()
    start.promised = _read(start, promises.path, promises.read)
    start.life = _read(start, life.path, life.read)
    start.listed = _read(start, cluster.path, cluster.read)
    return start


def _read(start: Start, path: Path, read: Callable[[], Read | None]) -> Read | None:
    try:
        return read()
    except DamagedError as exc:
        start.damage.append(words_of(path, exc))
        start.aside.append(path)
        return None


def look_at_life(start: Start, *, keeps: bool, boot: str) -> None:
    """What the life before says of the log, whatever stands in it."""
    promise, life = start.promise, start.life
    if promise is None or promise.epoch.is_none:
        return
    if not keeps:
        start.lost.append("there is no data directory, so the log of the life before is gone")
    elif life is None:
        start.lost.append("nothing says how the life before ended")
    elif not life.keeps:
        start.lost.append("the life before had no data directory, so its log is gone")
    elif not (life.clean or life.fsync == ALWAYS or (boot and boot == life.boot)):
        start.lost.append(
            f"the machine stopped while the log was synced with fsync = {life.fsync}: its end may "
            "be missing"
        )


def look_at_data(start: Start, files: Files, directory: Path) -> None:
    """Read the data directory."""
    names = files.names(directory)
    promise = start.promise
    if promise is None:
        kept = [n for n in names if SEGMENT_NAME.fullmatch(n) or SNAPSHOT_NAME.fullmatch(n)]
        if kept:
            start.damage.append(f"{directory}: it holds a log or snapshots, and nothing says whose")
            start.aside += (directory / name for name in kept)
        return
    heads = start.heads = read_heads(files, directory, names, promise.birth, promise.epoch)
    snapshots = read_snapshots(files, directory, names, promise.birth, heads.epochs)
    covered = 0 if snapshots.newest is None else snapshots.newest.base.position.index
    reading = start.reading = read_log(files, heads, covered)
    start.damage += (f"{path}: it is another node's" for path in heads.strangers)
    start.damage += snapshots.damage + reading.damage
    start.aside += heads.strangers + snapshots.aside + reading.aside
    start.spare += snapshots.spare + reading.spare
    start.snapshot = snapshots.newest
    _fit(start, reading, snapshots)
    if not promise.epoch.is_none:
        _look_for_losses(start, reading, snapshots, directory)


def _fit(start: Start, reading: Reading, snapshots: Snapshots) -> None:
    """A log that does not go through the snapshot ends before it, or was never committed."""
    log, newest = reading.log, snapshots.newest
    position = None if newest is None else newest.base.position
    if log is not None and (position is None or log.term_at(position.index) == position.term):
        start.log, start.goes_on = log, True
        return
    base = Base(membership=start.membership) if newest is None else newest.base
    start.log = Log(base)
    start.spare += (each.path for each in reading.line if each.path not in start.aside)


def _look_for_losses(start: Start, reading: Reading, snapshots: Snapshots, directory: Path) -> None:
    if reading.lost:
        start.lost.append(f"a part of the log is damaged or missing: {reading.damage[-1]}")
    elif reading.log is None:
        start.lost.append(f"{directory} holds no log of this node and epoch")
    if snapshots.missed > start.log.last.index:
        start.lost.append(
            f"the snapshot of entry {snapshots.missed} is damaged, and the log ends before it"
        )
