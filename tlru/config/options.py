"""How an option is described, once, for every place that speaks of it.

Decides what the table of options says of each: its kind, default, help and section, and from its
name the key in a file, the variable and the flag. The table itself is the fields of `Config`
(`settings.py`); files, variables, flags, help and the page in docs/ are all made from it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tlru.config.kinds import Kind

T = TypeVar("T")

ENV_PREFIX = "TLRU_"


class Section(enum.StrEnum):
    """The headings under which options stand in help and documentation."""

    NODE = "The node"
    NETWORK = "Addresses"
    CLUSTER = "The cluster"
    CACHE = "What the cache holds"
    RUNNING = "Starting, stopping and logging"
    BACKUP = "Backups"
    SAFETY = "Who may come"
    LIMITS = "Limits that clients are told"


class Change(enum.StrEnum):
    """What it takes for a running node to go by another value."""

    LIVE = "reload"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Spec:
    """What the table says of an option beside its name and default."""

    kind: Kind[Any]  # Any: a table of many types; each field's own type is checked where it stands
    help: str
    section: Section
    change: Change
    guesses: tuple[str, ...] = ()  # words that people try for it


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `name` is the TOML key and the argument of `Config`."""

    name: str
    default: Any
    spec: Spec

    @property
    def env(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag of `tlru serve`."""
        return "--" + self.name.replace("_", "-")

    @property
    def live(self) -> bool:
        """Whether a running node takes up another value when it reloads."""
        return self.spec.change is Change.LIVE

    @property
    def kind(self) -> Kind[Any]:
        """The type of its value."""
        return self.spec.kind

    def shown_default(self) -> str:
        """The default as it stands in help and documentation, or nothing."""
        return self.kind.show(self.default)


def option(
    kind: Kind[T],
    default: T,
    section: Section,
    change: Change,
    text: str,
    *,
    guesses: tuple[str, ...] = (),
) -> T:
    """A field of `Config`: typed as its value, and carrying its line of the table."""
    metadata = {"spec": Spec(kind, text, section, change, guesses)}
    if isinstance(default, Mapping):
        # Sharing the default is safe, since Config keeps a copy; a mapping has no hash to add.
        return dataclasses.field(default_factory=lambda: default, metadata=metadata, hash=False)
    return dataclasses.field(default=default, metadata=metadata)


def options_of(cls: type[Any]) -> tuple[Option, ...]:
    """The table that the fields of `cls` make up: section by section, each in the fields' order."""
    sections = list(Section)
    table = (
        Option(
            name=field.name,
            default=field.default_factory()
            if field.default_factory is not dataclasses.MISSING
            else field.default,
            spec=field.metadata["spec"],
        )
        for field in dataclasses.fields(cls)
    )
    return tuple(sorted(table, key=lambda one: sections.index(one.spec.section)))
