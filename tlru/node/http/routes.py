"""Everything that is served over HTTP: the one table of routes.

The description (`openapi.py`) is written against this table, and a test compares the two.
"""

from __future__ import annotations

from tlru.node.http import (
    admin,
    batch,
    descriptions,
    events,
    keys,
    members,
    metrics,
    old_forms,
    pages,
    scripts,
    snapshots,
)
from tlru.node.http.routing import Route, Table

_STATUS = {"GET": admin.status}
_NODES = {"GET": members.nodes}
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
        Route("/v1/events", {"GET": events.events}),
        Route("/v1/ticket", {"POST": events.ticket}),
        Route("/v1/batch", {"POST": batch.batch}),
        Route("/v1/command", {"POST": old_forms.command}),
        Route("/v1/status", _STATUS),
        Route("/status", _STATUS),
        Route("/v1/nodes", {**_NODES, "POST": members.add}),
        Route("/nodes", _NODES),
        Route(
            "/v1/nodes/{id}",
            {"GET": members.node, "PATCH": members.change, "DELETE": members.remove},
        ),
        Route("/v1/nodes/{id}/lead", {"POST": members.lead}),
        Route("/v1/nodes/{id}/reload", {"POST": members.reload}),
        Route("/v1/nodes/{id}/restart", {"POST": members.restart}),
        Route("/v1/nodes/{id}/restore", {"POST": members.restore}),
        Route("/v1/nodes/{id}/revive", {"POST": members.revive}),
        Route("/v1/snapshot", {"GET": snapshots.take, "POST": snapshots.restore}),
        Route("/v1/rebalance", {"POST": members.rebalance}),
        Route("/v1/settings", {"GET": members.settings, "PATCH": members.change_settings}),
        Route("/v1/upgrade", {"GET": members.upgrade}),
        Route("/v1/upgrade/finalize", {"POST": members.finalize}),
        Route("/health/live", {"GET": admin.live}),
        Route("/health/ready", {"GET": admin.ready}),
        Route("/health/startup", {"GET": admin.startup}),
        Route("/metrics", {"GET": metrics.metrics}),
        Route("/openapi.json", {"GET": descriptions.openapi_json}),
        Route("/asyncapi.json", {"GET": descriptions.asyncapi_json}),
        Route("/tlru.js", {"GET": scripts.entry}),
        Route("/js/{file}", {"GET": scripts.module}),
        Route("/dashboard", {"GET": pages.moved}),
        Route("/dashboard/", {"GET": pages.page}),
        Route("/dashboard/{file}", {"GET": pages.file}),
    )
)
