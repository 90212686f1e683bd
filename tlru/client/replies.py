"""What replies mean: items, outcomes of writes, pages of keys.

Pure: a reply and a serializer go in. A reply that lacks what the protocol promises is told apart
from a value that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tlru.client.results import Item, Reply, Written, moment
from tlru.client.serializers import Msgpack, Serializer, load
from tlru.errors import Internal, TlruError, from_wire

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a scan: keys in full, each with what `get` says of it where values were asked."""

    rows: list[tuple[str, Reply]]
    more: bool


def item(serializer: Serializer[T], key: str, found: Reply) -> Item[T]:
    """The item that a reply shows."""
    return Item(
        value=load(serializer, key, _part(found, "value")),
        version=_part(found, "version"),
        at=moment(found.get("at")),
        ttl=found.get("ttl"),
        rev=found.get("rev"),
        mime=found.get("mime"),
    )


def written(serializer: Serializer[T], key: str, reply: Reply) -> Written[T]:
    """What became of a write that may have had conditions."""
    # A reply to `ack="none"` or `"leader"` says nothing: such a write has no condition to fail.
    if reply.get("applied", True):
        old = reply.get("old")
        return Written(
            applied=True,
            version=reply.get("version"),
            old=None if old is None else load(serializer, key, old),
        )
    return Written(
        applied=False,
        version=reply.get("version"),
        current=item(serializer, key, reply) if "value" in reply else None,
    )


def page(reply: Reply) -> Page:
    """One page of a scan."""
    rows = [(key, reply) for key in reply.get("keys", ())]
    rows += [(_part(found, "key"), found) for found in reply.get("items", ())]
    return Page(rows, bool(reply.get("more")))


def number(key: str, reply: Reply) -> int:
    """The integer that a counter has now."""
    value: int = load(Msgpack(), key, _part(reply, "value"))
    return value


def facts(reply: Reply) -> dict[str, Any]:
    """What a node tells of itself, without what belongs to the reply."""
    return {name: value for name, value in reply.items() if name not in ("id", "ok")}


def error(told: Any) -> TlruError:
    """The error that a reply tells, even if it tells it badly."""
    try:
        return from_wire(told)
    except (TypeError, ValueError, AttributeError):
        return Internal(f"the node refused, and how it says why makes no sense: {told!r}")


def retold(told: TlruError, message: str) -> TlruError:
    """The same error in other words, for one more caller: one that is shared grows a traceback."""
    copy = type(told)(message, **told.facts)
    copy.code, copy.retry = told.code, told.retry
    return copy


def _part(reply: Reply, name: str) -> Any:
    try:
        return reply[name]
    except KeyError:
        raise Internal(f"the node's reply lacks {name!r}") from None


def member(reply: Reply) -> dict[str, Any]:
    """What the cluster tells of one member."""
    told: dict[str, Any] = _part(reply, "node")
    return told


def paired(keys: Sequence[str], reply: Reply) -> Iterable[tuple[str, Reply]]:
    """The keys asked for, each with what `get` says of it."""
    values = _part(reply, "values")
    if len(values) != len(keys):
        raise Internal(f"the node answered {len(values)} of {len(keys)} keys")
    return zip(keys, values, strict=True)
