"""TLS contexts, made of files: what a node shows, and whose word it takes.

Decides what is demanded. Between nodes both ends of a link show a certificate that `mesh_ca`
vouches for and that names their node, and whoever dials also that it names the address that he
dialled. Clients are shown a certificate, and asked for none. The files are read at the start and at
every reload, so that a certificate can be renewed in place.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509

from peers.mesh.certified import nodes_named
from peers.mesh.certified import uri_of as uri_of
from tlru.config import Config
from tlru.errors import TlruError

FILE_BYTES_MAX = 1 << 20  # a chain of certificates is a few KiB
MESH_FILES: Final = ("mesh_cert", "mesh_key", "mesh_ca")
PORT_FILES: Final = ("tls_cert", "tls_key")


class TlsError(TlruError):
    """Certificates that cannot be used."""

    code = "bad_config"


@dataclass(frozen=True, slots=True)
class MeshTls:
    """A context for each direction. Two are equal where they were made of the same files."""

    mark: str  # a digest of the files
    listen: ssl.SSLContext = field(compare=False)
    dial: ssl.SSLContext = field(compare=False)


@dataclass(frozen=True, slots=True)
class PortTls:
    """The context for clients. Two are equal where they were made of the same files."""

    mark: str
    context: ssl.SSLContext = field(compare=False)


def mesh_tls(config: Config) -> MeshTls | None:
    """What the three files come to; None where TLS is not wanted. TlsError, which names the
    option, where they are of no use."""
    cert, key, ca = config.mesh_cert, config.mesh_key, config.mesh_ca
    if cert is None or key is None or ca is None:
        return None
    mark = _mark(zip(MESH_FILES, (cert, key, ca), strict=True))
    listen, dial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (listen, dial):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, ca)
        _show(context, cert, key, MESH_FILES)
    _look_for_own_name(config.id, cert)
    return MeshTls(mark, listen, dial)


def port_tls(config: Config) -> PortTls | None:
    """What the two files come to; None where TLS is not wanted. TlsError, which names the option,
    where they are of no use."""
    cert, key = config.tls_cert, config.tls_key
    if cert is None or key is None:
        return None
    mark = _mark(zip(PORT_FILES, (cert, key), strict=True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that has keys agreed on again and again would have us calculate for it alone.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _show(context, cert, key, PORT_FILES)
    return PortTls(mark, context)


def _mark(files: zip[tuple[str, Path]]) -> str:
    parts = [hashlib.sha256(_read(name, path)).digest() for name, path in files]
    return hashlib.sha256(b"".join(parts)).hexdigest()


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


def _show(context: ssl.SSLContext, cert: Path, key: Path, options: tuple[str, ...]) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except (OSError, ValueError) as exc:
        raise TlsError(
            f"{options[0]}, {options[1]}: {cert} and {key} are no certificate as PEM and its key: "
            f"{_said(exc)}"
        ) from exc


def _look_for_own_name(id: str, cert: Path) -> None:
    """The others would refuse it, one by one and over there; it is better told here, once."""
    named = _nodes_in(cert)
    if id not in named:
        whom = ", ".join(sorted(named)) or "no node"
        raise TlsError(
            f"mesh_cert: {cert} is for {whom}, and this is {id}: have {uri_of(id)} among its "
            f"alternative names (`tlru certs node DIR --id {id}` makes such a certificate)"
        )


def _nodes_in(cert: Path) -> frozenset[str]:
    try:
        return names_in(x509.load_pem_x509_certificate(_read("mesh_cert", cert)))[0]
    except ValueError as exc:
        raise TlsError(f"mesh_cert: {cert} cannot be taken apart: {exc}") from exc


def names_in(certificate: x509.Certificate) -> tuple[frozenset[str], list[str]]:
    """The nodes that a certificate names, and the hosts. ValueError where it is damaged."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(), []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = [
        *names.get_values_for_type(x509.DNSName),
        *(str(each) for each in names.get_values_for_type(x509.IPAddress)),
    ]
    return nodes_named({"subjectAltName": [("URI", uri) for uri in uris]}), hosts


def _no_passphrase() -> NoReturn:
    # Without this, OpenSSL would ask the terminal, and the node would stand still.
    raise ValueError("the key needs a passphrase; keep it without one, readable by the node alone")


def _said(exc: Exception) -> str:
    return (exc.reason if isinstance(exc, ssl.SSLError) else None) or str(exc)
