"""The words in which a log answers: how far a write has got, what became of it, how a node is.

Pure data.
"""

from __future__ import annotations

import enum


class Ack(enum.StrEnum):
    """How far a write must have got before it is answered."""

    NONE = "none"
    LEADER = "leader"
    QUORUM = "quorum"
    ALL = "all"


class Settled(enum.Enum):
    """What became of an operation, apart from being applied."""

    APPENDED = enum.auto()  # the leader has it (asked for by `Ack.LEADER`)
    HELD_BY_ALL = enum.auto()  # every voter holds it (asked for by `Ack.ALL`); applied before
    NOT_DONE = enum.auto()  # it never came in order: not done and never will be
    UNKNOWN = enum.auto()  # it may have been done, or may be later: this node cannot say soon


class NodeStatus(enum.StrEnum):
    """Which status a node has; only an `active` one serves data."""

    STARTING = "starting"
    RECOVERING = "recovering"
    SYNCING = "syncing"
    INCONSISTENT = "inconsistent"
    ACTIVE = "active"
    ISOLATED = "isolated"
    DRAINING = "draining"
    OUTDATED = "outdated"
    REMOVED = "removed"
