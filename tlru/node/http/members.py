"""The routes by which a cluster is run: its members, its settings, its releases.

This module decides how a request becomes a wish and which status an answer has; where a wish goes
and what is done about it, `cluster/desk.py` decides.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tlru import errors
from tlru.node.cluster.desk import SPREAD_S, WITHIN_S, Desk
from tlru.node.cluster.doing import PRIORITY_MAX, SHED_WITHIN_S_MAX, role
from tlru.node.http.answers import Answer, json_answer
from tlru.node.http.asking import Fields
from tlru.node.http.problems import NoMembers, NotFound
from tlru.node.http.request import Request, number
from tlru.wire.strict_json import shown

WITHIN_S_MAX: Final = 120.0
MEMBERS_MAX: Final = 64
ID_PATTERN: Final = "[A-Za-z0-9_.-]{1,64}"
_ID = re.compile(ID_PATTERN, re.ASCII)
_NO_MEMBERS = "this node's log has one member, itself, so there is none to add, remove or change"


async def nodes(request: Request) -> Answer:
    """The members of the cluster."""
    request.only()
    return json_answer(await _desk(request).members.told())


async def node(request: Request) -> Answer:
    """One member of the cluster."""
    request.only()
    _check_member(request)
    return json_answer(await _desk(request).members.one(request.place))


async def add(request: Request) -> Answer:
    """Change a member, or tell how one of that id comes to be."""
    within_s = _patience(request)
    desk = _several(request)
    fields = await request.json_object(may_lack=True)
    if "id" not in fields:
        raise errors.BadRequest("`id` is missing: which node is it?")
    id = _id(fields.pop("id"), "id")
    given = _standing(fields)
    if desk.is_member(id):
        done = {"id": id} if not given else await desk.alter(id, given, within_s)
        return json_answer({**done, "member": True})
    return json_answer({"id": id, "member": False, "start": desk.how_to_start(id, given)})


async def change(request: Request) -> Answer:
    """Give a member another priority or role."""
    within_s = _patience(request)
    given = _standing(await request.json_object(may_lack=True))
    desk = _several(request)
    _check_member(request)
    if not given:
        raise errors.BadRequest("nothing is to be changed: give `priority` or `role`")
    return json_answer(await desk.alter(str(request.place), given, within_s))


async def remove(request: Request) -> Answer:
    """Take a member out."""
    within_s = _patience(request)
    desk = _several(request, member=True)
    return json_answer(await desk.remove(str(request.place), within_s))


async def lead(request: Request) -> Answer:
    """Hand the lead to a member; one that has it keeps it."""
    within_s = _patience(request)
    _check_member(request)
    desk = _desk(request)
    if desk.alone:
        return json_answer({"id": request.place, "leader": request.place})
    return json_answer(await desk.lead(str(request.place), within_s))


async def reload(request: Request) -> Answer:
    """Have a node read its configuration again."""
    return await _told(request, "reload")


async def restart(request: Request) -> Answer:
    """Have a node start anew in its place."""
    return await _told(request, "restart")


async def restore(request: Request) -> Answer:
    """Have a node replace its state by another's."""
    within_s = _patience(request)
    desk = _several(request, member=True)
    return json_answer(await desk.tell(str(request.place), "restore", within_s))


async def revive(request: Request) -> Answer:
    """Have this node go on with some members, though a majority is away."""
    within_s = _patience(request)
    fields = await request.json_object(may_lack=True)
    desk = _several(request, member=True)
    found = fields.pop("members", None)
    _refuse_others(fields, "members")
    if not isinstance(found, list) or not 0 < len(found) <= MEMBERS_MAX:
        raise errors.BadRequest("`members` must be a list of the ids of those who go on")
    members = tuple(_id(each, "members") for each in found)
    return json_answer(await desk.revive(str(request.place), members, within_s))


async def rebalance(request: Request) -> Answer:
    """Ask clients of the nodes that have more than their share to go to the others."""
    within_s = _patience(request)
    fields = await request.json_object(may_lack=True)
    spread = fields.pop("within", SPREAD_S)
    _refuse_others(fields, "within")
    if type(spread) not in (int, float) or not 0 <= spread <= SHED_WITHIN_S_MAX:
        raise errors.BadRequest(f"`within` must be 0 to {SHED_WITHIN_S_MAX:g} seconds")
    return json_answer(await _desk(request).rebalance(spread, within_s))


async def settings(request: Request) -> Answer:
    """What all nodes go by."""
    request.only()
    return json_answer(_desk(request).settings())


async def change_settings(request: Request) -> Answer:
    """Change some of it, on all nodes."""
    within_s = _patience(request)
    given = await request.json_object(may_lack=True)
    return json_answer(await _desk(request).change_settings(given, within_s))


async def upgrade(request: Request) -> Answer:
    """Which release each member runs."""
    request.only()
    return json_answer(await _desk(request).upgrade())


async def finalize(request: Request) -> Answer:
    """Put in force what all members can apply."""
    return json_answer(await _desk(request).finalize(_patience(request)))


# -- what they share


def _desk(request: Request) -> Desk:
    return request.node.desk(request.service)


def _several(request: Request, *, member: bool = False) -> Desk:
    """The desk, where there are members to change."""
    if member:
        _check_member(request)
    desk = _desk(request)
    if desk.alone:
        raise NoMembers(_NO_MEMBERS)
    return desk


def _check_member(request: Request) -> None:
    id = str(request.place)
    if id != request.node.config.id and not _desk(request).is_member(id):
        raise NotFound(f"no member is called {shown(id)}; /v1/nodes lists them")


async def _told(request: Request, what: str) -> Answer:
    within_s = _patience(request)
    _check_member(request)
    return json_answer(await _desk(request).tell(str(request.place), what, within_s))


def _patience(request: Request) -> float:
    """For how long what is wished is seen through, in seconds."""
    request.only("timeout")
    request.runs_the_cluster = True
    if "timeout" not in request.query:
        return WITHIN_S
    found = number(request.query["timeout"])
    if not isinstance(found, int | float) or not 0 < found <= WITHIN_S_MAX:
        raise errors.BadRequest(
            f"`timeout` must be seconds, more than 0 and up to {WITHIN_S_MAX:g}"
        )
    return float(found)


def _standing(fields: Fields) -> Fields:
    """Priority and role, where they are given."""
    given: dict[str, Any] = {}
    if (priority := fields.pop("priority", None)) is not None:
        if type(priority) is not int or not 0 <= priority <= PRIORITY_MAX:
            raise errors.BadRequest(f"`priority` must be an integer of 0 to {PRIORITY_MAX}")
        given["priority"] = priority
    if (named := fields.pop("role", None)) is not None:
        given["role"] = str(role(named))
    if own := [name for name in fields if name in ("region", "zone", "labels", "addresses")]:
        raise errors.BadRequest(
            f"{', '.join(f'`{name}`' for name in own)}: a node says that of itself; change its "
            "configuration, and reload or restart it"
        )
    _refuse_others(fields, "priority, role")
    return given


def _refuse_others(fields: Fields, known: str) -> None:
    if fields:
        names = ", ".join(shown(name) for name in list(fields)[:8])
        raise errors.BadRequest(f"unknown fields: {names}; known are {known}")


def _id(found: Any, name: str) -> str:
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise errors.BadRequest(f"`{name}` must be an id: 1 to 64 letters, digits, '_', '.' or '-'")
    return found
