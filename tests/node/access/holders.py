"""People with tokens: static ones in a file, signed ones with keys that are made here."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tlru.access import static
from tlru.access.grant import Grant

SECRET = b"a secret of more than thirty-two bytes, made for tests"


def token_file(folder: Path, **grants: dict[str, Any]) -> tuple[Path, dict[str, str]]:
    """A file of static tokens, and the tokens by their ids."""
    tokens = {id: static.make() for id in grants}
    file = folder / "tokens.toml"
    write_tokens(file, tokens, **grants)
    return file, tokens


def write_tokens(file: Path, tokens: dict[str, str], **grants: dict[str, Any]) -> None:
    """Write what these tokens allow from now on."""
    lines = [
        static.line(Grant(id, token_id=id, token_hash=static.hashed(tokens[id]), **told))
        for id, told in grants.items()
    ]
    file.write_text("\n".join(lines))


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One RSA key for all tests: to make one takes long."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def public_pem(key: Any) -> bytes:
    """The public half."""
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def new_ed25519() -> ed25519.Ed25519PrivateKey:
    """Another key each time."""
    return ed25519.Ed25519PrivateKey.generate()


def jwks(**keys: Any) -> bytes:
    """A JWKS of public keys, or secrets, by their names."""
    rows = []
    for id, key in keys.items():
        if isinstance(key, bytes):
            row = jwt.algorithms.HMACAlgorithm.to_jwk(key, as_dict=True)
        elif isinstance(key, rsa.RSAPrivateKey):
            row = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            row = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
        rows.append({**row, "kid": id})
    return json.dumps({"keys": rows}).encode()


def signed(
    key: Any, algorithm: str = "EdDSA", *, kid: str | None = None, ttl: float = 600, **claims: Any
) -> str:
    """A token with these claims."""
    headers = {} if kid is None else {"kid": kid}
    told = {"sub": "somebody", "exp": time.time() + ttl, **claims}
    return jwt.encode(told, key, algorithm=algorithm, headers=headers)


def bearer(token: str) -> dict[str, str]:
    """The header of a request."""
    return {"Authorization": f"Bearer {token}"}
