"""Where a node listens: `127.0.0.1:8400`, `[::1]:8400`, `cache.internal:8400`, `:8400`.

Decides what an address to listen on looks like and whether only this machine can reach it. Resolves
no name: a host name other than `localhost` counts as reachable from elsewhere, since what it stands
for may change while the node runs.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

PORT_MAX = 65_535
HOST_CHARS_MAX = 253

_HOST_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?",
    re.ASCII | re.IGNORECASE,
)
_PORT = re.compile(r"\d{1,5}", re.ASCII)


class Address(NamedTuple):
    """A host and a port. An empty host is every interface, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def everywhere(self) -> bool:
        """True where it stands for every interface of the machine."""
        ip = _ip(self.host)
        return not self.host or (ip is not None and ip.is_unspecified)

    @property
    def loopback(self) -> bool:
        """True where only programs on this machine can reach it."""
        ip = _ip(self.host)
        if ip is None:
            return self.host.rstrip(".").lower() == "localhost"
        # ::ffff:127.0.0.1 is 127.0.0.1, which is_loopback does not know before Python 3.13.
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return (mapped or ip).is_loopback

    def collides(self, other: Address) -> bool:
        """True where both cannot be listened on at once (as far as their text tells)."""
        if self.port != other.port or self.port == 0:
            return False
        return self.host == other.host or self.everywhere or other.everywhere


def parse_address(text: str) -> Address | None:
    """The address that `text` names, or None where it names none."""
    text = text.strip()
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        return None
    if host.startswith("[") and host.endswith("]"):
        ip = _ip(host[1:-1])
        return Address(str(ip), int(port)) if isinstance(ip, ipaddress.IPv6Address) else None
    if not host or isinstance(_ip(host), ipaddress.IPv4Address) or _is_host_name(host):
        return Address(host, int(port))
    return None


def suggest_address(text: str) -> str:
    """What somebody may have meant who wrote `text`, or nothing."""
    text = text.strip()
    if _PORT.fullmatch(text) and int(text) <= PORT_MAX:
        return f"127.0.0.1:{text}"
    if "://" in text:
        return suggest_address(text.split("://", 1)[1].split("/", 1)[0])
    if text.startswith("*:"):
        return suggest_address(text[1:])
    if parse_address(text) is not None:
        return text
    if isinstance(_ip(text), ipaddress.IPv4Address) or _is_host_name(text):
        return f"{text}:8400"
    head, _, port = text.rpartition(":")
    bracketed = f"[{head}]:{port}"
    return bracketed if parse_address(bracketed) is not None else ""


def _is_host_name(host: str) -> bool:
    if len(host) > HOST_CHARS_MAX or not _HOST_NAME.fullmatch(host):
        return False
    # 10.0.0 and 256.1.1.1 are mistyped addresses; no name ends in a number.
    return not host.rstrip(".").rpartition(".")[2].isdecimal()


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def checked_address(text: str) -> Address:
    """The address that a text is which was checked before."""
    address = parse_address(text)
    assert address is not None, f"{text!r} was never checked"
    return address
