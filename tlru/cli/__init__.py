"""The command line: one module for each command, imported when it is asked for."""

from tlru.cli.app import main

__all__ = ["main"]
