"""Which web pages may talk to a node, and under which names it answers.

Pure. A browser sends requests for whatever page it shows. Two headers tell on it: `Origin` says
whose page it is, `Host` which name led here. A node that only its own machine can reach is still
reached by every page that a person on that machine opens: so a page of another origin may change
nothing, and a name that somebody has pointed at loopback (DNS rebinding) is not answered at all.

Programs that are no browsers send no `Origin`, and are judged by `Host` alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from tlru.config import Config

ANY = "*"

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PAGES = {"ws": "http", "wss": "https"}  # the scheme of a page that is served by the same port

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


def _authority(text: str, default_port: int) -> tuple[str, int] | None:
    """Host and port of `host[:port]`, or None where it is neither."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = default_port if found[2] is None else int(found[2])
    return found[1].lower().rstrip("."), port


def _origin(text: str) -> _Origin | None:
    """An origin as browsers write it, or None: `null` is nobody's."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PORTS:
        return None
    found = _authority(rest, _PORTS[scheme])
    return None if found is None else _Origin(scheme, *found)


def _pages_of(servers: Iterable[str]) -> set[_Origin]:
    """The origins of the pages that servers at these URLs serve."""
    parts = [urlsplit(url) for url in servers]
    pages = [f"{_PAGES.get(part.scheme, part.scheme)}://{part.netloc}" for part in parts]
    return {one for text in pages if (one := _origin(text)) is not None}


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


class Origins:
    """Judges `Host` and `Origin`."""

    def __init__(self, listed: Iterable[str], advertised: Iterable[str], *, loopback: bool) -> None:
        listed, advertised = tuple(listed), tuple(advertised)
        self._any = ANY in listed
        self._listed = {one for text in listed if (one := _origin(text)) is not None}
        self._own = _pages_of(advertised)
        self._loopback = loopback

    @classmethod
    def of(cls, config: Config) -> Self:
        """As a node is configured."""
        loopback = config.listen_address.loopback
        return cls(config.cors_origins, config.advertise, loopback=loopback)

    @property
    def any_listed(self) -> bool:
        """Whether what is answered depends on the origin."""
        return bool(self._listed) and not self._any

    def allowed(self, origin: str) -> str | None:
        """What an answer says of who may read it, or None: pages of `origin` may not."""
        if self._any:
            return ANY
        return origin if _origin(origin) in self._listed else None

    def is_listed(self, origin: str) -> bool:
        """Whether pages of an origin may read what is answered."""
        return self.allowed(origin) is not None

    def refusal(
        self,
        host: str | None,
        origin: str | None,
        *,
        safe: bool,
        servers: Iterable[str] = (),
    ) -> str | None:
        """Why a request is not to be carried out, or None; a `safe` one changes nothing. `servers`
        are those of the cluster, whose pages are ours too."""
        if host is not None and self._loopback and not self._is_ours(host):
            return (
                "this node answers on its own machine only, and not under the name in Host; "
                "use 127.0.0.1, or name the URL in the option advertise"
            )
        if safe or origin is None or self._is_same(origin, host) or self.is_listed(origin):
            return None
        if (page := _origin(origin)) is not None and page in _pages_of(servers):
            return None
        return (
            "a web page of another origin may change nothing here; "
            "name its origin in the option cors_origins to let it"
        )

    def of_page(self, host: str | None, origin: str | None) -> str | None:
        """Whose page a request comes from, always in the same words; None where it is ours, whose
        browser may or may not say so, or none at all."""
        if origin is None or self._is_same(origin, host):
            return None
        page = _origin(origin)
        return origin if page is None else f"{page.scheme}://{page.host}:{page.port}"

    def _is_ours(self, host: str) -> bool:
        found = _authority(host, 0)
        if found is None:
            return False
        return _is_loopback(found[0]) or any(found[0] == own.host for own in self._own)

    def _is_same(self, origin: str, host: str | None) -> bool:
        page = _origin(origin)
        if page is None or page.scheme not in ("http", "https"):
            return False
        if page in self._own:
            return True
        # Behind a proxy that ends TLS, only the page knows the scheme.
        return host is not None and _authority(host, _PORTS[page.scheme]) == (page.host, page.port)
