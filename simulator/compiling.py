"""Tells when kernels are compiled, which takes seconds, once on a machine: afterwards they are on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event


class _Once(event.Listener):
    """Final. Calls back when the first compilation begins."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell, self.told = tell, False

    def on_start(self, event: Any) -> None:
        if not self.told:
            self.told = True
            self.tell()

    def on_end(self, event: Any) -> None:
        pass


@contextmanager
def when_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell`, once, as soon as a kernel is not on disk and must be compiled."""
    with event.install_listener("numba:compile", _Once(tell)):
        yield
