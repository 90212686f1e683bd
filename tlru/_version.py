"""The one place that holds the release number, and knows what form the release has."""

from importlib.util import find_spec

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Whether what an operation passes is machine code (docs/compiled.md)."""
    found = find_spec("peers.clocks")
    return found is not None and not str(found.origin).endswith(".py")
