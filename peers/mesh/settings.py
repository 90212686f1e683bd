"""What a mesh is told: who it is, where it listens, how it proves itself, and its bounds.

Pure data. It decides when links without a cluster secret are allowed at all: between processes of
one machine, under mutual TLS where the owner says that this is enough, or where he insists.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from peers.core.entry import Epoch
from peers.core.membership import NodeId
from peers.wire import FRAME_BYTES_MAX, VERSION, VERSION_MIN

SECRET_BYTES_MIN: Final = 16  # whoever listens in on a proof can try shorter ones out
SEND_BUFFER_BYTES_MAX: Final = 64 << 20  # queued for one node; what comes on top is dropped
HALF_OPEN_MAX: Final = 64  # connections that have not proved themselves; the oldest gives way
STRANGERS_MAX: Final = 16  # links with nodes that are not in the list


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is."""

    node: NodeId
    birth: str
    incarnation: int


class Lineage(NamedTuple):
    """Where a node's log belongs: the mesh carries it, and does not look at it."""

    epoch: Epoch
    ancestors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeshTiming:
    """How patient a mesh is, in seconds."""

    ping_s: float = 1.0
    silent_s: float = 3.5  # a link over which nothing comes for so long is cut
    stalled_s: float = 10.0  # likewise one that takes nothing of what is queued
    connect_s: float = 3.0  # for TCP and TLS
    greeting_s: float = 5.0  # from the accepted connection to a link in use
    doubt_s: float = 1.0  # a link is to answer within it when the other node dials again
    close_s: float = 2.0  # for what is queued and the goodbye
    backoff_first_s: float = 0.05
    backoff_most_s: float = 2.0
    steady_s: float = 5.0  # a link that lasted so long makes the backoff start over
    refused_s: float = 15.0  # a refused link is tried again after half to all of it
    stranger_idle_s: float = 60.0
    breaker_failures_max: int = 8
    breaker_open_s: float = 5.0


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Where and how. ValueError, with what to do, for what would let strangers in."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any that is free
    advertise: tuple[str, ...] = ()  # where others reach it; empty: where it listens
    secret: bytes | None = None
    secret_also: bytes | None = None  # taken beside it, during a rotation; never shown unasked
    insecure: bool = False  # without a secret beyond this machine: whoever reaches it is let in
    tls_listen: ssl.SSLContext | None = None
    tls_dial: ssl.SSLContext | None = None
    secret_with_tls: bool = True  # whether mutual TLS leaves the secret needed
    send_buffer_bytes_max: int = SEND_BUFFER_BYTES_MAX
    frame_bytes_max: int = FRAME_BYTES_MAX
    half_open_max: int = HALF_OPEN_MAX
    strangers_max: int = STRANGERS_MAX
    versions: tuple[int, int] = (VERSION_MIN, VERSION)
    timing: MeshTiming = field(default_factory=MeshTiming)

    def __post_init__(self) -> None:
        for secret in (self.secret, self.secret_also):
            if secret is not None and len(secret) < SECRET_BYTES_MIN:
                raise ValueError(
                    f"a cluster secret of {len(secret)} bytes, where {SECRET_BYTES_MIN} are the "
                    "least: draw one at random, and give all nodes the same"
                )
        if self.secret_also is not None and self.secret is None:
            raise ValueError("a second cluster secret without a first: nothing could be shown")
        if (self.tls_listen is None) is not (self.tls_dial is None):
            raise ValueError("TLS for one direction only: every node dials and listens, give both")
        if not (self.secret or self.strangers_may_enter or is_loopback(self.host)):
            raise ValueError(
                f"no cluster secret, and {self.host} may be reached from elsewhere: set a secret "
                "(or mutual TLS with secret_with_tls off, or insecure)"
            )

    @property
    def place(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

    @property
    def strangers_may_enter(self) -> bool:
        """Whether links beyond this machine need no secret."""
        return self.insecure or (self.mutual_tls and not self.secret_with_tls)

    @property
    def mutual_tls(self) -> bool:
        """Whether both ends of a link show a certificate, which then must name their node."""
        contexts = (self.tls_listen, self.tls_dial)
        return all(each and each.verify_mode is ssl.CERT_REQUIRED for each in contexts)

    def permits(self, host: str) -> bool:
        """Whether a link with this host is allowed at all."""
        return self.secret is not None or self.strangers_may_enter or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and no other can claim to be it."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. ValueError where it is none."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
        if host and port and parts.netloc == address and "@" not in address:
            return host, port
    except ValueError:
        pass
    raise ValueError(f"{address!r} is no address of a node: write host:port, or [v6]:port")


def join_address(host: str, port: int) -> str:
    """The address of a host and a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
