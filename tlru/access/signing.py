"""What whoever signs tokens does; a node never does, and has no key that could.

Decides which claims a token of ours carries, and by the kind of the key how it is signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tlru.access.keys import EDDSA, RS256
from tlru.access.static import WrongTokens


def signed(
    pem: bytes,
    name: str,
    rights: Mapping[str, Any],
    *,
    now: int,
    ends: int,
    key_id: str | None = None,
) -> str:
    """A token that carries these rights. WrongTokens where the key is none that signs."""
    try:
        loaded = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as exc:
        raise WrongTokens(f"no private key as PEM without a password: {exc}") from exc
    if isinstance(loaded, rsa.RSAPrivateKey):
        algorithm = RS256
    elif isinstance(loaded, ed25519.Ed25519PrivateKey):
        algorithm = EDDSA
    else:
        raise WrongTokens("neither an RSA nor an Ed25519 key")
    payload = {"sub": name, "jti": name, "iat": now, "exp": ends, "tlru": dict(rights)}
    headers = None if key_id is None else {"kid": key_id}
    return jwt.encode(payload, loaded, algorithm, headers)


def claimed(token: str) -> dict[str, Any]:
    """What a signed token says, true or not. WrongTokens where it is none."""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as exc:
        raise WrongTokens(f"it has the form of a signed token, and is none: {exc}") from exc
    return {**{name: header[name] for name in ("alg", "kid") if name in header}, **claims}
