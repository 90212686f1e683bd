"""Everything that a node can be told: `Config`, whose fields are the one table of options.

The fields of some sections stand beside this module, in files that end in `_options.py`.

Decides names, types, defaults and bounds. Reads no file and no variable (`sources.py` does), opens
nothing and asks the machine nothing: whether a port is free or a directory can be written shows at
the start. A `Config` that exists is right in itself, however it was made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.awake import STAY_S
from tlru.config.access_options import AccessOptions
from tlru.config.addresses import Address, checked_address
from tlru.config.backup_options import BackupOptions
from tlru.config.checks import cross_checks
from tlru.config.kinds import Choice, Directory, File, ListenAddress, Name, Secret, Switch, Url
from tlru.config.limit_options import LimitOptions
from tlru.config.log_options import LogOptions
from tlru.config.mistakes import ConfigError, Kind, Mistake, Origin, WrongValueError
from tlru.config.numbers import Count, Duration, Size
from tlru.config.options import Change, Option, Section, option, options_of
from tlru.config.safety_options import SafetyOptions
from tlru.config.several import Labels, ListOf, Maybe
from tlru.config.strain_options import StrainOptions
from tlru.config.tls_options import TlsOptions
from tlru.config.trace_options import TraceOptions
from tlru.wire.limits import Limits

_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_HOUR, _DAY = 3_600.0, 86_400.0
_NODE, _NETWORK, _CACHE = Section.NODE, Section.NETWORK, Section.CACHE
_CLUSTER = Section.CLUSTER
_RUNNING = Section.RUNNING
_LIVE, _RESTART = Change.LIVE, Change.RESTART


@dataclass(frozen=True, kw_only=True)
class Config(
    LogOptions,
    LimitOptions,
    AccessOptions,
    SafetyOptions,
    StrainOptions,
    TlsOptions,
    BackupOptions,
    TraceOptions,
):
    """What a node is told. Raises `ConfigError`, which lists every mistake.

    Each argument takes what the same key takes in a TOML file, so text with units works at run time
    too: `Config(max_bytes="512MiB")`. The attributes have the types that are written here.
    """

    id: str = option(
        Name(),
        "n1",
        _NODE,
        _RESTART,
        "The node's name, its own among the members of a cluster.",
        guesses=("name", "node", "node_id"),
    )
    region: str = option(
        Name(empty=True),
        "",
        _NODE,
        _LIVE,
        "Where the node stands; clients prefer servers of their region.",
    )
    zone: str = option(Name(empty=True), "", _NODE, _LIVE, "The failure domain within the region.")
    priority: int = option(
        Count(0, 1_000),
        100,
        _NODE,
        _LIVE,
        "The node with the highest priority leads while it is healthy.",
    )
    label: Mapping[str, str] = option(
        Labels(),
        {},
        _NODE,
        _LIVE,
        "Words of your own about the node, shown in its status.",
        guesses=("labels", "tag", "tags"),
    )
    data_dir: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(Directory()),
        None,
        _NODE,
        _RESTART,
        "Keeps the node's identity and snapshots here, in a cluster its log too; without it a "
        "restart begins empty.",
        guesses=("dir", "data", "directory", "path"),
    )

    listen: str = option(
        ListenAddress(),
        "127.0.0.1:8400",
        _NETWORK,
        _LIVE,
        "Serves clients here, WebSocket and HTTP on one port. Port 0 is any free one, :8400 is "
        "port 8400 on every interface.",
        guesses=("port", "host", "bind", "address", "addr"),
    )
    mesh: str = option(
        ListenAddress(),
        "127.0.0.1:8401",
        _NETWORK,
        _LIVE,
        "Talks to the other nodes here.",
        guesses=("peer", "peers", "cluster"),
    )
    advertise: tuple[str, ...] = option(
        ListOf(Url("ws", "wss", example="wss://cache.example/ws")),
        (),
        _NETWORK,
        _LIVE,
        "The URLs by which clients reach this node, where not simply by its address.",
        guesses=("url", "urls", "public"),
    )
    cors_origins: tuple[str, ...] = option(
        ListOf(Url("http", "https", example="https://shop.example", bare=True)),
        (),
        _NETWORK,
        _LIVE,
        "The origins whose web pages may talk to this node, beside its own.",
        guesses=("cors", "origins", "allowed_origins"),
    )

    join: tuple[str, ...] = option(
        ListOf(ListenAddress()),
        (),
        _CLUSTER,
        _LIVE,
        "The mesh addresses of nodes to ask, one of them is enough: to be let into their cluster, "
        "or to found one with them.",
        guesses=("seeds", "seed", "contact", "contacts"),
    )
    bootstrap: tuple[str, ...] = option(
        ListOf(Name()),
        (),
        _CLUSTER,
        _RESTART,
        "The ids of those who found a cluster together, this node among them; nothing where there "
        "is one already.",
        guesses=("founders", "initial_cluster"),
    )
    expect: int = option(
        Count(0, 64),
        0,
        _CLUSTER,
        _RESTART,
        "How many nodes, this one among them, found a cluster together, once they have met at the "
        "addresses of join; 0 founds none.",
        guesses=("bootstrap_expect", "replicas", "size_of_cluster"),
    )
    token: str = option(
        Secret(least=16),
        "",
        _CLUSTER,
        _LIVE,
        "What all nodes of the cluster know and nobody else: who does not is not let in.",
        guesses=("secret", "cluster_secret", "password", "key"),
    )
    role: str = option(
        Choice("voter", "observer"),
        "voter",
        _CLUSTER,
        _LIVE,
        "A voter may lead; an observer holds everything and never votes.",
    )
    advertise_mesh: tuple[str, ...] = option(
        ListOf(ListenAddress()),
        (),
        _CLUSTER,
        _LIVE,
        "The addresses by which the other nodes reach this one, where not simply by mesh.",
    )
    mesh_cert: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _CLUSTER,
        _LIVE,
        "The certificate that this node shows to the others, with those between it and mesh_ca, as "
        "PEM; with it, mesh_key and mesh_ca all that nodes say to each other goes through TLS.",
    )
    mesh_key: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _CLUSTER,
        _LIVE,
        "The private key of mesh_cert, as PEM, without a passphrase.",
    )
    mesh_ca: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        _CLUSTER,
        _LIVE,
        "Who vouches for the certificates of all nodes, as PEM; no token is needed beside it.",
        guesses=("tls_ca", "ca"),
    )
    state_dir: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(Directory()),
        None,
        _CLUSTER,
        _RESTART,
        "Keeps what the node has promised to the others; else in data_dir. Without either a "
        "restarted node comes as a new one.",
    )
    fsync: str = option(
        Choice("always", "interval", "never"),
        "always",
        _CLUSTER,
        _RESTART,
        "When what is written to data_dir counts as kept: once it is synced, or at once, with a "
        "sync every so often or none.",
    )
    fsync_interval: float = option(
        Duration(0.01, 60.0),
        1.0,
        _CLUSTER,
        _RESTART,
        "How often the log is synced with fsync interval.",
    )
    hand_back: bool = option(
        Switch(),
        True,
        _CLUSTER,
        _LIVE,
        "Lets the node of the highest priority take the lead back once it is steady.",
    )
    settle: float = option(
        Duration(0.1, _HOUR),
        5.0,
        _CLUSTER,
        _LIVE,
        "How long a node has to be heard without a break to count as steady.",
    )
    stale_reads: bool = option(
        Switch(),
        False,
        _CLUSTER,
        _LIVE,
        "Lets a node that is cut off, or behind, answer reads of which any answer will do (read: "
        "any); each says how old it may be.",
        guesses=("read_any", "allow_stale", "stale"),
    )
    cold_start: str = option(
        Choice("all", "majority"),
        "all",
        _CLUSTER,
        _LIVE,
        "Who has to be there for the cluster to go on after a power cut that took the logs of too "
        "many voters.",
    )
    heartbeat: float = option(
        Duration(0.01, 10.0), 0.1, _CLUSTER, _RESTART, "How often the leader says that it is there."
    )
    election_timeout: float = option(
        Duration(0.1, 60.0),
        1.0,
        _CLUSTER,
        _RESTART,
        "How long nothing is heard of a leader until others stand.",
    )
    finalize_after: float | None = option(
        Maybe(Duration(0.1, 30 * _DAY)),
        None,
        _CLUSTER,
        _LIVE,
        "How long all nodes must have been able to use what a new release brings until it is used; "
        "without it, `tlru upgrade finalize` decides.",
    )

    caches: tuple[str, ...] = option(
        ListOf(Name(), least=1),
        ("default",),
        _CACHE,
        _RESTART,
        "The names of the caches; each has contents, positions and budgets of its own.",
        guesses=("cache",),
    )
    max_bytes: int = option(
        Size(1, 1_024 * _TIB),
        _GIB,
        _CACHE,
        _LIVE,
        "How much a cache may hold; beyond it the least recently used items go.",
        guesses=("memory", "maxmemory", "max_memory", "size", "max_size"),
    )
    max_entries: int | None = option(
        Maybe(Count(1, 1_000_000_000_000)),
        None,
        _CACHE,
        _LIVE,
        "How many items a cache may hold; without it bytes alone decide.",
        guesses=("entries", "max_items", "max_keys", "maxsize"),
    )
    retained_bytes: int = option(
        Size(64 * _KIB, _TIB),
        64 * _MIB,
        _CACHE,
        _RESTART,
        "How much of what has happened is kept for subscribers that resume or read slowly.",
        guesses=("retained", "replay", "history"),
    )
    snapshot_interval: float = option(
        Duration(0.1, _DAY),
        60.0,
        _CACHE,
        _LIVE,
        "How often a node with a data directory saves what it holds.",
        guesses=("snapshot", "snapshots", "save"),
    )

    grace: float = option(
        Duration(0.0, _HOUR),
        10.0,
        _RUNNING,
        _LIVE,
        "How long a node that is asked to stop lets clients finish and leave.",
        guesses=("grace_period", "shutdown_timeout", "drain"),
    )
    log_level: str = option(
        Choice("debug", "info", "warning", "error"),
        "info",
        _RUNNING,
        _LIVE,
        "The least important lines to log.",
        guesses=("loglevel", "level", "verbosity"),
    )
    log_format: str = option(
        Choice("text", "json"),
        "text",
        _RUNNING,
        _LIVE,
        "Lines for people, or one JSON object a line.",
        guesses=("logformat",),
    )
    uvloop: bool = option(
        Switch(),
        True,
        _RUNNING,
        _RESTART,
        "Uses uvloop's event loop where it is installed.",
        guesses=("loop",),
    )

    stay_awake: float = option(
        Duration(0.0, 0.01),
        STAY_S,
        _RUNNING,
        _LIVE,
        "How long the node turns its event loop at most, instead of sleeping, where requests have "
        "followed as soon as that; 0 lets it sleep always.",
        guesses=("spin", "busy_poll"),
    )

    def __post_init__(self) -> None:
        values: dict[str, Any] = {}
        mistakes: list[Mistake] = []
        origins = {one.name: Origin(Kind.ARGUMENT, f"Config({one.name}=...)") for one in OPTIONS}
        for one in OPTIONS:
            try:
                values[one.name] = one.kind.from_value(getattr(self, one.name))
            except WrongValueError as problem:
                mistakes.append(Mistake(origins[one.name], str(problem)))
        mistakes += cross_checks(values, origins)
        if mistakes:
            raise ConfigError(mistakes)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_sources(
        cls,
        file: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        flags: Mapping[str, object] | None = None,
    ) -> Config:
        """Defaults, under a TOML file, under the environment, under flags.

        `env` is this process's environment unless given; `flags` maps option names to values.
        """
        from tlru.config.sources import (
            resolve,
        )  # it builds a Config, so it stands above this module

        return resolve(file, env, flags).config

    @property
    def listen_address(self) -> Address:
        """`listen`, as host and port."""
        return checked_address(self.listen)

    @property
    def mesh_address(self) -> Address:
        """`mesh`, as host and port."""
        return checked_address(self.mesh)

    @property
    def clustered(self) -> bool:
        """Whether the node is one of several."""
        return bool(self.join or self.bootstrap or self.expect)

    def limits(self) -> Limits:
        """The limits that `hello` tells a client."""
        told = [one.name for one in OPTIONS if one.spec.section is Section.LIMITS]
        return Limits(**{name: getattr(self, name) for name in told})


OPTIONS: tuple[Option, ...] = options_of(Config)
