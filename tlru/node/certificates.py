"""The certificates that a node goes by, and looking whether their files have changed.

Decides when a change counts: once the files have stayed the same between two looks, for certificate
and key are replaced one after the other, and half of a pair is of no use. What then cannot be used
is told once, and the old pair stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from tlru.config import Config
from tlru.errors import TlruError
from tlru.node.tls import MESH_FILES, PORT_FILES, MeshTls, PortTls, mesh_tls, port_tls

LOOK_S: Final = 2.0  # certbot and cert-manager replace files; nobody tells us
EXPIRES_SOON_DAYS: Final = 7

logger = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Certificates:
    """What is shown to clients, and what to other nodes."""

    port: PortTls | None
    mesh: MeshTls | None

    @classmethod
    def of(cls, config: Config) -> Certificates:
        """Read the files. TlsError where they are of no use."""
        return cls(port_tls(config), mesh_tls(config))

    def changed(self, other: Certificates) -> list[str]:
        """The options whose files differ."""
        pairs = (("tls_cert", self.port, other.port), ("mesh_cert", self.mesh, other.mesh))
        return [name for name, mine, theirs in pairs if mine != theirs]


def signature(config: Config) -> Signature:
    """What shows that files have changed, without reading them; links are followed."""
    found = []
    for name in (*PORT_FILES, *MESH_FILES):
        path: Path | None = getattr(config, name)
        if path is None:
            continue
        try:
            state = path.stat()
            found.append((name, state.st_ino, state.st_mtime_ns, state.st_size))
        except OSError:
            found.append((name, 0, 0, 0))
    return tuple(found)


def warn_of_expiry(config: Config) -> None:
    """Say it in the log where a certificate has expired or soon will."""
    now = datetime.now(UTC)
    for name in ("tls_cert", "mesh_cert"):
        path: Path | None = getattr(config, name)
        if path is None:
            continue
        with contextlib.suppress(OSError, ValueError):
            end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
            if end <= now:
                logger.error("%s: %s has expired at %s: renew it", name, path, end.isoformat())
            elif (end - now).days < EXPIRES_SOON_DAYS:
                logger.warning("%s: %s expires at %s: renew it", name, path, end.isoformat())


class Watch:
    """Looks at the files of a node every few seconds."""

    def __init__(
        self, config: Callable[[], Config], take_up: Callable[[], Awaitable[list[str]]]
    ) -> None:
        self._config, self._take_up = config, take_up
        self._task: asyncio.Task[None] | None = None
        self._seen = self._used = signature(config())

    def start(self) -> None:
        """Begin to look."""
        warn_of_expiry(self._config())
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name="looks at certificates")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        before, self._seen = self._seen, signature(self._config())
        if self._seen == self._used or self._seen != before:
            return
        self._used = self._seen  # also where it fails: once is enough to say so
        try:
            changed = await self._take_up()
        except (TlruError, OSError) as exc:
            logger.error("new certificates are of no use, the old ones stay: %s", exc)
        else:
            if changed:
                logger.info("new certificates are in use", extra={"changed": ", ".join(changed)})
                warn_of_expiry(self._config())
