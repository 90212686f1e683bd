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

# A value has 1 MiB at most where nothing else is said, and is not to be asked for page by page: to
# set one would take two to three times as long. The table of a dict of 60,000 keys is larger.
LARGE_BYTES: Final = 3 << 19
# Once the one is said, glibc no longer raises the other with it, and gives back the end of its heap
# after every message of more than 128 KiB, to ask for it again with the next.
KEPT_BYTES: Final = 2 * LARGE_BYTES  # as glibc itself would have it
_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3


def keep_large_apart() -> bool:
    """Have large blocks given back to the system, whatever was freed before. False where the C
    library has no such setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # none there, or no library of the process itself
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) and kept)
