"""`/v1/snapshot`: a backup of a cache, while it serves; and back from one.

This module decides how a backup travels. What is in one, and what becomes of it, is decided in
`restoring.py`.

Invariant: the node holds of a backup that is read slowly one chunk, what the transport's buffer
takes, and what writes have set aside for it, which is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web

from tlru import errors
from tlru.backups.form import END, framed
from tlru.node import restoring
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.connection import UNREAD_S
from tlru.node.http.request import Request
from tlru.wire.strict_json import shown

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/vnd.tlru.backup"
PIECE_BYTES: Final = 64 << 10  # of a chunk are sent at a time: then it is waited for the client
PACE_BYTES_S_MIN: Final = 256 << 10  # who reads more slowly, on the whole, gets no whole backup
LIVES: Final = ("now", "backup")


class Paced:
    """An answer that is waited for as long as its client reads on, at a pace that comes to an end.

    Who reads nothing at all is given up by the connection; this is about who reads a little now and
    then, and would keep a backup open for days.
    """

    def __init__(self, response: web.StreamResponse) -> None:
        self._response, self._loop = response, asyncio.get_running_loop()
        self._sent, self._waited_s = 0, 0.0

    async def write(self, data: bytes) -> None:
        """Send it, as fast as it is read. TooSlowError where that is too slow."""
        for start in range(0, len(data), PIECE_BYTES):
            piece, began = data[start : start + PIECE_BYTES], self._loop.time()
            await self._response.write(piece)
            self._waited_s += self._loop.time() - began
            self._sent += len(piece)
            if self._waited_s > UNREAD_S + self._sent / PACE_BYTES_S_MIN:
                raise restoring.TooSlowError(
                    f"{self._sent} bytes of it were read in {self._waited_s:.0f} s: at least "
                    f"{PACE_BYTES_S_MIN} a second have to be"
                )


class BackupStream:
    """A backup as the body of an answer."""

    def __init__(self, backup: restoring.Backup) -> None:
        self._backup = backup

    async def send(self, raw: web.BaseRequest, response: web.StreamResponse) -> None:
        """All of it; cut short, which shows, where the client is too slow or gone."""
        try:
            response.force_close()
            await response.prepare(raw)
            out = Paced(response)
            await out.write(self._backup.head.packed())
            async for chunk in self._backup.chunks():
                await out.write(framed(chunk))
            await out.write(END)
            await response.write_eof()
        except restoring.TooSlowError as exc:
            logger.error("a backup was given up: %s", exc)
            if raw.transport is not None:
                raw.transport.abort()
        except ConnectionError:
            pass  # the client has gone; nobody is left to tell
        finally:
            self._backup.close()


async def take(request: Request) -> Answer:
    """A backup of the cache as it is now."""
    request.only()
    if request.head_only:
        return Answer(200, b"", MEDIA_TYPE, {"Content-Type": MEDIA_TYPE})
    backup = restoring.begin(request.node, request.service)
    return Answer(200, b"", MEDIA_TYPE, stream=BackupStream(backup))


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
        request.pieces(restoring.upload_bytes_max(request.node)),
        as_left=lives == "backup",
    )
    return json_answer(done)
