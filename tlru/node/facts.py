"""What a node says of itself: `hello`, `status`, `nodes`, and the list of servers.

This module decides which facts are told and what they are called; it gathers them, and changes
nothing but what `hello` asks of its own session.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from peers.cluster.cluster import ClusterLog
from peers.mesh.status import PeerStatus
from tlru import errors
from tlru._version import __version__
from tlru.access.authority import UnknownKeyError
from tlru.access.grant import NOBODY
from tlru.node import setup
from tlru.node.seats import LEVEL, alone, seat_of
from tlru.node.service import CacheService

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.session import NodeOp, Session

Fields = dict[str, Any]

# The least that a client may ask for as its largest message; below it a push could not be split.
MAX_BYTES_MIN = 1_024

FEATURES = (
    *("once", "locks", "unchanged", "rev", "command", "feeds", "fold", "sse", "tickets"),
    "trace",
)

REMOVED = (
    "it was taken out of its cluster, and stays out; to have it join as a newcomer, start it with "
    "an empty data_dir (and state_dir)"
)


def addresses(node: Node) -> list[str]:
    """The URLs by which clients reach the node."""
    return list(node.config.advertise) or [node.url]


def servers(node: Node, service: CacheService) -> list[dict[str, Any]]:
    """The list that clients choose from."""
    weights = node.desk(service).weights
    return [
        {
            "url": url,
            **{name: seat[name] for name in ("id", "region", "zone", "priority", "role", "status")},
            "weight": weights.of(seat["id"]),
        }
        for seat in seats(node, service)
        for url in seat["addresses"]
    ]


def others(node: Node, service: CacheService) -> list[dict[str, Any]]:
    """The servers that clients of this node can go to."""
    return [
        server
        for server in servers(node, service)
        if server["id"] != node.config.id and server["status"] == "active"
    ]


def seats(node: Node, service: CacheService) -> list[dict[str, Any]]:
    """The members of the cluster. Each node alone says how it is: of the others it is known here
    whether they were heard of late."""
    found = []
    for each in service.log.status().members:
        seat = seat_of(each)
        own = seat["id"] == node.config.id
        heard = "active" if each.get("heard", True) else "silent"
        found.append({**seat, "status": node.status if own else heard})
    return found


def status(node: Node, service: CacheService) -> dict[str, Any]:
    """What the node says of itself and of one cache."""
    log, machine = service.log.status(), service.machine
    seat = own_seat(node, service)
    # The digest of the last checkpoint: two nodes are compared at the same position.
    pos, digest = machine.noted or (0, 0)
    return {
        "node": node.config.id,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": round(node.started_at * 1000),
        "uptime_s": round(time.time() - node.started_at, 3),
        "release": __version__,
        "cache": service.name,
        "caches": sorted(node.services),
        "addresses": addresses(node),
        "labels": seat["labels"],
        "region": seat["region"],
        "zone": seat["zone"],
        "priority": seat["priority"],
        "status": node.status,
        "alarms": alarms(service),
        "level": level(service),
        "level_max": LEVEL,
        "role": log.role,
        "leads": service.log.leads,
        "leader": log.leader,
        "term": log.term,
        "epoch": str(log.epoch),
        "pos": machine.index,
        "time": service.log.now(),
        "digest": {"pos": pos, "value": f"{digest:016x}"},
        "vector": dict(log.vector),
        "lag": log.lag,
        "clock_error_ms": log.clock_error_ms,
        "keys": machine.items.count,
        "bytes": machine.items.bytes,
        "max_entries": machine.settings["max_entries"],
        "max_bytes": machine.settings["max_bytes"],
        "locks": len(machine.locks),
        "connections": len(node.connections),
        "subscriptions": service.feeds.feeds.readers,
        "subscriptions_behind": service.feeds.feeds.behind,
        "rates": node.rates.now(),
        "strain": node.strain.told(),
        "backups": node.backups.told(service),
        "setup": setup.told(node, seats(node, service)),
    }


def own_seat(node: Node, service: CacheService) -> dict[str, Any]:
    """The node's seat as all know it; where it has none, as it would be."""
    for member in service.log.status().members:
        if member["id"] == node.config.id:
            return seat_of(member)
    return seat_of(alone(node.config, addresses(node)))


