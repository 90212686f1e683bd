"""`Authority`: which tokens are good, by what the node knows now, and what each allows.

Pure: keys, static tokens and revoked ones are handed in, and so is the time. What a refusal says
gives no part of a token away, nor whether another would have been good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import jwt
from jwt.exceptions import PyJWTError

from tlru.access import claims as claimed
from tlru.access.grant import EVERYTHING, NOBODY, Grant
from tlru.access.keys import Key, fitting
from tlru.access.static import PREFIX, WrongTokens, hashed
from tlru.errors import Unauthenticated

TOKEN_CHARS_MAX: Final = 8_192  # a JWT with every prefix that anybody needs is shorter
NOT_BEFORE_LEEWAY_S: Final = 5  # clocks of two machines differ
REVOKED_MAX: Final = 100_000
TRIED_KEYS_MAX: Final = 4  # without names, so many are tried: each costs a check of a signature

_OPTIONS: Final[Any] = {  # times are judged here, by the time that is handed in
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class UnknownKeyError(Unauthenticated):
    """Signed with a key that is not known here, or not yet."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What tokens are judged by."""

    static: Mapping[str, Grant] = field(default_factory=dict, repr=False)
    keys: Sequence[Key] = field(default=(), repr=False)
    revoked: frozenset[str] = field(default=frozenset(), repr=False)
    issuer: str = ""
    audience: str = ""

    def grant_of(self, token: str, now: float) -> Grant:
        """What a token allows. Unauthenticated where it is not good."""
        if not token or len(token) > TOKEN_CHARS_MAX:
            raise Unauthenticated(f"a token has 1 to {TOKEN_CHARS_MAX} characters")
        mark = hashed(token)
        if token.startswith(PREFIX) or "." not in token:
            grant = self.static.get(mark)
            if grant is None:
                raise Unauthenticated("the token is not known here")
        else:
            grant = self._signed(token, mark, now)
        self._check(grant, now)
        return grant

    def still(self, grant: Grant, now: float) -> Grant:
        """What is left of a grant, by what is known now. Unauthenticated where nothing is."""
        if grant is EVERYTHING or grant is NOBODY:
            raise Unauthenticated("this node wants a token now")
        if grant.key:
            if all(key.mark != grant.key for key in self.keys):
                raise Unauthenticated("the key that the token was signed with is out of use")
        else:
            known = self.static.get(grant.token_hash)
            if known is None:
                raise Unauthenticated("the token is not known here any more")
            grant = known
        self._check(grant, now)
        return grant

    def _check(self, grant: Grant, now: float) -> None:
        if grant.token_hash in self.revoked or grant.token_id in self.revoked:
            raise Unauthenticated("the token was revoked")
        if grant.expires is not None and now >= grant.expires:
            raise Unauthenticated("the token has run out; send a new one")

    # -- signed ones

    def _signed(self, token: str, mark: str, now: float) -> Grant:
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError) as exc:
            raise Unauthenticated("the token is neither a static one nor a JWT") from exc
        key, found = self._verified(token, header)
        try:
            return self._granted(found, key, mark, now)
        except claimed.WrongClaim as exc:
            raise Unauthenticated(f"the token's claims are of no use: {exc}") from exc

    def _verified(self, token: str, header: Mapping[str, Any]) -> tuple[Key, Mapping[str, Any]]:
        algorithm, id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not (id is None or isinstance(id, str)):
            raise Unauthenticated("the token's header names no algorithm and key that can be used")
        if header.get("crit") is not None:
            raise Unauthenticated("the token demands extensions that are not known here")
        keys = fitting(self.keys, id, algorithm)
        if not keys:
            raise UnknownKeyError("no key that is known here is for this token")
        for key in keys[:TRIED_KEYS_MAX]:
            try:
                return key, jwt.decode(
                    token, key.verifier, algorithms=[key.algorithm], options=_OPTIONS
                )
            except jwt.InvalidSignatureError:
                continue
            except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
                raise Unauthenticated("the token is no JWT that can be read") from exc
        raise UnknownKeyError("the token's signature is not that of a key that is known here")

    def _granted(self, found: Mapping[str, Any], key: Key, mark: str, now: float) -> Grant:
        expires, begins = claimed.moment(found, "exp"), claimed.moment(found, "nbf")
        if begins is not None and now < begins - NOT_BEFORE_LEEWAY_S:
            raise Unauthenticated("the token is not valid yet")
        if self.issuer and found.get("iss") != self.issuer:
            raise Unauthenticated("the token was issued by somebody else (`iss`)")
        if self.audience:
            _check_audience(found.get("aud"), self.audience)
        rights = found.get("tlru", {})
        if not isinstance(rights, dict):
            raise claimed.WrongClaim("`tlru` must be an object")
        if unknown := set(rights) - {*claimed.RIGHTS, "class", "admin"}:
            raise claimed.WrongClaim(
                f"`tlru` has unknown members: {', '.join(sorted(unknown))[:80]}"
            )
        id = claimed.label(found, "jti")
        name = claimed.label(found, "sub") or id or "unnamed"
        return Grant(
            name,
            expires=expires,
            token_id=id,
            token_hash=mark,
            key=key.mark,
            **claimed.rights_of(rights),
        )


def _check_audience(found: Any, wanted: str) -> None:
    if found != wanted and not (isinstance(found, list) and wanted in found):
        raise Unauthenticated("the token is meant for somebody else (`aud`)")


def parse_revoked(text: str) -> frozenset[str]:
    """The ids and hashes of a file of revoked tokens: one a line, `#` begins a comment."""
    found = {line.partition("#")[0].strip() for line in text.splitlines()} - {""}
    if len(found) > REVOKED_MAX:
        raise WrongTokens(f"{len(found)} revoked tokens; at most {REVOKED_MAX} are taken")
    for each in found:
        if each.startswith(PREFIX) or (each.count(".") == 2 and each.startswith("ey")):
            raise WrongTokens(
                "a token itself stands in it; write its id or its hash (`tlru token inspect`)"
            )
        if len(each) > claimed.ID_CHARS_MAX:
            _refuse(each)
    return frozenset(found)


def _refuse(each: str) -> NoReturn:
    raise WrongTokens(
        f"a line has {len(each)} characters; an id has at most {claimed.ID_CHARS_MAX}, a hash 71"
    )
