"""Threads that share the work in one block of samples, where there are fewer blocks than threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise


@lru_cache(maxsize=1)
def _helpers(n: int) -> ThreadPoolExecutor:
    """Threads that wait for work; kept, because to start one takes as long as a small layer."""
    return ThreadPoolExecutor(n, "gossamer")


os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not live on in a child


class Crew:
    """Final. `size` threads, of which the caller is one."""

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def share(self, work: Callable[[int, int, int], None], n: int) -> None:
        """Do `work(part, first, end)` on all parts of 0 ... n."""
        if self.size == 1 or n < self.size:
            work(0, 0, n)
            return
        pool = _helpers(self.size - 1)
        parts = list(pairwise(n * i // self.size for i in range(self.size + 1)))
        others = [pool.submit(work, i, *part) for i, part in enumerate(parts) if i > 0]
        work(0, *parts[0])
        for other in others:
            other.result()
