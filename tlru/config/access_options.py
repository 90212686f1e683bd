"""The options that say whose tokens are good.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tlru.config.kinds import File, Line, Url
from tlru.config.numbers import Duration
from tlru.config.options import Change, Section, option
from tlru.config.several import Maybe

_SAFETY = Section.SAFETY
_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may come with which token. With none of the first three, everybody may do everything."""

    tokens_file: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _SAFETY,
        _LIVE,
        "The static tokens that are good, as hashes, with what each allows: the lines that "
        "`tlru token make` prints.",
        guesses=("tokens", "token_file", "static_tokens"),
    )
    jwt_keys: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _SAFETY,
        _LIVE,
        "The keys that signed tokens are checked with: public keys as PEM, or a JWKS.",
        guesses=("jwt_key", "jwks", "jwks_file", "jwt"),
    )
    jwt_keys_url: str | None = option(
        Maybe(Url("https", "http", example="https://login.example/.well-known/jwks.json")),
        None,
        _SAFETY,
        _LIVE,
        "The address of a JWKS with such keys, which is fetched again and again.",
        guesses=("jwks_url", "jwks_uri", "jwt_url"),
    )
    jwt_keys_refresh: float = option(
        Duration(1.0, 86_400.0),
        300.0,
        _SAFETY,
        _LIVE,
        "How often the keys of jwt_keys_url are fetched again.",
        guesses=("jwks_refresh",),
    )
    jwt_issuer: str = option(
        Line(),
        "",
        _SAFETY,
        _LIVE,
        "Who must have issued a signed token (its iss); nothing takes anybody whose key is known.",
        guesses=("issuer", "iss"),
    )
    jwt_audience: str = option(
        Line(),
        "",
        _SAFETY,
        _LIVE,
        "Whom a signed token must be meant for (its aud); nothing takes any.",
        guesses=("audience", "aud"),
    )
    revoked_file: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _SAFETY,
        _LIVE,
        "The tokens that are not good any more, by id or hash, one a line.",
        guesses=("revoked", "revocations", "revoked_tokens"),
    )

    @property
    def authenticates(self) -> bool:
        """Whether clients have to say who they are."""
        return any(one is not None for one in (self.tokens_file, self.jwt_keys, self.jwt_keys_url))
