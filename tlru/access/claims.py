"""What a token claims, read into a `Grant`: the same words in a JWT and in the file of tokens.

Pure. Decides which claims there are and their bounds. One of ours that is misspelt, or of a wrong
type, is refused rather than passed over: else what was meant to be narrow is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tlru.access.grant import DEFAULT_CLASS, Grant
from tlru.errors import TlruError

RIGHTS: Final = ("read", "write", "subscribe", "publish")
PREFIXES_MAX: Final = 64  # of one right
PREFIX_BYTES_MAX: Final = 1_024  # as long as a key may be
ID_CHARS_MAX: Final = 128
NAME_CHARS_MAX: Final = 128
EXPIRES_MAX: Final = 253_402_300_799  # the last second of the year 9999

_CLASS: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class WrongClaim(TlruError):
    """A claim that is not as it should be; whose, says who asked."""

    code = "bad_claim"


def rights_of(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Class and rights, as fields of a Grant. WrongClaim where one is not as it should be."""
    found: dict[str, Any] = {name: _prefixes(claims, name) for name in RIGHTS}
    admin = claims.get("admin", False)
    if not isinstance(admin, bool):
        raise WrongClaim("`admin` must be true or false")
    client_class = claims.get("class", DEFAULT_CLASS)
    if not isinstance(client_class, str) or not _CLASS.fullmatch(client_class):
        raise WrongClaim("`class` must be 1 to 64 letters, digits, '_', '.' or '-'")
    return {**found, "admin": admin, "client_class": client_class}


def _prefixes(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    said = claims.get(name, [])
    if not isinstance(said, list | tuple) or len(said) > PREFIXES_MAX:
        raise WrongClaim(f"`{name}` must be a list of at most {PREFIXES_MAX} prefixes")
    for each in said:
        if not isinstance(each, str) or len(each.encode("utf-8", "replace")) > PREFIX_BYTES_MAX:
            raise WrongClaim(
                f"a prefix of `{name}` must be text of at most {PREFIX_BYTES_MAX} bytes"
            )
        if each.endswith("*"):
            raise WrongClaim(
                f"a prefix of `{name}` ends in *; a prefix is what keys begin with, without a star"
            )
    return tuple(dict.fromkeys(said))


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A moment in seconds since 1970; None where it is not claimed."""
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise WrongClaim(f"`{name}` must be seconds since 1970")
    if not 0 <= found <= EXPIRES_MAX:
        raise WrongClaim(f"`{name}` is no moment of our time")
    return float(found)


def label(claims: Mapping[str, Any], name: str, default: str = "") -> str:
    """A short printable text, for logs and for revoking."""
    found = claims.get(name, default)
    if not isinstance(found, str) or len(found) > NAME_CHARS_MAX or not found.isprintable():
        raise WrongClaim(f"`{name}` must be printable text of at most {NAME_CHARS_MAX} characters")
    return found


def described(grant: Grant) -> dict[str, Any]:
    """A grant's claims, without what is not claimed: as a token is made or shown."""
    found: dict[str, Any] = {}
    if grant.client_class != DEFAULT_CLASS:
        found["class"] = grant.client_class
    for name in RIGHTS:
        if prefixes := getattr(grant, name):
            found[name] = list(prefixes)
    if grant.admin:
        found["admin"] = True
    return found
