"""The paths by which a cluster is run, for `/openapi.json`. Pure."""

from __future__ import annotations

from typing import Any

from tlru.engine.settings import DEFAULTS, is_valid
from tlru.node.cluster.doing import PRIORITY_MAX, SHED_WITHIN_S_MAX
from tlru.node.http import openapi_parts as parts
from tlru.node.http.members import ID_PATTERN, MEMBERS_MAX, WITHIN_S_MAX
from tlru.node.http.openapi_parts import answer, body, operation, place
from tlru.node.http.replies import reply
from tlru.node.http.schemas import (
    FLAG,
    NATURAL,
    TEXT,
    Schema,
    closed,
    described,
    listed,
    one_of,
    or_null,
    record,
    ref,
)

_WHO = place("id", "The member's id.", TEXT)
_ID: Schema = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
_PATIENCE: Schema = {
    "name": "timeout",
    "in": "query",
    "description": "For how many seconds it is seen through; 10 unless said.",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": WITHIN_S_MAX},
}
_UNKNOWN = {"404": parts.problem("There is no such member, or no such cache.")}
_NO_MEMBERS = {"409": parts.problem("A log of one has no members to change.")}

_INDEX = described(NATURAL, "The entry by which it was done.")
_STANDING = {
    "priority": or_null({"type": "integer", "minimum": 0, "maximum": PRIORITY_MAX}),
    "role": or_null({"type": "string", "enum": ["voter", "observer"]}),
}
_DONE: Schema = record({"id": TEXT}, index=_INDEX, priority=NATURAL, role=TEXT)
_SETTINGS: dict[str, Schema] = {
    name: or_null(NATURAL) if is_valid(name, None) else NATURAL for name in DEFAULTS
}
_SETTINGS["limits"] = or_null(described(TEXT, "What each class of clients may take."))
_SPREAD: Schema = {"type": "number", "minimum": 0, "maximum": SHED_WITHIN_S_MAX}
_COUNTS: Schema = {"type": "object", "additionalProperties": NATURAL}
_REPORT = listed(TEXT)


def _wish(
    name: str,
    summary: str,
    done: Schema,
    *,
    who: bool = True,
    answers: dict[str, Schema] | None = None,
    takes: Schema | None = None,
    more: str = "",
) -> Schema:
    """Something that is to be done."""
    found = {"200": answer("It is done.", done), **(answers or {})}
    return operation(
        name,
        summary,
        "cluster",
        {**found, **(_UNKNOWN if who else {"404": parts.UNKNOWN_CACHE})},
        parameters=[*([_WHO] if who else []), _PATIENCE, parts.CACHE],
        takes=takes,
        more=more,
    )


def _look(name: str, summary: str, schema: Schema, *, who: bool = False) -> Schema:
    """Something that is told."""
    missing = _UNKNOWN if who else {"404": parts.UNKNOWN_CACHE}
    found = {"200": answer("As it stands.", schema), **missing}
    asked = [*([_WHO] if who else []), parts.CACHE]
    return operation(name, summary, "cluster", found, parameters=asked)


def member_paths() -> dict[str, Any]:
    """Members, settings and releases."""
    return {**_members(), **_of_one(), **_of_all()}


