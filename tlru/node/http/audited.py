"""Which requests are told to the audit log, and what of them.

Everything that changes the cluster or a node has a row here, and so has taking all of a cache away;
a test walks through the routes and fails where one that is no matter of the cache's content has
none. What of a body is told, the row names: nothing else of it is, since it may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tlru.access.grant import EVERYTHING, Grant
from tlru.engine.settings import DEFAULTS
from tlru.errors import BadRequest, Internal, TlruError
from tlru.node.http.request import Request


class Row(NamedTuple):
    """What an admin does by such a request, and what of the body is told."""

    action: str
    fields: tuple[str, ...] = ()


AUDITED: Final[Mapping[tuple[str, str], Row]] = {
    ("POST", "/v1/nodes"): Row("add", ("id", "priority", "role")),
    ("PATCH", "/v1/nodes/{id}"): Row("change", ("priority", "role")),
    ("DELETE", "/v1/nodes/{id}"): Row("remove"),
    ("POST", "/v1/nodes/{id}/lead"): Row("lead"),
    ("POST", "/v1/nodes/{id}/reload"): Row("reload"),
    ("POST", "/v1/nodes/{id}/restart"): Row("restart"),
    ("POST", "/v1/nodes/{id}/restore"): Row("restore"),
    ("POST", "/v1/nodes/{id}/revive"): Row("revive", ("members",)),
    ("GET", "/v1/snapshot"): Row("snapshot"),
    ("POST", "/v1/snapshot"): Row("begin anew"),
    ("POST", "/v1/rebalance"): Row("rebalance", ("within",)),
    ("PATCH", "/v1/settings"): Row("settings", tuple(DEFAULTS)),
    ("POST", "/v1/upgrade/finalize"): Row("finalize"),
}


BEGUN: Final = "begun"  # of what goes on after it was answered
_NOTHING: Final[Mapping[str, Any]] = {}


@contextmanager
def audited(request: Request, method: str, route: str) -> Iterator[None]:
    """What is done meanwhile is told, where it is an admin's, with what became of it."""
    row = AUDITED.get((method, route))
    if row is None:
        yield
        return
    outcome = "ok"
    try:
        yield
        if request.goes_on:
            outcome = BEGUN
    except TlruError as error:
        outcome = error.code
        raise
    except BaseException as exc:
        # The client went away, or we failed: whether it was done is not known.
        outcome = Internal.code if isinstance(exc, Exception) else "unknown"
        raise
    finally:
        _tell(request, row, outcome)


def at_end(request: Request, method: str, route: str) -> Callable[[str, int], None]:
    """What the request asks for goes on when it has been answered: how that ended, and after how
    many bytes, is told by calling this, in a line of its own."""
    request.goes_on = True

    def tell(outcome: str, size: int) -> None:
        _tell(request, AUDITED[method, route], outcome, {"bytes": size})

    return tell


def _tell(request: Request, row: Row, outcome: str, more: Mapping[str, Any] = _NOTHING) -> None:
    grant: Grant = getattr(request, "grant", EVERYTHING)
    what: dict[str, Any] = {} if request.place is None else {"target": request.place}
    # What was refused as it stood may be anything, a token in the wrong place for one.
    what |= {
        ("id" if name == "id" else f"to_{name}"): request.given[name]
        for name in row.fields
        if name in request.given and outcome != BadRequest.code
    }
    request.node.audit.note(grant.name, request.remote, row.action, outcome, {**what, **more})
