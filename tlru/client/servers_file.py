"""The file of servers on the disk: read when a client begins, and kept as the cluster tells it.

`listing.py` decides what is in it. Here it is read and written: in a thread, so that a slow disk
keeps nobody waiting, and by a new file that takes the old one's name, so that whoever reads it,
another process of the program too, finds the one or the other and never a part. The last that
writes wins, and all of them write what the cluster told.

A file that cannot be read or written never makes a client fail that knows servers without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import stat
from collections.abc import Sequence
from typing import Final

from tlru.client import listing
from tlru.client.listing import DamagedError, Listing
from tlru.client.server import Server

logger = logging.getLogger("tlru.client")

NEW_MODE: Final = 0o644  # of a file that was not there before, as far as the umask allows


class UnusableError(Exception):
    """No server can be had from the file; the text names it, and says why."""

    def __init__(self, path: str, why: str, *, absent: bool = False) -> None:
        super().__init__(f"the file of servers {path} {why}")
        self.absent = absent  # which is no mistake: it is made when the cluster has told of servers


def read(path: str, cache: str) -> Listing:
    """What a file says, with at least one server; `UnusableError` where there is none."""
    try:
        data = _read(path)
        found = None if data is None else listing.read(data, cache)
    except DamagedError as exc:
        raise UnusableError(path, f"is damaged: {exc}") from exc
    except OSError as exc:
        raise UnusableError(path, f"cannot be read: {exc.strerror or exc}") from exc
    if found is None:
        raise UnusableError(path, "is not there", absent=True)
    if not found.own and not found.told:
        raise UnusableError(path, "names none", absent=not found.left)
    return found


class ServersFile:
    """One file of servers, as one client uses it."""

    def __init__(self, path: str | os.PathLike[str], cache: str) -> None:
        self.path = os.fspath(path)
        self._cache = cache
        self._newest: Sequence[Server] = ()
        self._news = asyncio.Event()
        self._warned: set[str] = set()

    async def read(self) -> Listing:
        """What the file says; `UnusableError` where it says nothing."""
        found = await asyncio.to_thread(read, self.path, self._cache)
        for why in found.left:
            self.warn(f"in the file of servers {self.path}, {why}")
        return found

    def keep(self, servers: Sequence[Server]) -> None:
        """These are the servers now: the file is to say so, soon."""
        if servers != self._newest:
            self._newest = servers
            self._news.set()

    def warn(self, what: str) -> None:
        """Tell what is wrong, once."""
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s", what)

    async def run(self) -> None:
        """Write what is to be kept, one list after another, until cancelled."""
        try:
            while True:
                await self._news.wait()
                await self._write()
        except asyncio.CancelledError:
            if self._news.is_set():
                await self._write()
            raise

    async def _write(self) -> None:
        """To its end, though we be cancelled: a program may be over before a thread takes it up,
        and what it was told is for the next one."""
        self._news.clear()
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(None, _try_to_renew, self.path, self._newest, self._cache)
        try:
            self._tell(await asyncio.shield(writing))
        except asyncio.CancelledError:
            self._tell(await writing)
            raise

    def _tell(self, problem: str) -> None:
        if problem:
            self.warn(f"the file of servers {self.path} {problem}")


def _try_to_renew(path: str, servers: Sequence[Server], cache: str) -> str:
    """What stands in the way, if anything does."""
    try:
        _renew(path, servers, cache)
    except DamagedError as exc:
        # Somebody may be in the middle of mending it: what is in it is not thrown away.
        return f"is damaged, and left as it is: {exc}"
    except OSError as exc:
        return f"cannot be written: {exc.strerror or exc}"
    return ""


def _read(path: str) -> bytes | None:
    """The file's bytes, or one more than a file may have; None where there is no file."""
    try:
        with open(path, "rb") as file:
            return file.read(listing.FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None


def _renew(path: str, servers: Sequence[Server], cache: str) -> None:
    """Have the file say this; where it says so already it is not touched.

    It is read once more, since somebody may have changed it since.
    """
    data = listing.renewed(_read(path), servers, cache)
    if data is not None:
        _replace(os.path.realpath(path), data)  # where a link leads to, the link itself stays


def _replace(path: str, data: bytes) -> None:
    mode = _mode(path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.new")
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_MODE)
    try:
        with open(number, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(number, mode)
            os.fsync(number)  # else a crash could leave the new name with nothing behind it
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode(path: str) -> int | None:
    """The mode that the file is to keep; None where there is no file yet."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None
    if not mode & stat.S_IWUSR:  # a folder that may be written to would let us replace it
        raise PermissionError(errno.EACCES, "it is read-only")
    return mode
