"""Whether other programs leave the machine alone: a rival whose threads spin for each other suffers most where not.

Reads Linux's /proc/stat; elsewhere the machine is taken to be quiet.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

STAT = Path("/proc/stat")
IDLE, LOOK, PATIENCE, TRIES = 0.9, 0.1, 120.0, 5  # share, seconds, seconds, runs
T = TypeVar("T")


def undisturbed(run: Callable[[], T]) -> T:
    """What `run` returns, begun and ended on a quiet machine; the last of a few tries if it never is."""
    for _ in range(TRIES):
        until = time.monotonic() + PATIENCE
        while not is_quiet() and time.monotonic() < until:
            pass
        result = run()
        if is_quiet():
            break
    return result


def is_quiet() -> bool:
    """Look for a moment, in which the caller does nothing."""
    before = _idle_and_all()
    time.sleep(LOOK)
    idle, ticks = (after - then for after, then in zip(_idle_and_all(), before, strict=True))
    return idle >= IDLE * ticks


def _idle_and_all() -> tuple[int, int]:
    if not STAT.exists():
        return 0, 0
    user, nice, system, idle, waiting, *others = (int(n) for n in STAT.read_text().split("\n")[0].split()[1:9])
    return idle + waiting, user + nice + system + idle + waiting + sum(others)
