"""Samples that need not be in memory together: a run takes them block by block."""

from typing import Any, Protocol

import numpy as np

from ..compiler import Array


class Samples(Protocol):
    """What a run needs of samples: an array, or what is read or made by slices, as in h5py, zarr or a memory map."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_samples, ...)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Any: ...


def as_samples(x: object) -> Samples:
    """Itself, if it has a shape, a NumPy type and slices; else an array of it."""
    if isinstance(getattr(x, "dtype", None), np.dtype) and hasattr(x, "shape") and hasattr(x, "__getitem__"):
        return x  # type: ignore[return-value]
    return np.asarray(x)


def part_of(x: Samples, begin: int, end: int) -> Array:
    """Samples begin .. end - 1 as an array."""
    return np.asarray(x[begin:end])
