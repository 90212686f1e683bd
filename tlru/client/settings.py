"""What a client was asked to be: its servers, its patience and its bounds."""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from peers.awake import STAY_S
from tlru.client.server import DEFAULT_CACHE, Server
from tlru.client.tracing import TraceNow

DEFAULT_STAY_S: Final = STAY_S

# A token, or what fetches one anew (called again when a node says that it has run out).
Token: TypeAlias = str | Callable[[], str | Awaitable[str]] | None
# Who is told which server is in service now; None and why, where there is none any more.
OnLink: TypeAlias = Callable[[str | None, str], object] | None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds."""

    open: float = 5.0  # name lookup, TCP, TLS, upgrade and hello together
    open_elsewhere: float = 1.5  # the same, while there are others that have not been tried yet
    ping_after: float = 15.0  # heard nothing for so long: ask
    pong_within: float = 10.0  # still nothing: go elsewhere
    doubt: float = 1.0  # a request was in vain: the least time for a sign of life after that
    close: float = 1.0  # for the node to close in turn
    drain: float = 5.0  # for answers that a connection out of service still owes
    backoff_first: float = 0.1
    backoff_most: float = 20.0
    steady: float = 10.0  # in service for so long: the next trouble is a new one
    measure_first: float = 5.0  # between the first few measurements of the ways to servers
    measure_every: float = 60.0  # and between those after them


@dataclass(frozen=True, slots=True)
class Settings:
    """All that `connect` was told."""

    servers: tuple[Server, ...]
    servers_file: str | None = None
    region: str = ""
    zone: str = ""
    token: Token = field(default=None, repr=False)
    timeout: float = 2.0
    cache: str = DEFAULT_CACHE
    exactly_once: bool | None = None
    ssl: tls.SSLContext | None = None
    message_bytes_max: int = 64 << 20
    stay_awake: float = DEFAULT_STAY_S
    on_link: OnLink = field(default=None, repr=False)
    trace_now: TraceNow | None = field(default=None, repr=False)
    name: str = "tlru-python"
    timing: Timing = Timing()

    @property
    def place(self) -> str:
        """Where the cache is, in a word for its user."""
        return self.servers[0].url if self.servers else str(self.servers_file)
