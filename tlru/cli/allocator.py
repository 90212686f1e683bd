"""Where the C library puts large blocks, in the process of a node.

The tables of a cache are large, and replaced by others as keys come and go. glibc takes such a
block from the system and gives it back when it is freed; but once one has been freed it takes later
ones of that size for short-lived, and puts them among the small ones (mallopt(3), on the threshold
for mmap). There a small one behind it that lives long keeps its room from ever being given back. So
the threshold is said once and for all.
"""

from __future__ import annotations

import ctypes
from typing import Final

# The table of a dict of 50,000 keys is larger. Below this are nearly all values and messages, which
# come and go too fast to be asked for page by page.
LARGE_BYTES: Final = 512 << 10
_M_MMAP_THRESHOLD: Final = -3  # malloc.h


def keep_large_apart() -> bool:
    """Have large blocks given back to the system, whatever was freed before. False where the C
    library has no such setting: musl and others never put them among the small ones."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # none there, or no library of the process itself
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
