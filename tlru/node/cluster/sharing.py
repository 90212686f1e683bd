"""How many of its clients each node should send away so that all have their share. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping


def excess(clients: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """How many clients each node has above its share, which goes by its weight, rounded up: nobody
    is sent away from where he would come back to."""
    total, weight = sum(clients.values()), sum(weights[node] for node in clients)
    if not weight:
        return {}
    over = {
        node: count - math.ceil(total * weights[node] / weight) for node, count in clients.items()
    }
    return {node: count for node, count in sorted(over.items()) if count > 0}
