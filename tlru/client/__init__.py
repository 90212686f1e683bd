"""The Python client: a cache on one's own event loop, that keeps itself connected.

`cache.py` is its face; from there `exchange.py` turns calls into messages and replies into results,
`keeper.py` keeps a connection in service, `connection.py` and `framing.py` carry it. What is
watched comes the other way: `feeds.py` hands pushes to `trunk.py`, that to `feed.py`, and that to a
watch (`watching.py`) or a copy (`copies.py`, with `near.py` and `mirror.py` as its faces).
"""

from tlru.client.cache import Cache, connect
from tlru.client.cached import Cached
from tlru.client.changes import Change, Changed, Cleared, Message, Removed, Reset, Set, Touched
from tlru.client.locks import Lock, LockLost
from tlru.client.mirror import Mirror
from tlru.client.near import Near
from tlru.client.results import MISSING, UNSET, Item, Written
from tlru.client.serializers import Msgpack, Raw, Serializer
from tlru.client.server import Server
from tlru.client.typed import typed
from tlru.client.watching import Watch

__all__ = [
    "MISSING",
    "UNSET",
    "Cache",
    "Cached",
    "Change",
    "Changed",
    "Cleared",
    "Item",
    "Lock",
    "LockLost",
    "Message",
    "Mirror",
    "Msgpack",
    "Near",
    "Raw",
    "Removed",
    "Reset",
    "Serializer",
    "Server",
    "Set",
    "Touched",
    "Watch",
    "Written",
    "connect",
    "typed",
]
