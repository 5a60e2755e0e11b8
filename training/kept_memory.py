"""Let the C library keep memory that is freed, for as long as a block of code runs.

glibc returns large arrays to the system as soon as they are freed, and the next one is made of new pages, each of which
costs a fault when it is first written: a sixth of a training step on a CPU.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of mallopt(3)
KEEP = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}
USUAL = {MMAP_MAX: 65_536, TRIM_THRESHOLD: 128 * 1024}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Where the C library is not glibc, nothing happens."""
    _set(KEEP)
    try:
        yield
    finally:
        _set(USUAL)


def _set(options: dict[int, int]) -> None:
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for name, value in options.items():
            mallopt(name, value)
