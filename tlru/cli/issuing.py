"""Making certificates: an authority for trying things out, and what it vouches for.

Decides what stands in them. Touches no file and knows no command. Elliptic keys (P-256): small,
quick to shake hands with, and taken by every client that speaks TLS 1.2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tlru.errors import BadRequest
from tlru.node.tls import uri_of

EARLY = timedelta(hours=1)  # other machines' clocks may be behind
_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)  # a node dials too


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both as PEM."""

    certificate: bytes
    key: bytes


def authority(name: str, days: float) -> Issued:
    """An authority that vouches for nodes and for no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    builder = (
        _builder(subject, subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _signed(builder, key, key)


def node(issuer: Issued, id: str, hosts: Sequence[str], days: float) -> Issued:
    """What a node of this id shows, to clients and to other nodes, that is reached at these hosts.
    BadRequest where the issuer is no authority."""
    by, by_key = _loaded(issuer)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [_alternative(host) for host in hosts] + [x509.UniformResourceIdentifier(uri_of(id))]
    builder = (
        _builder(_named(id), by.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USES), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False
        )
    )
    return _signed(builder, key, by_key)


def _loaded(issuer: Issued) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        by = x509.load_pem_x509_certificate(issuer.certificate)
        key = serialization.load_pem_private_key(issuer.key, password=None)
    except (ValueError, TypeError) as exc:
        raise BadRequest(f"the authority cannot be read: {exc}") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or by.public_key() != key.public_key():
        raise BadRequest("ca.key is not the key of ca.pem; `tlru certs authority` makes both")
    return by, key


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as exc:
        raise BadRequest(f"{host!r} is no host name as certificates have it: {exc}") from exc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY if days > 0 else now + timedelta(days=days) - EARLY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
) -> Issued:
    certificate = builder.sign(by, hashes.SHA256())
    return Issued(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
