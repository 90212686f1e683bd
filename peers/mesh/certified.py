"""Which nodes a certificate is for: the names in it that bind it to a node's id.

Pure. Decides how an id stands in a certificate: as a URI among its alternative names,
`tlru://node/<id>`. Not as a DNS name: those say where a server is reached, several nodes may share
one behind a load balancer, public authorities give them to whoever holds the domain, a `*` stands
for all of them, and an id may have letters that no DNS name can have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

PREFIX: Final = "tlru://node/"


def uri_of(node: str) -> str:
    """The name that binds a certificate to a node."""
    return PREFIX + quote(node, safe="")


def nodes_named(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The ids that a checked certificate names, as `ssl` tells of it; none where there is none."""
    names = (certificate or {}).get("subjectAltName", ())
    return frozenset(
        unquote(name.removeprefix(PREFIX))
        for kind, name in names
        if kind == "URI" and name.startswith(PREFIX)
    )
