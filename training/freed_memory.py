"""What the C library does with memory that is freed: keep it, for speed, or return it, for room.

glibc returns large arrays to the system as soon as they are freed, and the next one is made of new pages, each of which
costs a fault when it is first written: a sixth of a training step on a CPU. After a while it returns fewer of them, and
between what is kept for the backward pass holes are left that nothing fits.
"""

import ctypes
import platform
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # names of mallopt(3)
KEEP = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
RETURN = {MMAP_MAX: 65536, MMAP_THRESHOLD: 1 << 16, TRIM_THRESHOLD: 1 << 17}


def kept_memory() -> AbstractContextManager[None]:
    """From now on freed memory is kept, and given back once, when the block ends. Without glibc nothing happens.

    The setting outlives the block: glibc cannot return to its own, which adapts to what it sees.
    """
    return _told(KEEP)


def returned_memory() -> AbstractContextManager[None]:
    """From now on every array of 64 KiB and more goes back to the system at once; see `kept_memory`."""
    return _told(RETURN)


@contextmanager
def _told(settings: Mapping[int, int]) -> Iterator[None]:
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    for name, value in settings.items():
        libc.mallopt(name, value)
    try:
        yield
    finally:
        libc.malloc_trim(0)
