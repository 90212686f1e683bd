"""The operations that this node has itself put into bytes, for when they come back in order.

Pure. Bytes are what the log orders, so whoever applies an entry reads them. The node that wrote
them has read what they say already, from its client: of sets of many keys, where that is most of
the work, it keeps what it had until the log gives it the same bytes back.

Invariant: `decode` gives what `operations.decode` would.
"""

from __future__ import annotations

from typing import Any, Final

from tlru.engine import operations
from tlru.engine.operations import Once, Operation, SetMany

# Under way at once, and what they take; beyond it they are read like everybody else's. A node that
# may not write just now keeps what it refuses until then.
KEPT_MAX: Final = 1_024
KEPT_BYTES_MAX: Final = 8 << 20


class Own:
    """What this node wrote and has not applied yet."""

    __slots__ = ("_bytes", "_written")

    def __init__(self) -> None:
        self._written: dict[bytes, Operation] = {}
        self._bytes = 0  # of these

    def encode(self, operation: Operation, once: Once | None = None) -> bytes:
        """The bytes of an operation that is about to be proposed."""
        data = operations.encode(operation, once)
        if once is None and type(operation) is SetMany and _comes_back(operation):
            self._keep(data, operation)
        return data

    def _keep(self, data: bytes, operation: Operation) -> None:
        if len(data) > KEPT_BYTES_MAX or data in self._written:
            return
        if len(self._written) >= KEPT_MAX or self._bytes + len(data) > KEPT_BYTES_MAX:
            self._written.clear()  # of most of them the log will never speak again
            self._bytes = 0
        self._written[data] = operation
        self._bytes += len(data)

    def decode(self, data: bytes) -> tuple[Operation, Once | None]:
        """The operation of bytes that the log gives back."""
        written = self._written.pop(data, None)
        if written is None:
            return operations.decode(data)
        self._bytes -= len(data)
        return written, None


def _comes_back(operation: SetMany) -> bool:
    """Whether bytes give back just these rows: of what a checked request holds, all but values that
    are another kind of bytes."""
    rows: tuple[Any, ...] = operation.items  # a value not checked yet may be of any kind
    for row in rows:  # noqa: SIM110  compiled, a loop is a third of what `all` is
        if type(row[1]) is not bytes:
            return False
    return True
