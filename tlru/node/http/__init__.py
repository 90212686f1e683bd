"""The HTTP side of a node: everything on its port that is no WebSocket."""

from tlru.node.http.side import HttpSide

__all__ = ["HttpSide"]
