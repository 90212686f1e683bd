"""`Access`: whose tokens are good here and now, as files, an address and the configuration say.

Decides where keys, tokens and revocations are read, and when; what a token is worth, decides the
`Authority` that is made of them. Every change of it counts up `generation`, so that whoever was let
in before is looked at again (`standing.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from tlru import errors
from tlru.access import authority, keys, static
from tlru.access.authority import Authority, UnknownKeyError
from tlru.access.grant import EVERYTHING, NOBODY, Grant
from tlru.access.static import WrongTokens
from tlru.config import Config
from tlru.node.access.fetching import Fetching

logger = logging.getLogger(__name__)

T = TypeVar("T")

FILE_BYTES_MAX: Final = 8 << 20
_SCHEME: Final = "bearer"


class Access:
    """Judges the tokens that a node is shown. TlruError where its files are of no use."""

    def __init__(self, config: Config) -> None:
        self._in_files = read(config)
        self._fetching = self._fetching_of(config)
        self.enabled = config.authenticates
        self.generation = 0
        self._authority = self._in_files

    def _fetching_of(self, config: Config) -> Fetching | None:
        if config.jwt_keys_url is None:
            return None
        return Fetching(config.jwt_keys_url, config.jwt_keys_refresh, self._fetched)

    # -- coming up, changing, going down

    def start(self) -> None:
        """Keep the keys of an address up to date."""
        if self._fetching is not None:
            self._fetching.start()

    async def stop(self) -> None:
        """Fetch nothing more."""
        if self._fetching is not None:
            await self._fetching.stop()

    def differs(self, found: Authority) -> bool:
        """Whether the files say something else than they did."""
        return found != self._in_files

    def go_by(self, config: Config, found: Authority) -> None:
        """Judge by another configuration, and by what its files say."""
        self.enabled = config.authenticates
        self._in_files = found
        before = self._fetching
        if before is None or not before.is_for(config.jwt_keys_url, config.jwt_keys_refresh):
            self._fetching = self._fetching_of(config)
            if before is not None:
                before.leave()
                if self._fetching is not None:
                    self._fetching.take_over(before)
            self.start()
        self._put_together()

    def _fetched(self) -> None:
        self._put_together()

    def _put_together(self) -> None:
        fetched = () if self._fetching is None else self._fetching.keys
        found = replace(self._in_files, keys=(*self._in_files.keys, *fetched))
        self._authority = found
        self.generation += 1

    # -- judging

    @property
    def newcomer(self) -> Grant:
        """What somebody may do who has shown nothing."""
        return NOBODY if self.enabled else EVERYTHING

    def at_once(self, token: str) -> Grant:
        """What a token allows, by what is known now. Unauthenticated where it is not good."""
        return self._authority.grant_of(token, time.time()) if self.enabled else EVERYTHING

    async def grant_of(self, token: str) -> Grant:
        """The same; a key that is not known yet is looked for first."""
        try:
            return self.at_once(token)
        except UnknownKeyError:
            if self._fetching is None or not await self._fetching.fetch_for_unknown():
                raise
            return self.at_once(token)

    async def look_for_keys(self) -> None:
        """See whether there are other keys by now."""
        if self._fetching is not None:
            await self._fetching.fetch_for_unknown()

    @property
    def may_learn(self) -> bool:
        """Whether a key that is not known might be found by looking."""
        return self._fetching is not None and self._fetching.may_fetch

    def still(self, grant: Grant) -> Grant:
        """What is left of a grant. Unauthenticated where nothing is."""
        return self._authority.still(grant, time.time())


def read(config: Config) -> Authority:
    """What the files of a configuration say. TlruError, which names the option, where one is of no
    use."""
    return Authority(
        static=_from("tokens_file", config.tokens_file, lambda data: static.parse(data.decode()))
        or {},
        keys=_from("jwt_keys", config.jwt_keys, keys.parse) or (),
        revoked=_from(
            "revoked_file", config.revoked_file, lambda data: authority.parse_revoked(data.decode())
        )
        or frozenset(),
        issuer=config.jwt_issuer,
        audience=config.jwt_audience,
    )


def _from(option: str, path: Path | None, parse: Callable[[bytes], T]) -> T | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        raise WrongTokens(f"{option}: {path} cannot be read: {exc.strerror or exc}") from exc
    if len(data) > FILE_BYTES_MAX:
        raise WrongTokens(f"{option}: {path} has more than {FILE_BYTES_MAX} bytes")
    try:
        return parse(data)
    except UnicodeDecodeError as exc:
        raise WrongTokens(f"{option}: {path} is not UTF-8 text") from exc
    except WrongTokens as exc:
        raise WrongTokens(f"{option}: {path}: {exc}") from exc


def token_of(header: str) -> str:
    """The token of an `Authorization` header. Unauthenticated where it has none."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise errors.Unauthenticated("Authorization must be: Bearer, a space, and the token")
    return token.strip()
