"""The options with which a node proves itself to its clients, and secrets that are being changed.

Fields of `Config` (`settings.py`), in a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tlru.config.kinds import File, Secret
from tlru.config.options import Change, Section, option
from tlru.config.several import Maybe

_LIVE = Change.LIVE


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """What clients are shown, and what goes for a while beside the cluster's secret."""

    tls_cert: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        Section.NETWORK,
        _LIVE,
        "The certificate that this node shows to its clients, with those between it and the "
        "authority, as PEM; with it and tls_key the port speaks TLS (wss, https) and nothing else.",
        guesses=("cert", "certificate", "ssl_cert"),
    )
    tls_key: Path | None = option(  # noqa: RUF009  `option` is dataclasses.field
        Maybe(File()),
        None,
        Section.NETWORK,
        _LIVE,
        "The private key of tls_cert, as PEM, without a passphrase.",
        guesses=("private_key", "ssl_key"),
    )
    token_also: str = option(
        Secret(least=16),
        "",
        Section.CLUSTER,
        _LIVE,
        "A second token that is taken from other nodes too, while the cluster goes over from one "
        "to another; what this node shows is token.",
        guesses=("old_token", "previous_token", "next_token"),
    )
