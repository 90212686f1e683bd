"""A snapshot that comes piece by piece, beside the state that is served until it is there whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tlru import errors
from tlru.engine.machine import Machine
from tlru.engine.snapshot import Loader, SnapshotError

if TYPE_CHECKING:
    from tlru.node.service import CacheService


class Arriving:
    """A snapshot on its way into a machine of its own."""

    def __init__(self, service: CacheService) -> None:
        self._service = service
        self.machine = Machine()
        self._loader = Loader(self.machine)

    def take(self, chunk: bytes) -> None:
        """Take up a piece. TlruError where it cannot be one."""
        with self._told():
            self._loader.take(chunk)

    def finish(self) -> int:
        """All have come; the index of the state."""
        with self._told():
            self._loader.finish()
        return self.machine.index

    def install(self) -> None:
        """The cache is what the snapshot was."""
        self._service.replace(self.machine)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SnapshotError as exc:
            raise errors.TlruError(f"cache {self._service.name}: {exc}") from exc
