"""Threads that share the work in one block of samples, where there are fewer blocks than threads.

From when they are called until the block is done, they watch for work instead of sleeping.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count, pairwise
from types import TracebackType

import numpy as np

from .kernels import raise_flag, watch

Work = Callable[[int, int, int], None]
LOOKS = 1_000  # at a flag, before other threads of the machine are let through: some 20 microseconds
MOST = 64  # threads of one crew: they do not sleep while they wait
STRIDE = 8  # flags that lie in one cache line, of which one is used


@lru_cache(maxsize=1)
def _helpers() -> ThreadPoolExecutor:
    """Threads, as many as are ever asked for together: a crew that had to wait for another's would wait forever where
    that waits for this one's. They are kept: to start one takes as long as a small layer.
    """
    return ThreadPoolExecutor(1 << 20, "gossamer")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not live on in a child


class Crew:
    """Final. `size` threads, at most MOST, for one block, of which the caller is one.

    with Crew(2) as crew:
        crew.share(work, n)
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size = min(size, MOST)
        self._flags = np.zeros(STRIDE * (size + 1), np.int64)  # what is to be done, then what each has done
        self._work: Work = _nothing
        self._parts: list[tuple[int, int]] = []
        self._errors: list[BaseException] = []
        self._n_shared = 0
        self.is_called = False

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the others go: they find that there is no part for them."""
        self._parts, self._n_shared = [], self._n_shared + 1
        raise_flag(self._flags, 0, self._n_shared)

    def call(self) -> None:
        """Wake the others, some time before there is work for them."""
        if self.is_called or self.size == 1:
            return
        self.is_called = True
        for part in range(1, self.size):
            _helpers().submit(self._help, part)

    def share(self, work: Work, n: int) -> None:
        """Do `work(part, first, end)` on all parts of 0 ... n. Raises what any of them raises."""
        if self.size == 1 or n < self.size:
            work(0, 0, n)
            return
        self.call()
        self._work, self._parts = work, list(pairwise(n * i // self.size for i in range(self.size + 1)))
        self._n_shared += 1
        raise_flag(self._flags, 0, self._n_shared)
        try:
            work(0, *self._parts[0])
        finally:
            for part in range(1, self.size):
                self._await(part, self._n_shared)
        if self._errors:
            raise self._errors[0]

    def _help(self, part: int) -> None:
        for turn in count(1):
            self._await(0, turn)
            if not self._parts:
                return
            try:
                self._work(part, *self._parts[part])
            except BaseException as error:  # the caller raises it
                self._errors.append(error)
            raise_flag(self._flags, STRIDE * part, turn)

    def _await(self, who: int, turn: int) -> None:
        while not watch(self._flags, STRIDE * who, turn, LOOKS):
            _let_others_run()


def _let_others_run() -> None:
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def _nothing(part: int, first: int, end: int) -> None:
    pass
