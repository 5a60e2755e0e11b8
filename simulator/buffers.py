"""Arrays that are used again: new memory costs a page fault for every 4 KiB of it."""

from collections import defaultdict
from math import prod
from threading import Lock
from typing import Any

import numpy as np

from ..compiler import Array

LINE = 64  # bytes: a vector that lies across two lines of the cache is two


def aligned_zeros(shape: tuple[int, ...], dtype: type[Any]) -> Array:
    """An array of zeros that begins at a line of the cache."""
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    zeros: Array = memory[begin : begin + n_bytes].view(dtype).reshape(shape)
    return zeros


class Buffers:
    """Final. Arrays that are given back by who has done with them, for whoever needs such a one next."""

    def __init__(self) -> None:
        self._zeros: defaultdict[object, list[Array]] = defaultdict(list)
        self._any: defaultdict[object, list[Array]] = defaultdict(list)

    def zeros(self, shape: tuple[int, ...], dtype: type[Any]) -> Array:
        """An array of zeros, to be given back as such."""
        spare = self._zeros[shape, np.dtype(dtype)]
        return spare.pop() if spare else aligned_zeros(shape, dtype)

    def give_zeros(self, array: Array) -> None:
        """Take back what `zeros` has given: it holds nothing but zeros again."""
        self._zeros[array.shape, array.dtype].append(array)

    def empty(self, shape: tuple[int, ...], dtype: type[Any]) -> Array:
        """An array of anything."""
        spare = self._any[shape, np.dtype(dtype)]
        return spare.pop() if spare else aligned_zeros(shape, dtype)

    def give(self, array: Array) -> None:
        """Take back what `empty` has given."""
        self._any[array.shape, array.dtype].append(array)


class Spares:
    """Final. What runs leave behind for the next one of their kind: of the two latest kinds. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of: dict[object, list[Any]] = {}

    def take(self, kind: object) -> Any:
        """Something of that kind, or None."""
        with self._lock:
            found = self._of.get(kind)
            return found.pop() if found else None

    def give(self, kind: object, spare: object) -> None:
        """Leave something for the next one."""
        with self._lock:
            self._of.setdefault(kind, []).append(spare)
            if len(self._of) > 2:
                del self._of[next(iter(self._of))]
