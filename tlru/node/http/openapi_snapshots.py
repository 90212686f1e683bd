"""The path of backups, for `/openapi.json`. Pure."""

from __future__ import annotations

from typing import Any

from tlru.node.http import openapi_parts as parts
from tlru.node.http.openapi_parts import answer, body, operation
from tlru.node.http.schemas import NATURAL, TEXT, Schema, described, record
from tlru.node.http.snapshots import LIVES, MEDIA_TYPE

_BACKUP = described(
    {"type": "string", "format": "binary"}, "A backup, in the form that docs/backup.md describes."
)
_MEANT: Schema = {
    "name": "as_new_epoch",
    "in": "query",
    "required": True,
    "description": "That the cache's life ends and another begins, which is what happens.",
    "schema": {"const": "true"},
}
_LIVES: Schema = {
    "name": "lives",
    "in": "query",
    "description": "Whether lives go on with what is left now, or with what was at the backup.",
    "schema": {"type": "string", "enum": list(LIVES), "default": LIVES[0]},
}


def snapshot_paths() -> dict[str, Any]:
    """Backups, and back from one."""
    done = record(
        {
            "id": TEXT,
            "epoch": TEXT,
            "pos": NATURAL,
            "keys": described(NATURAL, "How many items live."),
            "over": described(NATURAL, "How many of the backup's do not any more."),
            "age_s": described({"type": "number", "minimum": 0}, "How old the backup is."),
        }
    )
    taken = {
        "description": "All of the cache, exact at one entry. One that ends early is cut short.",
        "content": {MEDIA_TYPE: {"schema": _BACKUP}},
    }
    missing = {"404": parts.UNKNOWN_CACHE}
    return {
        "/v1/snapshot": {
            "get": operation(
                "takeSnapshot",
                "Take a backup of the cache, while it serves.",
                "cluster",
                {"200": taken, **missing},
                parameters=[parts.CACHE],
            ),
            "post": operation(
                "restoreSnapshot",
                "Begin a new epoch of the cache from a backup.",
                "cluster",
                {"200": answer("It is done.", done), **missing},
                parameters=[_MEANT, _LIVES, parts.CACHE],
                takes=body(_BACKUP, MEDIA_TYPE),
                more="By a node that belongs to nothing yet or is alone; others then join it.",
            ),
        }
    }
