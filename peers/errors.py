"""What the ordered log refuses, and why.

LogError
├── RefusedError     not proposed and never will be: `reason` is a status, or a code
├── UnknownOutcomeError  it may have been done, or may yet be
├── OutdatedError    an entry that this release cannot apply; raised by the application
├── StorageError     the state directory cannot be used
│   └── DamagedError a file in it is not what was written
├── LinkError        a link between two nodes cannot be, or go on: `code` is its close code
└── WireError        bytes that nodes do not say, or may not
"""

from __future__ import annotations


class LogError(Exception):
    """The root of what `peers` raises on purpose."""


class RefusedError(LogError):
    """An operation was refused before it was given a dot: it was not done and never will be."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnknownOutcomeError(LogError):
    """What was asked for may have been done, or may yet be: nobody said."""


class OutdatedError(LogError):
    """An entry is above what this release can apply. Nothing of its batch was applied."""


class StorageError(LogError):
    """The state directory cannot be read, written or had for oneself."""


class DamagedError(StorageError):
    """A file is not what was written: `what` says in which way."""

    def __init__(self, file: str, what: str) -> None:
        self.file, self.what = file, what
        super().__init__(
            f"{file} is damaged: {what}; restore it from a copy, or move it away to start without "
            "it"
        )


class LinkError(LogError):
    """A link between two nodes ends, or does not come about: the close code and a sentence say why.

    The sentence goes to the other node too, so it holds nothing that a stranger must not know.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


class WireError(LogError):
    """Bytes that are no message or batch, or a message that is too large to become bytes."""
