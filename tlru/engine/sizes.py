"""What text takes in memory, reckoned the same way by every node.

Pure. Bounds in bytes decide what is evicted and refused, so every node must come to the same
figures; `sys.getsizeof` differs from one Python to the next, and the length in UTF-8 may be four
times too small: one rare letter makes Python keep every letter of a text in four bytes.
"""

from __future__ import annotations


def text_bytes(text: str) -> int:
    """The bytes that the letters of `text` take, without its header."""
    if text.isascii():
        return len(text)
    highest = max(text)
    if highest <= "\xff":
        return len(text)
    return len(text) * (2 if highest <= "\uffff" else 4)
