"""The two descriptions of a node, made once when somebody first asks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tlru.node.http import asyncapi, openapi
from tlru.node.http.answers import Answer, encode
from tlru.node.http.request import Request

if TYPE_CHECKING:
    from tlru.node.server import Node


class Descriptions:
    """The documents of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @cached_property
    def openapi(self) -> bytes:
        """What it serves over HTTP."""
        return encode(openapi.describe(self._node.limits, guarded=self._node.access.enabled))

    @cached_property
    def asyncapi(self) -> bytes:
        """What it says over the WebSocket."""
        node = self._node
        return encode(asyncapi.describe(node.limits, node.url, guarded=node.access.enabled))


async def openapi_json(request: Request) -> Answer:
    """The HTTP side, described."""
    request.only()
    return Answer(body=request.node.http.descriptions.openapi)


async def asyncapi_json(request: Request) -> Answer:
    """The WebSocket, described."""
    request.only()
    return Answer(body=request.node.http.descriptions.asyncapi)
