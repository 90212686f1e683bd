"""What a command's exit status says. Scripts branch on these numbers; they do not change.

Decides the status of every way a command can end, and which error ends it how. The numbers say what
became of the request: up to 3 it was answered, 4 and 5 mean that nothing was done, 6 that nobody
knows. What the shell itself uses (126 and up, for signals) keeps its meaning.
"""

from __future__ import annotations

import enum

from tlru.config.mistakes import ConfigError
from tlru.errors import (
    Overloaded,
    RateLimited,
    Retry,
    Timeout,
    TlruError,
    Unavailable,
    UnknownOutcome,
)


class Exit(enum.IntEnum):
    """The exit statuses of `tlru`, each with what it means."""

    meaning: str

    def __new__(cls, status: int, meaning: str) -> Exit:
        member = int.__new__(cls, status)
        member._value_ = status
        member.meaning = meaning
        return member

    OK = 0, "Done."
    ABSENT = (
        1,
        "Answered: nothing is kept under the key (get, touch), or under any (delete); fewer "
        "changes came than --count (watch); or something is wrong (doctor).",
    )
    WRONG = ABSENT  # the same number by the word that fits `tlru doctor`
    USAGE = 2, "The command line is wrong; nothing was sent."
    NOT_APPLIED = 3, "Answered: the condition of the write (--if, --rev) was not met."
    REFUSED = 4, "The request is refused, and would be again. Nothing was done."
    UNAVAILABLE = 5, "No server could be reached, or none could serve in time. Nothing was done."
    UNKNOWN = 6, "A write was sent, and whether it was done is not known."
    CONFIG = 7, "The configuration has mistakes; stderr lists each."
    CANNOT_START = 8, "The node could not start: a port is taken, a directory cannot be used."
    DEFECT = 70, "tlru itself failed in a way nobody foresaw; please report what stderr says."
    SYSTEM = 74, "The system did not let the command go on: a full disk, no more files."
    INTERRUPTED = 130, "Ctrl-C; for a running node, the second one."
    CLOSED_PIPE = 141, "Whoever read the output went away."
    TERMINATED = 143, "SIGTERM ended it (top); for a running node, the second one."


class CannotStartError(TlruError):
    """A node that could not start, and what to do about it."""

    code = "cannot_start"


def exit_for(error: TlruError) -> Exit:
    """How a command ends that met this error."""
    match error:
        case CannotStartError():
            return Exit.CANNOT_START
        case ConfigError():
            return Exit.CONFIG
        case Timeout():
            return Exit.UNAVAILABLE if error.outcome_known else Exit.UNKNOWN
        case UnknownOutcome():
            return Exit.UNKNOWN
        case Unavailable() | Overloaded() | RateLimited():
            return Exit.UNAVAILABLE
        case _:
            return Exit.UNKNOWN if error.retry is Retry.UNKNOWN else Exit.REFUSED