def alarms(service: CacheService) -> list[str]:
    """What a person has to look at, each in a sentence."""
    log = service.log
    found = list(log.alarms()) if isinstance(log, ClusterLog) else []
    found += service.troubles.values()
    return [*found, *([REMOVED] if str(log.node_status) == "removed" else [])]


def level(service: CacheService) -> int:
    """The feature level that is in force."""
    replica = service.log.replica if isinstance(service.log, ClusterLog) else None
    return LEVEL if replica is None else replica.state.membership.level


def links(service: CacheService) -> list[dict[str, Any]]:
    """How it stands with each of the other nodes, as this one's mesh knows it."""
    log = service.log
    return [_link(each) for each in log.mesh.status()] if isinstance(log, ClusterLog) else []


def _link(peer: PeerStatus) -> dict[str, Any]:
    return {
        "to": peer.node,
        "state": str(peer.state),
        "why": peer.why,
        "address": peer.address,
        "version": peer.version,
        "round_trip_ms": _ms(peer.round_trip_s),
        "least_round_trip_ms": _ms(peer.least_round_trip_s),
        "clock_offset_ms": _ms(peer.offset_s),
        "next_s": peer.next_s,
        "circuit": peer.circuit,
        "queued_bytes": peer.queued_bytes,
        "dropped": peer.dropped,
        "reconnects": peer.reconnects,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def greet(node: Node, session: Session, args: Fields) -> Fields | Coroutine[Any, Any, Fields]:
    """`hello`, once it is known who says it. Unauthenticated where that has to be said, and is not,
    or not well."""
    access = node.access
    token = args.get("token")
    if access.enabled and token is None and session.grant is NOBODY:
        raise errors.Unauthenticated("this node wants a token: say it in `hello`")
    if access.enabled and token is not None:
        try:
            session.standing.renew(access.at_once(token), access)
        except UnknownKeyError:
            if not access.may_learn:
                raise
            session.hold(True)
            return _greet_later(node, session, args)
    return hello(node, session, args)


async def _greet_later(node: Node, session: Session, args: Fields) -> Fields:
    """The same, where a key has to be looked for: what was said after `hello` waits."""
    try:
        session.standing.renew(await node.access.grant_of(args["token"]), node.access)
        return hello(node, session, args)
    finally:
        if session.grant is not NOBODY:
            asyncio.get_running_loop().call_soon(session.hold, False)


def hello(node: Node, session: Session, args: dict[str, Any]) -> dict[str, Any]:
    """Who the client is; what the node is and allows."""
    if "client" in args:
        session.client = args["client"]
    if "max_bytes" in args:
        if args["max_bytes"] < MAX_BYTES_MIN:
            raise errors.BadRequest(f"`max_bytes` must be at least {MAX_BYTES_MIN}")
        session.send_at_most(min(args["max_bytes"], session.limits.push_bytes))
    service = session.service
    return {
        "node": node.config.id,
        "cache": service.name,
        "release": __version__,
        "epoch": str(service.log.epoch),
        "pos": service.machine.index,
        "status": node.status,
        "leader": service.log.status().leader,
        "servers": servers(node, service),
        "limits": session.limits.to_wire(),
        "features": list(FEATURES),
        "may": session.grant.told(),
        "retained": service.feeds.retained(service.log.now()),
        "time": service.log.now(),
    }


def session_ops(node: Node) -> dict[str, NodeOp]:
    """The operations that ask about the node rather than the cache."""
    return {
        "hello": lambda session, args: greet(node, session, args),
        "status": lambda session, args: status(node, session.service),
        "nodes": lambda session, args: node.desk(session.service).members.told(),
        "node": lambda session, args: _one(node, session.service, args.get("node")),
        "ping": lambda session, args: {"time": session.service.log.now()},
    }


async def _one(node: Node, service: CacheService, id: str | None) -> dict[str, Any]:
    # Nested: a member's own `id` would be taken for the request's.
    return {"node": await node.desk(service).members.one(id)}
