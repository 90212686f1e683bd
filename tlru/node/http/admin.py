"""The routes about the node: what it is, whether it is well.

This module decides no fact; it asks `facts.py` and `health.py`, and gives their words a status.
"""

from __future__ import annotations

from typing import Any

from tlru import errors
from tlru._version import __version__
from tlru.node import facts
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.problems import NeedsUpgrade
from tlru.node.http.request import Request
from tlru.wire.strict_json import shown

_PLACES = {
    "status": "/v1/status",
    "nodes": "/v1/nodes",
    "settings": "/v1/settings",
    "upgrade": "/v1/upgrade",
    "keys": "/v1/keys",
    "health": "/health/ready",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
    "javascript": "/tlru.js",
    "websocket": "/ws",
}


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


# -- the node


async def status(request: Request) -> Answer:
    """What this node says of itself."""
    request.only()
    return json_answer(facts.status(request.node, request.service))


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
