"""The keys that signed tokens are checked with: PEM, or a JWKS of a file or an address.

A key says by itself which one algorithm it is for: a secret HS256, an RSA key RS256, an Ed25519 key
EdDSA. The token's own word for the algorithm only has to agree, so a public key can never be taken
for a secret, and `none` is nobody's algorithm.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tlru.access.static import WrongTokens

FILE_BYTES_MAX: Final = 256 << 10
KEYS_MAX: Final = 64
ID_CHARS_MAX: Final = 256
SECRET_BYTES_MIN: Final = 32  # as many as the hash of HS256 has
RSA_BITS_MIN, RSA_BITS_MAX = 2_048, 8_192  # beyond it, checking costs more than anybody needs

HS256, RS256, EDDSA = "HS256", "RS256", "EdDSA"
_BY_TYPE: Final = {"oct": HS256, "RSA": RS256, "OKP": EDDSA}
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """One key, and the one algorithm that it is for."""

    id: str | None
    algorithm: str
    mark: str  # tells it from all others
    verifier: Any = field(repr=False, compare=False)  # Any: a type of cryptography, or bytes


def parse(data: bytes, *, public_only: bool = False) -> tuple[Key, ...]:
    """The keys of a file or an answer: PEM public keys, or a JWKS. WrongTokens says what is wrong.

    With `public_only` secrets are refused: whoever can fetch them could sign, too."""
    if len(data) > FILE_BYTES_MAX:
        raise WrongTokens(f"more than {FILE_BYTES_MAX} bytes of keys")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise WrongTokens("neither PEM nor a JWKS: it is no text") from exc
    found = _pems(text) if "-----BEGIN " in text else _jwks(text, public_only=public_only)
    if not found:
        raise WrongTokens("there is no key in it that signs tokens")
    if len(found) > KEYS_MAX:
        raise WrongTokens(f"{len(found)} keys; at most {KEYS_MAX} are taken")
    named = [key.id for key in found if key.id is not None]
    if len(set(named)) != len(named):
        raise WrongTokens("two keys have the same `kid`; which is meant?")
    return tuple(found)


def _pems(text: str) -> list[Key]:
    return [_pem(match[0], match[1]) for match in _PEM.finditer(text)]


def _pem(block: str, kind: str) -> Key:
    if "PRIVATE" in kind:
        raise WrongTokens("a private key stands here; a node needs public ones, which cannot sign")
    try:
        loaded = serialization.load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise WrongTokens(f"a PEM block {kind!r} is no public key") from exc
    return _public(loaded, None)


def _public(loaded: Any, id: str | None) -> Key:
    if isinstance(loaded, rsa.RSAPublicKey):
        if not RSA_BITS_MIN <= loaded.key_size <= RSA_BITS_MAX:
            raise WrongTokens(
                f"an RSA key has {loaded.key_size} bits; it must have "
                f"{RSA_BITS_MIN} to {RSA_BITS_MAX}"
            )
        algorithm = RS256
    elif isinstance(loaded, ed25519.Ed25519PublicKey):
        algorithm = EDDSA
    else:
        raise WrongTokens("a key is neither RSA (RS256) nor Ed25519 (EdDSA)")
    der = loaded.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key(id, algorithm, hashlib.sha256(der).hexdigest(), loaded)


def _jwks(text: str, *, public_only: bool) -> list[Key]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise WrongTokens("neither PEM nor a JWKS") from exc
    rows = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(rows, list) or len(rows) > KEYS_MAX:
        raise WrongTokens(f"a JWKS is an object with `keys`, a list of at most {KEYS_MAX}")
    found = [_jwk(row, public_only=public_only) for row in rows]
    return [key for key in found if key is not None]


def _jwk(row: Any, *, public_only: bool) -> Key | None:
    """One key; None where it is for another purpose or of a type that is not used here."""
    if not isinstance(row, dict):
        raise WrongTokens("a key of the JWKS is no object")
    algorithm = _BY_TYPE.get(str(row.get("kty")))
    if (
        algorithm is None
        or row.get("use", "sig") != "sig"
        or row.get("alg", algorithm) != algorithm
    ):
        return None  # a set may hold keys for others
    if algorithm == EDDSA and row.get("crv") != "Ed25519":
        return None
    id = row.get("kid")
    if id is not None and (not isinstance(id, str) or len(id) > ID_CHARS_MAX):
        raise WrongTokens(f"a `kid` must be text of at most {ID_CHARS_MAX} characters")
    if public_only and algorithm == HS256:
        raise WrongTokens("a secret (kty oct) stands at an address that others can read, too")
    if algorithm != HS256 and "d" in row:
        raise WrongTokens("a private key stands in the JWKS; take `d` and what follows it out")
    return _loaded(row, algorithm, id)


def _loaded(row: Mapping[str, Any], algorithm: str, id: str | None) -> Key:
    try:
        loaded = jwt.PyJWK(dict(row), algorithm).key
    except (jwt.exceptions.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise WrongTokens(f"a key of the JWKS (kty {row.get('kty')}) cannot be read") from exc
    if algorithm != HS256:
        return _public(loaded, id)
    if len(loaded) < SECRET_BYTES_MIN:
        raise WrongTokens(f"a secret has {len(loaded)} bytes; HS256 needs {SECRET_BYTES_MIN}")
    mark = hashlib.sha256(b"tlru oct" + loaded).hexdigest()
    return Key(id, algorithm, mark, loaded)


def fitting(keys: Sequence[Key], id: str | None, algorithm: str) -> list[Key]:
    """The keys that may have made a signature: those of the name; without names, of the kind."""
    if id is not None and any(key.id is not None for key in keys):
        keys = [key for key in keys if key.id == id]
    return [key for key in keys if key.algorithm == algorithm]
