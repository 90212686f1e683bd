"""A node's seat in a cluster: from what it is told to what its log needs, and back to what is told.

Decides how addresses, zone and labels stand in the details of a member, which the log carries and
does not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from peers.cluster.plan import ClusterPlan, Keeping
from peers.core.membership import Member, Role
from peers.core.timing import Timing
from peers.disk.store import Fsync
from peers.mesh.settings import MeshSettings
from tlru.config import Config
from tlru.node.tls import mesh_tls

URL: Final = "url"
ZONE: Final = "zone"
LABEL: Final = "label."
# What the node's configuration said when it last said so: `cluster/own_seat.py` knows what for.
TOLD_PRIORITY: Final = "told.priority"
TOLD_ROLE: Final = "told.role"
LEVEL: Final = 1  # the highest feature level that this release can apply
SEPARATOR: Final = ","  # no URL has one
STATE_FOLDER: Final = "state"
LOG_FOLDER: Final = "log"


def member_of(config: Config, urls: tuple[str, ...]) -> Member:
    """What the node is by its configuration; its birth is drawn with its state directory."""
    return Member(
        config.id,
        "",
        config.priority,
        Role(config.role),
        config.region,
        tuple(sorted(_details(config, urls))),
    )


def plan_of(config: Config, urls: tuple[str, ...]) -> ClusterPlan:
    """What the log of a node is told that clients reach at these URLs. TlsError where certificates
    are of no use."""
    address, tls = config.mesh_address, mesh_tls(config)
    return ClusterPlan(
        member=member_of(config, urls),
        join=config.join,
        founders=config.bootstrap,
        expect=config.expect,
        level=LEVEL,
        mesh=MeshSettings(
            host=address.host or "0.0.0.0",
            port=address.port,
            advertise=config.advertise_mesh,
            secret=config.token.encode() if config.token else None,
            secret_also=config.token_also.encode() if config.token_also else None,
            insecure=config.insecure,
            tls_listen=None if tls is None else tls.listen,
            tls_dial=None if tls is None else tls.dial,
            secret_with_tls=bool(config.token),
        ),
        keeping=_keeping(config),
        timing=Timing(
            heartbeat_ms=round(config.heartbeat * 1000),
            election_timeout_ms=round(config.election_timeout * 1000),
            settle_ms=round(config.settle * 1000),
            cold_start_majority=config.cold_start == "majority",
            hand_back=config.hand_back,
            finalize_after_ms=(
                None if config.finalize_after is None else round(config.finalize_after * 1000)
            ),
        ),
    )


def _keeping(config: Config) -> Keeping:
    data = None if config.data_dir is None else Path(config.data_dir)
    state = config.state_dir
    if state is None and data is not None:
        state = data / STATE_FOLDER
    return Keeping(
        state=None if state is None else Path(state),
        data=None if data is None else data / LOG_FOLDER,
        fsync=Fsync(config.fsync),
        fsync_interval_ms=round(config.fsync_interval * 1000),
        snapshot_interval_s=config.snapshot_interval,
    )


def _details(config: Config, urls: Iterable[str]) -> Iterator[tuple[str, str]]:
    yield URL, SEPARATOR.join(urls)
    yield TOLD_PRIORITY, str(config.priority)
    yield TOLD_ROLE, config.role
    if config.zone:
        yield ZONE, config.zone
    for name, word in config.label.items():
        yield LABEL + name, word


def alone(config: Config, urls: Iterable[str]) -> dict[str, Any]:
    """The seat of a node that has the cluster for itself, as a log tells of it."""
    return {
        "id": config.id,
        "priority": config.priority,
        "region": config.region,
        "role": str(Role.VOTER),
        "details": dict(_details(config, urls)),
    }


def seat_of(member: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a member, by what its log says."""
    details: Mapping[str, str] = member["details"]
    return {
        "id": member["id"],
        "addresses": [url for url in details.get(URL, "").split(SEPARATOR) if url],
        "region": member["region"],
        "zone": details.get(ZONE, ""),
        "labels": {n.removeprefix(LABEL): w for n, w in details.items() if n.startswith(LABEL)},
        "priority": member["priority"],
        "role": member["role"],
    }
