"""The TLS between nodes, made of three files: what a node shows, and whose word it takes.

Decides what is demanded: both ends of a link show a certificate that `mesh_ca` vouches for, and
whoever dials also that it names the address that he dialled. The files are read at the start and at
every reload, so that a certificate can be renewed in place.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tlru.config import Config
from tlru.errors import TlruError

FILE_BYTES_MAX = 1 << 20  # a chain of certificates is a few KiB


class TlsError(TlruError):
    """Certificates that cannot be used."""

    code = "bad_config"


@dataclass(frozen=True, slots=True)
class MeshTls:
    """A context for each direction. Two are equal where they were made of the same files."""

    mark: str  # a digest of the files
    listen: ssl.SSLContext = field(compare=False)
    dial: ssl.SSLContext = field(compare=False)


def mesh_tls(config: Config) -> MeshTls | None:
    """What the three files come to; None where TLS is not wanted. TlsError, which names the
    option, where they are of no use."""
    cert, key, ca = config.mesh_cert, config.mesh_key, config.mesh_ca
    if cert is None or key is None or ca is None:
        return None
    files = {"mesh_cert": cert, "mesh_key": key, "mesh_ca": ca}
    mark = hashlib.sha256(b"".join(_read(name, path) for name, path in files.items()))
    listen, dial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (listen, dial):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, ca)
        _show(context, cert, key)
    return MeshTls(mark.hexdigest(), listen, dial)


def _read(option: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX)
    except OSError as exc:
        raise TlsError(f"{option}: {path} cannot be read: {exc.strerror or exc}") from exc


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(ca)
    except (OSError, ValueError) as exc:
        raise TlsError(f"mesh_ca: {ca} holds no certificates as PEM: {_said(exc)}") from exc


def _show(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except (OSError, ValueError) as exc:
        raise TlsError(
            f"mesh_cert, mesh_key: {cert} and {key} are no certificate as PEM and its key: "
            f"{_said(exc)}"
        ) from exc


def _no_passphrase() -> NoReturn:
    # Without this, OpenSSL would ask the terminal, and the node would stand still.
    raise ValueError("the key needs a passphrase; keep it without one, readable by the node alone")


def _said(exc: Exception) -> str:
    return (exc.reason if isinstance(exc, ssl.SSLError) else None) or str(exc)
