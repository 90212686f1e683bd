"""The routes about the node: what it is, who its members are, whether it is well.

This module decides no fact; it asks `facts.py` and `health.py`, and gives their words a status.
"""

from __future__ import annotations

from typing import Any

from tlru import errors
from tlru._version import __version__
from tlru.node import facts
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.problems import NeedsUpgrade, NoMembers, NotFound
from tlru.node.http.request import Request
from tlru.wire.strict_json import shown

_PLACES = {
    "status": "/v1/status",
    "nodes": "/v1/nodes",
    "keys": "/v1/keys",
    "health": "/health/ready",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "websocket": "/ws",
}

_NO_MEMBERS = "this node's log has one member, itself, so there is none to add, remove or prefer"


async def index(request: Request) -> Answer:
    """What is here."""
    request.only()
    return json_answer(
        {
            "name": "tlru",
            "release": __version__,
            "node": request.node.config.id,
            "links": _PLACES,
        }
    )


async def websocket(request: Request) -> Answer:
    """A WebSocket is here, and HTTP is not."""
    raise NeedsUpgrade(
        "this is where WebSocket clients connect: send Upgrade: websocket, or use /v1 for HTTP",
        {"Upgrade": "websocket", "Connection": "Upgrade, close"},
    )


# -- the node and its members


async def status(request: Request) -> Answer:
    """What this node says of itself."""
    request.only()
    return json_answer(facts.status(request.node, request.service))


async def nodes(request: Request) -> Answer:
    """The members of the cluster."""
    request.only()
    return json_answer(facts.nodes(request.node, request.service))


async def node(request: Request) -> Answer:
    """One member of the cluster."""
    request.only()
    return json_answer(_member(request))


async def add_node(request: Request) -> Answer:
    """Add a member: a log of one has none."""
    request.only()
    raise NoMembers(_NO_MEMBERS)


async def remove_node(request: Request) -> Answer:
    """Remove a member: a log of one has no other, and it cannot go."""
    request.only()
    _member(request)
    raise NoMembers(_NO_MEMBERS)


async def lead(request: Request) -> Answer:
    """Hand the lead to a member, which in a log of one has it."""
    request.only()
    _member(request)
    return json_answer(facts.status(request.node, request.service))


def _member(request: Request) -> dict[str, Any]:
    for found in facts.nodes(request.node, request.service)["nodes"]:
        if found["id"] == request.place:
            return dict(found)
    raise NotFound(f"no member is called {shown(str(request.place))}; /v1/nodes lists them")


# -- health


async def live(request: Request) -> Answer:
    """The process runs."""
    request.only()
    return _health(*request.node.health.live())


async def ready(request: Request) -> Answer:
    """The node serves writes, or with `?for=read` reads."""
    request.only("for")
    purpose = request.query.get("for", "write")
    if purpose not in ("read", "write"):
        raise errors.BadRequest(f"`for` is {shown(purpose)}; it must be read or write")
    return _health(*request.node.health.ready(purpose))


async def startup(request: Request) -> Answer:
    """The node has come up."""
    request.only()
    return _health(*request.node.health.startup())


def _health(well: bool, told: dict[str, Any]) -> Answer:
    return json_answer(told, 200 if well else 503)
