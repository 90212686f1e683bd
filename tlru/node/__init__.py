"""The server: one port for WebSocket and HTTP, in front of named caches."""

from tlru.node.server import Node

__all__ = ["Node"]
