"""Everything that a node can be told, and where it may be told: Python, TOML, environment, flags.

`settings.py` holds the table of options, `sources.py` what wins over what, `checks.py` what must
hold between options. Nothing here opens a port or a directory. Names are imported when they are
asked for: the command line needs units and kinds for every command, and the table for a few.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tlru.config.addresses import Address
    from tlru.config.mistakes import ConfigError, Mistake, Origin
    from tlru.config.settings import OPTIONS, Config
    from tlru.config.sources import Resolved, resolve
    from tlru.config.units import parse_duration, parse_size, show_duration, show_size

__all__ = [
    "OPTIONS",
    "Address",
    "Config",
    "ConfigError",
    "Mistake",
    "Origin",
    "Resolved",
    "parse_duration",
    "parse_size",
    "resolve",
    "show_duration",
    "show_size",
]

_MODULES = {
    "addresses": ("Address",),
    "mistakes": ("ConfigError", "Mistake", "Origin"),
    "settings": ("OPTIONS", "Config"),
    "sources": ("Resolved", "resolve"),
    "units": ("parse_duration", "parse_size", "show_duration", "show_size"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = found
    return found
