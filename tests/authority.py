"""An authority for tests, and the certificates that it gives."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlru.cli import issuing

LOOPBACK = ("localhost", "127.0.0.1")


class Authority:
    """It vouches for nodes. `ca` is its certificate's file."""

    def __init__(self, folder: Path, name: str = "ours") -> None:
        self._folder, self._name = folder, name
        self.issued = issuing.authority(name, 30)
        self.ca = folder / f"{name}-ca.pem"
        self.ca.write_bytes(self.issued.certificate)

    def node(
        self,
        id: str,
        hosts: Sequence[str] = LOOPBACK,
        days: float = 2,
        to: Path | None = None,
    ) -> Path:
        """The file of a certificate for this node; its key stands beside it."""
        made = issuing.node(self.issued, id, hosts, days)
        file = to or self._folder / f"{self._name}-{id}.pem"
        file.with_suffix(".key").write_bytes(made.key)
        file.write_bytes(made.certificate)
        return file

    def trusting(self) -> ssl.SSLContext:
        """What a client goes by that believes this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))


def shown(file: Path) -> dict[str, Any]:  # Any: options are of many types
    """The options of a port that shows this certificate."""
    return {"tls_cert": file, "tls_key": file.with_suffix(".key")}


def between(file: Path, ca: Path) -> dict[str, Any]:  # Any: options are of many types
    """The options of a mesh with this certificate and these authorities."""
    return {"mesh_cert": file, "mesh_key": file.with_suffix(".key"), "mesh_ca": ca}
