"""What a browser and its tests are told of nodes with tokens and certificates."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.node.access.holders import SECRET, jwks


def keys_file(folder: Path) -> Path:
    """The keys of a node that takes tokens which are signed with the tests' secret."""
    file = folder / "keys.json"
    file.write_bytes(jwks(tests=SECRET))
    return file


def secret() -> str:
    """The same secret, for who makes tokens in JavaScript."""
    return base64.b64encode(SECRET).decode()


def key_hash(file: Path) -> str:
    """Of the public key of a certificate, as a browser is told whom to take for good."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()
