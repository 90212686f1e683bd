"""Messages that leave together: as few WebSocket messages as their bound allows."""

from __future__ import annotations

from collections.abc import Iterable


def together(messages: Iterable[bytes], separator: bytes, bytes_max: int) -> list[bytes]:
    """Join messages, in their order, to batches of at most so many bytes; one that is larger by
    itself is a batch of its own."""
    batches: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for data in messages:
        if batch and size + len(data) > bytes_max:
            batches.append(separator.join(batch))
            batch, size = [], 0
        batch.append(data)
        size += len(data) + len(separator)
    if batch:
        batches.append(separator.join(batch))
    return batches
