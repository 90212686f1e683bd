"""Static tokens: random texts, of which the node knows nothing but hashes.

The file is TOML, one line a token: its id, and the hash with what it allows. A token has 256 bits
of chance in it, so one fast hash is as hard to turn around as many slow ones: there is nothing
to guess. A text of a person's choice would be another matter: no hashes are made of such.

Pure but for `make`, which draws the token.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tlru.access.claims import ID_CHARS_MAX, RIGHTS, WrongClaim, described, moment, rights_of
from tlru.access.grant import Grant
from tlru.errors import TlruError

PREFIX: Final = "tlru_"  # so that scanners of secrets and people know one when they see it
TOKEN_BYTES: Final = 32
TOKENS_MAX: Final = 10_000  # in one file

_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{ID_CHARS_MAX}}}", re.ASCII)
_KNOWN: Final = frozenset((*RIGHTS, "hash", "class", "admin", "expires"))


class WrongTokens(TlruError):
    """A file of tokens, keys or revoked tokens that cannot be used; it says where and why."""

    code = "bad_config"


def hashed(token: str) -> str:
    """What is kept of a token."""
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def make() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def parse(text: str) -> dict[str, Grant]:
    """The grants of a file, by the hashes of their tokens. WrongTokens says what is wrong."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise WrongTokens(f"not TOML: {exc}") from exc
    if len(table) > TOKENS_MAX:
        raise WrongTokens(f"{len(table)} tokens; at most {TOKENS_MAX} are taken")
    found: dict[str, Grant] = {}
    for id, row in table.items():
        try:
            grant = _grant(id, row)
        except WrongClaim as exc:
            raise WrongTokens(f"token {id[:ID_CHARS_MAX]!r}: {exc}") from exc
        if grant.token_hash in found:
            other = found[grant.token_hash].token_id
            raise WrongTokens(f"tokens {other!r} and {id!r} have the same hash; which is meant?")
        found[grant.token_hash] = grant
    return found


def _grant(id: str, row: Any) -> Grant:
    if not _ID.fullmatch(id):
        raise WrongClaim("its id must be letters, digits, '_' or '-'")
    if not isinstance(row, dict):
        raise WrongClaim('it must be a table: { hash = "sha256:...", read = [...] }')
    if unknown := [name for name in row if name not in _KNOWN]:
        raise WrongClaim(f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(_KNOWN))}")
    mark = row.get("hash")
    if not isinstance(mark, str) or not _HASH.fullmatch(mark):
        raise WrongClaim("`hash` must be sha256: and 64 hexadecimal digits, as `tlru token make`")
    return Grant(id, expires=_expires(row), token_id=id, token_hash=mark, **rights_of(row))


def _expires(row: Mapping[str, Any]) -> float | None:
    found = row.get("expires")
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return moment(row, "expires")


def line(grant: Grant) -> str:
    """A grant as its line in the file."""
    parts = {"hash": grant.token_hash, **described(grant)}
    if grant.expires is not None:
        parts["expires"] = datetime.fromtimestamp(int(grant.expires), UTC)
    return table_line(grant.token_id, parts)


def table_line(id: str, row: Mapping[str, Any]) -> str:
    """A row of the file, as it is written there."""
    inner = ", ".join(f"{name} = {_toml(value)}" for name, value in row.items())
    return f"{id} = {{ {inner} }}"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return _text(str(value))


def _text(value: str) -> str:
    """A basic string of TOML: what could end it or cannot stand in it is escaped."""
    plain = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in plain) + '"'