def _members() -> dict[str, Any]:
    added = record(
        {"id": TEXT, "member": FLAG},
        index=_INDEX,
        priority=NATURAL,
        role=TEXT,
        start=described(listed(TEXT), "The command line by which a node of that id joins."),
    )
    asked = closed(record({"id": _ID}, **_STANDING))
    return {
        "/v1/nodes": {
            "get": _look("nodes", "The members of the cluster.", reply("nodes")),
            "post": _wish(
                "addNode",
                "Change a member, or be told how one of that id joins.",
                added,
                who=False,
                answers=_NO_MEMBERS,
                takes=body(asked),
                more="A node joins by itself, once it is started with the address of a member.",
            ),
        },
        "/nodes": {"get": _look("nodesShort", "The members of the cluster.", reply("nodes"))},
        "/v1/nodes/{id}": {
            "get": _look("node", "One member of the cluster.", ref("Member"), who=True),
            "patch": _wish(
                "changeNode",
                "Give a member another priority or role.",
                _DONE,
                answers=_NO_MEMBERS,
                takes=body({**closed(record({}, **_STANDING)), "anyOf": one_of(_STANDING)}),
            ),
            "delete": _wish(
                "removeNode",
                "Take a member out, for good: it does not come back with what it has kept.",
                record({"id": TEXT, "removed": FLAG}, index=_INDEX),
                answers=_NO_MEMBERS,
            ),
        },
    }


def _of_one() -> dict[str, Any]:
    reloaded = record({"id": TEXT}, changed=_REPORT, needs_restart=_REPORT, mistakes=_REPORT)
    revived = record({"id": TEXT, "epoch": TEXT, "members": listed(TEXT)})
    survivors = listed(_ID, minItems=1, maxItems=MEMBERS_MAX)
    return {
        "/v1/nodes/{id}/lead": {
            "post": _wish(
                "lead",
                "Hand the lead to a member; one that has it keeps it.",
                record({"id": TEXT, "leader": TEXT}, note=TEXT),
            )
        },
        "/v1/nodes/{id}/reload": {
            "post": _wish("reload", "Have a node read its configuration again.", reloaded)
        },
        "/v1/nodes/{id}/restart": {
            "post": _wish(
                "restart",
                "Have a node start anew in its place.",
                record(
                    {"id": TEXT, "started": described(NATURAL, "When it last started.")},
                    restarting=FLAG,
                    changed=_REPORT,
                    needs_restart=_REPORT,
                    mistakes=_REPORT,
                ),
            )
        },
        "/v1/nodes/{id}/restore": {
            "post": _wish(
                "restore",
                "Have a node throw its state away and take another's, over the network.",
                record({"id": TEXT, "pos": NATURAL}),
                answers=_NO_MEMBERS,
            )
        },
        "/v1/nodes/{id}/revive": {
            "post": _wish(
                "revive",
                "Have this node go on with some members, though a majority is away for good.",
                revived,
                answers=_NO_MEMBERS,
                takes=body(closed(record({"members": survivors}))),
                more="What those who are away had and this node has not is lost.",
            )
        },
    }


def _of_all() -> dict[str, Any]:
    sent = record({"clients": _COUNTS, "asked": _COUNTS, "within": {"type": "number"}})
    each = record(
        {"id": TEXT, "status": TEXT, "release": or_null(TEXT), "level_max": or_null(NATURAL)}
    )
    releases = record({"level": NATURAL, "possible": or_null(NATURAL), "nodes": listed(each)})
    return {
        "/v1/rebalance": {
            "post": _wish(
                "rebalance",
                "Ask clients of the nodes that have more than their share to go to the others.",
                sent,
                who=False,
                takes=body(closed(record({}, within=_SPREAD)), required=False),
            )
        },
        "/v1/settings": {
            "get": _look(
                "settings",
                "What all nodes go by.",
                record({"settings": record(_SETTINGS), "pos": NATURAL}),
            ),
            "patch": _wish(
                "changeSettings",
                "Change some of it, on all nodes.",
                record({"settings": record(_SETTINGS), "pos": NATURAL, "time": NATURAL}),
                who=False,
                takes=body({**closed(record({}, **_SETTINGS)), "minProperties": 1}),
            ),
        },
        "/v1/upgrade": {"get": _look("upgrade", "Which release each member runs.", releases)},
        "/v1/upgrade/finalize": {
            "post": _wish(
                "finalize",
                "Put in force what all members can apply. It is never taken back.",
                record({"level": NATURAL, "raised": FLAG}, index=_INDEX),
                who=False,
            )
        },
    }
