"""Whose word a client takes for a server's certificate.

Decides what `ca` and `ssl` come to; without either the system's authorities are believed.
"""

from __future__ import annotations

import os
import ssl

from tlru.errors import BadRequest


def trusting(
    ca: str | os.PathLike[str] | None, context: ssl.SSLContext | None = None
) -> ssl.SSLContext | None:
    """A context that believes the authorities in a file, or the one that is given. BadRequest where
    the file is of no use, or both are given."""
    if ca is None:
        return context
    if context is not None:
        raise BadRequest("give ca or ssl, not both: a context has authorities of its own")
    try:
        found = ssl.create_default_context(cafile=os.fspath(ca))
    except (OSError, ValueError) as exc:
        why = exc.reason if isinstance(exc, ssl.SSLError) else getattr(exc, "strerror", None)
        raise BadRequest(
            f"ca: {os.fspath(ca)} is no file with certificates as PEM: {why or exc}"
        ) from exc
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    return found
