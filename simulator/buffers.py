"""Arrays that are used again: new memory costs a page fault for every 4 KiB of it."""

from math import prod
from threading import Lock
from typing import Any

import numpy as np

from ..compiler import Array

LINE = 64  # bytes: a vector that lies across two lines of the cache is two
SLACK = 1 << 16  # bytes that a memory may be larger than needed, beyond four times


def _n_bytes(shape: tuple[int, ...], dtype: type[Any]) -> int:
    return prod(shape) * np.dtype(dtype).itemsize


def _aligned(memory: Array, shape: tuple[int, ...], dtype: type[Any]) -> Array:
    """The first whole lines of a memory."""
    begin = -memory.ctypes.data % LINE
    array: Array = memory[begin : begin + _n_bytes(shape, dtype)].view(dtype).reshape(shape)
    return array


class Buffers:
    """Final. Arrays that begin at a line of the cache; who has done with one gives its memory back, for whoever needs
    about as much next.
    """

    def __init__(self) -> None:
        self._zeros: list[Array] = []
        self._any: list[Array] = []

    def zeros(self, shape: tuple[int, ...], dtype: type[Any]) -> Array:
        """An array of zeros, to be given back as such."""
        return _take(self._zeros, shape, dtype)

    def give_zeros(self, array: Array) -> None:
        """Take back what `zeros` has given: it holds nothing but zeros again."""
        self._zeros.append(_memory(array))

    def empty(self, shape: tuple[int, ...], dtype: type[Any]) -> Array:
        """An array of anything."""
        return _take(self._any, shape, dtype)

    def give(self, array: Array) -> None:
        """Take back what `empty` has given."""
        self._any.append(_memory(array))


def _take(memories: list[Array], shape: tuple[int, ...], dtype: type[Any]) -> Array:
    """The smallest memory that is large enough, or a new one."""
    needed = _n_bytes(shape, dtype) + LINE
    fitting = [i for i, memory in enumerate(memories) if needed <= memory.size <= 4 * needed + SLACK]
    if not fitting:  # the next one may need a little more; of what is not touched there is no memory
        return _aligned(np.zeros(1 << (needed - 1).bit_length(), np.uint8), shape, dtype)
    return _aligned(memories.pop(min(fitting, key=lambda i: memories[i].size)), shape, dtype)


def _memory(array: Array) -> Array:
    """What an array was made of."""
    assert isinstance(array.base, np.ndarray)
    return array.base


class Spares:
    """Final. What runs leave behind for the next one of their kind: of the last two new kinds. Threads may share it."""

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
