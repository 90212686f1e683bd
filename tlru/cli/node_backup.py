"""`tlru node snapshot`, and `tlru node restore` of a file: backups."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import msgpack

from tlru.cli import progress, say
from tlru.cli.commands import Command
from tlru.cli.exits import Exit
from tlru.cli.over_http import Facts, ask
from tlru.cli.over_http_long import send, take
from tlru.cli.target import Target, client_command
from tlru.errors import BadRequest, Unavailable

if TYPE_CHECKING:
    from tlru.backups.form import Head

STDOUT: Final = "-"


@click.command(
    "snapshot",
    cls=Command,
    short_help="Take a backup of a cache, or check one.",
    examples=[
        "tlru node snapshot monday.tlru",
        "tlru node snapshot monday.tlru --force --server cache-2:8400",
        "tlru node snapshot - | ssh safe 'cat > monday.tlru'",
        "tlru node snapshot --check monday.tlru",
    ],
)
@click.argument("file")
@click.option("--check", is_flag=True, help="Ask no node: verify FILE, and tell what is in it.")
@click.option("--force", is_flag=True, help="Replace FILE, where there is one.")
@client_command
async def snapshot(target: Target, /, file: str, check: bool, force: bool) -> Exit:
    """Write all that the cache holds to FILE, exact at one entry, while the cache serves.

    FILE has its name only once all of it is there and on the disk; until then it is FILE.part. With
    - it goes to stdout, and an exit status other than 0 says that it is not whole.
    """
    if check:
        return _check(target, Path(file))
    head = await (_to_stdout(target) if file == STDOUT else _to_file(target, Path(file), force))
    told = _facts(head)
    if target.json and file != STDOUT:
        say.json_line({"file": file, **told})
    else:
        say.word(f"{_words(told)}, {'written to stdout' if file == STDOUT else f'is in {file}'}")
    return Exit.OK


async def _to_stdout(target: Target) -> Head:
    if sys.stdout.isatty():
        raise click.UsageError("a backup is no text: name a file, or send it through a pipe")
    sys.stdout.flush()

    def work(pieces: Iterator[bytes]) -> Head:
        with progress.bar("taking") as told:
            head = _verified(pieces, sys.stdout.buffer, told)
            sys.stdout.buffer.flush()
            return head

    return await take(target, "/v1/snapshot", work)


async def _to_file(target: Target, path: Path, force: bool) -> Head:
    from tlru.backups.files import Draft

    def work(pieces: Iterator[bytes]) -> Head:
        try:
            with Draft(path, replace=force) as draft, progress.bar("taking") as told:
                head = _verified(pieces, draft, told)
                draft.keep()
                return head
        except FileExistsError as problem:
            raise _exists(path) from problem
        except OSError as problem:
            words = problem.strerror or problem
            raise OSError(problem.errno, f"{path} cannot be written: {words}") from problem

    _check_free(path, force)
    return await take(target, "/v1/snapshot", work)


def _check_free(path: Path, force: bool) -> None:
    """Before a node is asked for what nobody could take."""
    if os.path.lexists(path) and not force:
        raise _exists(path)


def _exists(path: Path) -> BadRequest:
    return BadRequest(f"there is a file {path} already; choose another name, or say --force")


def _verified(pieces: Iterator[bytes], out: BinaryIO | Any, told: Callable[[float], None]) -> Head:
    """Write a backup as it comes; it is whole, or this raises."""
    from tlru.backups.form import BackupError, Reading
    from tlru.node.seats import LEVEL

    reading, items = Reading("what the node sends", LEVEL), 0
    try:
        for piece in pieces:
            out.write(piece)
            for chunk in reading.take(piece):
                items += _items_in(chunk)
                told(items / max(1, reading.head.items))
        reading.finish()
    except BackupError as problem:
        raise Unavailable(f"the backup did not come whole: {problem}") from problem
    return reading.head


def _items_in(chunk: bytes) -> int:
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(chunk)
    unpacker.read_array_header()
    unpacker.unpack()
    return unpacker.read_array_header() if unpacker.unpack() == "items" else 0


def _check(target: Target, path: Path) -> Exit:
    from tlru.backups.files import verify
    from tlru.engine.items import is_reserved, over
    from tlru.node.seats import LEVEL

    size = _size_of(path)
    with progress.bar("checking") as told:
        head, state = verify(path, LEVEL, lambda done: told(done / max(1, size)))
    now = head.time + max(0, round(time.time() * 1000) - head.wall)
    told_facts = _facts(head)
    told_facts["file_bytes"] = size
    told_facts["over"] = sum(
        over(item, now) and not is_reserved(key) for key, item in state.items.store.entries.items()
    )
    if target.json:
        say.json_line({"file": str(path), **told_facts})
        return Exit.OK
    say.data(f"{path} is whole: {_words(told_facts)}")
    say.data(f"epoch {told_facts['epoch']}, feature level {head.level}, release {head.release}")
    say.data(f"taken {_age(told_facts['age_s'])} ago; {told_facts['over']:,} lives are over since")
    return Exit.OK


def _size_of(path: Path) -> int:
    """How long a file is, which can be read."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except OSError as problem:
        raise OSError(problem.errno, f"{path} cannot be read: {problem.strerror}") from problem


