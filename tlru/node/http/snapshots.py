"""`/v1/snapshot`: a backup of a cache, while it serves; and back from one.

This module decides how a backup travels, and that it does so no longer than its asker may have it.
What is in one, and what becomes of it, is decided in `restoring.py`.

Invariant: the node holds of a backup that is read slowly one chunk, what the transport's buffer
takes, and what writes have set aside for it, which is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from tlru import errors
from tlru.access.rights import check_route
from tlru.backups.form import END, framed
from tlru.node import restoring
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.audited import at_end
from tlru.node.http.connection import UNREAD_S
from tlru.node.http.request import Request
from tlru.wire.strict_json import shown

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/vnd.tlru.backup"
PIECE_BYTES: Final = 64 << 10  # of a chunk are sent at a time: then it is waited for the client
PACE_BYTES_S_MIN: Final = 256 << 10  # who reads more slowly, on the whole, gets no whole backup
PATH: Final = "/v1/snapshot"
GONE: Final = "gone"  # how a backup ended, to the audit log: its reader left
LIVES: Final = ("now", "backup")


class Paced:
    """An answer that is waited for as long as its client reads on, at a pace that comes to an end.

    Who reads nothing at all is given up by the connection; this is about who reads a little now and
    then, and would keep a backup open for days.
    """

    def __init__(self, response: web.StreamResponse) -> None:
        self._response, self._loop = response, asyncio.get_running_loop()
        self.sent, self._waited_s = 0, 0.0

    async def write(self, data: bytes) -> None:
        """Send it, as fast as it is read. TooSlowError where that is too slow."""
        for start in range(0, len(data), PIECE_BYTES):
            piece, began = data[start : start + PIECE_BYTES], self._loop.time()
            await self._response.write(piece)
            self._waited_s += self._loop.time() - began
            self.sent += len(piece)
            if self._waited_s > UNREAD_S + self.sent / PACE_BYTES_S_MIN:
                raise restoring.TooSlowError(
                    f"{self.sent} bytes of it were read in {self._waited_s:.0f} s: at least "
                    f"{PACE_BYTES_S_MIN} a second have to be"
                )


class BackupStream:
    """A backup as the body of an answer."""

    def __init__(self, backup: restoring.Backup, request: Request) -> None:
        self._backup, self._request = backup, request
        self._ended = at_end(request, "GET", PATH)
        self._unfit: errors.TlruError | None = None  # its asker may not have it any more
        self._transport: asyncio.Transport | None = None
        self._open_ones = request.node.http.backups
        self._open_ones.add(self)

    def look(self) -> None:
        """End it where its asker may not have it any more, also while he reads nothing."""
        try:
            check_still(self._request)
        except errors.TlruError as error:
            self._unfit = error
            if self._transport is not None:
                self._transport.abort()

    async def send(self, raw: web.BaseRequest, response: web.StreamResponse) -> None:
        """All of it; cut short, which shows, where the client is too slow or gone, or may have it
        no more. How it ended is told to the audit log."""
        outcome, out = errors.Internal.code, Paced(response)
        self._transport = raw.transport
        try:
            response.force_close()
            await response.prepare(raw)
            await self._all(out)
            await response.write_eof()
            outcome = "ok"
        except restoring.TooSlowError as exc:
            outcome = errors.Timeout.code
            logger.error("a backup was given up: %s", exc)
            self._abort()
        except errors.TlruError as exc:
            outcome = exc.code
            self._abort()
        except (ConnectionError, asyncio.CancelledError) as exc:
            outcome = GONE if self._unfit is None else self._unfit.code
            if isinstance(exc, asyncio.CancelledError):
                raise
        finally:
            self._open_ones.discard(self)
            self._backup.close()
            self._ended(outcome, out.sent)

    async def _all(self, out: Paced) -> None:
        await out.write(self._backup.head.packed())
        async for chunk in self._backup.chunks():
            if self._unfit is not None:
                raise self._unfit
            await out.write(framed(chunk))
        await out.write(END)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def check_still(request: Request) -> None:
    """Unauthenticated or Forbidden where a token has run out, was revoked, or allows less now."""
    access = request.node.access
    if access.enabled:
        grant = access.still(request.grant)
        check_route(grant, "GET", PATH, time.time(), ticket=False)


async def take(request: Request) -> Answer:
    """A backup of the cache as it is now."""
    request.only()
    if request.head_only:
        return Answer(200, b"", MEDIA_TYPE, {"Content-Type": MEDIA_TYPE})
    backup = restoring.begin(request.node, request.service)
    return Answer(200, b"", MEDIA_TYPE, stream=BackupStream(backup, request))


async def restore(request: Request) -> Answer:
    """Begin a new epoch of the cache from a backup."""
    request.only("as_new_epoch", "lives")
    service = request.service
    if request.query.get("as_new_epoch") != "true":
        raise errors.BadRequest(
            "what the cache holds is replaced, and clients forget their positions: say "
            "?as_new_epoch=true if that is meant"
        )
    lives = request.query.get("lives", LIVES[0])
    if lives not in LIVES:
        raise errors.BadRequest(f"`lives` is {shown(lives)}; it must be {' or '.join(LIVES)}")
    done = await restoring.restore(
        request.node,
        service,
        _while_allowed(request, request.pieces(restoring.upload_bytes_max(request.node))),
        as_left=lives == "backup",
    )
    return json_answer(done)


async def _while_allowed(request: Request, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        check_still(request)
        yield piece
    check_still(request)
