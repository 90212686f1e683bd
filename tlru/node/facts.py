"""What a node says of itself: `hello`, `status`, `nodes`, and the list of servers.

This module decides which facts are told and what they are called; it gathers them, and changes
nothing but what `hello` asks of its own session.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

from tlru import errors
from tlru._version import __version__
from tlru.node.seats import seat_of
from tlru.node.service import CacheService

if TYPE_CHECKING:
    from tlru.node.server import Node
    from tlru.node.session import NodeOp, Session

# The least that a client may ask for as its largest message; below it a push could not be split.
MAX_BYTES_MIN = 1_024

FEATURES = ("once", "locks", "unchanged", "rev", "command")

# Without authentication everybody may do everything: one prefix, the empty one, of each right.
EVERYTHING: dict[str, Any] = {
    "read": [""],
    "write": [""],
    "subscribe": [""],
    "publish": [""],
    "admin": True,
}


def addresses(node: Node) -> list[str]:
    """The URLs by which clients reach the node."""
    return list(node.config.advertise) or [node.url]


def servers(node: Node, service: CacheService) -> list[dict[str, Any]]:
    """The list that clients choose from."""
    return [
        {
            "url": url,
            **{name: seat[name] for name in ("id", "region", "zone", "priority", "role", "status")},
            "weight": 1.0,
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
        "labels": dict(node.config.label),
        "region": node.config.region,
        "zone": node.config.zone,
        "priority": node.config.priority,
        "status": node.status,
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
        "rates": node.rates.now(),
    }


def nodes(node: Node, service: CacheService) -> dict[str, Any]:
    """The members of the cluster, each with what it says of itself."""
    log = service.log.status()
    own = status(node, service)
    members = [
        {**seat, "links": [], **(own if seat["id"] == node.config.id else {})}
        for seat in seats(node, service)
    ]
    return {"leader": log.leader, "term": log.term, "epoch": str(log.epoch), "nodes": members}


def one_node(node: Node, service: CacheService, node_id: str | None) -> dict[str, Any]:
    """One member; this node where none is named."""
    wanted = node.config.id if node_id is None else node_id
    for found in nodes(node, service)["nodes"]:
        if found["id"] == wanted:
            return dict(found)
    raise errors.BadRequest(f"no member is called {wanted!r}; `nodes` lists them")


def hello(node: Node, session: Session, args: dict[str, Any]) -> dict[str, Any]:
    """Who the client is; what the node is and allows."""
    if "client" in args:
        session.client = args["client"]
    if "max_bytes" in args:
        if args["max_bytes"] < MAX_BYTES_MIN:
            raise errors.BadRequest(f"`max_bytes` must be at least {MAX_BYTES_MIN}")
        session.push_bytes = min(args["max_bytes"], session.limits.push_bytes)
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
        "may": EVERYTHING,
        "retained": {"entries": 0, "seconds": 0},
        "time": service.log.now(),
    }


def session_ops(node: Node) -> dict[str, NodeOp]:
    """The operations that ask about the node rather than the cache."""
    return {
        "hello": lambda session, args: hello(node, session, args),
        "status": lambda session, args: status(node, session.service),
        "nodes": lambda session, args: nodes(node, session.service),
        # Nested: a member's own `id` would be taken for the request's.
        "node": lambda session, args: {"node": one_node(node, session.service, args.get("node"))},
        "ping": lambda session, args: {"time": session.service.log.now()},
    }