def _facts(head: Head) -> Facts:
    number, random, _ = head.epoch
    return {
        "cache": head.cache,
        "node": head.node,
        "release": head.release,
        "epoch": f"{number}-{random}",
        "pos": head.index,
        "keys": head.items,
        "bytes": head.size,
        "time": head.time,
        "wall": head.wall,
        "age_s": max(0.0, round(time.time() - head.wall / 1000, 3)),
        "level": head.level,
        "format": head.format,
    }


def _words(told: Facts) -> str:
    return (
        f"the cache {told['cache']} with {told['keys']:,} items, as {told['node']} had it at entry "
        f"{told['pos']:,}"
    )


def _age(seconds: float) -> str:
    from tlru.cli.status import uptime

    return uptime({"uptime_s": seconds})


async def begin_anew(target: Target, path: Path, lives: str, yes: bool) -> Exit:
    """Have a node begin a new epoch from a file."""
    if len(target.servers) != 1:
        raise click.UsageError("name one --server: the node that the cluster begins anew with")
    from tlru.backups.files import pieces, verify
    from tlru.node.http.snapshots import MEDIA_TYPE
    from tlru.node.seats import LEVEL

    size = _size_of(path)
    with progress.bar("checking") as told:
        head, _ = verify(path, LEVEL, lambda done: told(done / max(1, size)))
    facts = await ask(target, "GET", "/v1/status")
    if not yes and not _is_meant(_facts(head), facts):
        say.word("nothing was done")
        return Exit.REFUSED
    with progress.bar("restoring") as told:
        body = pieces(path, lambda done: told(done / max(1, size)))
        place = f"/v1/snapshot?as_new_epoch=true&lives={lives}"
        done = await send(target, place, body, size, MEDIA_TYPE)
    if target.json:
        say.json_line(done)
        return Exit.OK
    say.word(
        f"{done['id']} goes on in epoch {done['epoch']} from entry {done['pos']:,}, with "
        f"{done['keys']:,} items; the lives of {done['over']:,} are over since the backup"
    )
    return Exit.OK


def _is_meant(told: Facts, facts: Facts) -> bool:
    say.word(f"{facts['node']} is {facts['status']}, and holds {facts['keys']:,} items of its own")
    say.word(f"they are replaced by {_words(told)}, {_age(told['age_s'])} ago")
    say.word("what was acknowledged since then is lost, and clients forget their positions")
    if not sys.stdin.isatty():
        raise click.UsageError("say --yes where nobody can be asked")
    return click.confirm("Begin anew from this backup?", default=False, err=True)
