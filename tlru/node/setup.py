"""What a node was told that matters to whoever judges the whole cluster (`tlru doctor`): what it
keeps, and what guards it. It tells no path and no secret, only whether there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

from tlru.node.founding import misfit

if TYPE_CHECKING:
    from tlru.node.server import Node

_CERTIFICATES = ("tls_cert", "mesh_cert")


def told(node: Node, members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What it keeps, whom it lets in, until when its certificates are good, and whether what it was
    told of founding a cluster fits its members."""
    config = node.config
    found = misfit(config.bootstrap, config.expect, members) if node.status == "active" else None
    return {
        "keeps": config.data_dir is not None,
        "fsync": config.fsync if config.data_dir is not None else None,
        "loopback_only": config.listen_address.loopback,
        "asks_who": node.access.enabled,
        "tls": config.tls_cert is not None,
        "mesh_loopback_only": config.mesh_address.loopback,
        "mesh_guarded": bool(config.token) or config.mesh_ca is not None,
        "certificates_end": _ends(config),
        "connections_max": config.connections,
        "founding": None if found is None else found.told(),
    }


def _ends(config: Any) -> dict[str, int]:
    """Of each certificate that the node shows, until when it is good, in ms since 1970."""
    found = {}
    for name in _CERTIFICATES:
        path: Path | None = getattr(config, name)
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                state = path.stat()
                found[name] = _end(path, state.st_mtime_ns, state.st_size)
    return found


@lru_cache(maxsize=8)
def _end(path: Path, _changed_ns: int, _size: int) -> int:
    # It is asked for with every status, and changes once in months.
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    return round(end.timestamp() * 1_000)
