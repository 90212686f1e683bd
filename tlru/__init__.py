"""tlru: a cache you can watch."""

from tlru._version import __version__

__all__ = ["__version__"]
