"""Items as JSON objects, for every command that prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tlru.cli import values

if TYPE_CHECKING:
    from tlru.client import Item


def facts(item: Item[bytes]) -> dict[str, Any]:
    """What is known of an item; what it has not is left out."""
    known = {
        "value": values.as_json(item.value),
        "version": item.version,
        "at": None if item.at is None else item.at.isoformat(timespec="milliseconds"),
        "ttl": item.ttl,
        "rev": item.rev,
        "mime": item.mime,
    }
    return {name: fact for name, fact in known.items() if name == "value" or fact is not None}
