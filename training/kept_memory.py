"""Let the C library keep memory that is freed.

glibc returns large arrays to the system as soon as they are freed, and the next one is made of new pages, each of which
costs a fault when it is first written: a sixth of a training step on a CPU.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of mallopt(3)
KEEP = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}


@contextmanager
def kept_memory() -> Iterator[None]:
    """From now on freed memory is kept, and given back once, when the block ends. Without glibc nothing happens.

    The setting outlives the block: glibc cannot return to its own, which adapts to what it sees.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    for name, value in KEEP.items():
        libc.mallopt(name, value)
    try:
        yield
    finally:
        libc.malloc_trim(0)
