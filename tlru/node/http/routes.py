"""Everything that is served over HTTP: the one table of routes.

The description (`openapi.py`) is written against this table, and a test compares the two.
"""

from __future__ import annotations

from tlru.node.http import admin, batch, descriptions, keys, metrics, old_forms
from tlru.node.http.routing import Route, Table

_STATUS = {"GET": admin.status}
_NODES = {"GET": admin.nodes}
_KEY = {"GET": keys.get, "PUT": keys.put, "DELETE": keys.delete}

ROUTES = Table(
    (
        Route("/", {"GET": admin.index}),
        Route("/ws", {"GET": admin.websocket}),
        Route("/cache", {"GET": old_forms.read, "POST": old_forms.save}),
        Route("/v1/keys/incr", {"POST": keys.incr}),
        Route("/v1/keys/{key}/incr", {"POST": keys.incr}),
        Route("/v1/keys/{key}", _KEY),
        Route("/v1/keys", {**_KEY, "GET": keys.get_or_list}),
        Route("/v1/channels/{channel}", {"POST": keys.publish}),
        Route("/v1/batch", {"POST": batch.batch}),
        Route("/v1/command", {"POST": old_forms.command}),
        Route("/v1/status", _STATUS),
        Route("/status", _STATUS),
        Route("/v1/nodes", {**_NODES, "POST": admin.add_node}),
        Route("/nodes", _NODES),
        Route("/v1/nodes/{id}", {"GET": admin.node, "DELETE": admin.remove_node}),
        Route("/v1/nodes/{id}/lead", {"POST": admin.lead}),
        Route("/health/live", {"GET": admin.live}),
        Route("/health/ready", {"GET": admin.ready}),
        Route("/health/startup", {"GET": admin.startup}),
        Route("/metrics", {"GET": metrics.metrics}),
        Route("/openapi.json", {"GET": descriptions.openapi_json}),
        Route("/asyncapi.json", {"GET": descriptions.asyncapi_json}),
    )
)
