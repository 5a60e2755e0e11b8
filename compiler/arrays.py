"""Checks that every array of the IR passes through: finite, of the right kind, read-only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CompileError

Array = NDArray[Any]


def parameter(value: ArrayLike, *, where: str) -> Array:
    """A read-only, contiguous, finite parameter array: float32, or an integer type left as it is.

    Raises:
        CompileError: GSM-202 if a value is NaN or infinite, GSM-201 if it is no array of numbers.
    """
    array = np.asarray(value)
    if array.dtype.kind == "b" or array.dtype.kind not in "iuf":
        raise CompileError("GSM-201", "not an array of numbers", where=where, found=array.dtype, expected="float or int")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            n_bad = int((~np.isfinite(array)).sum())
            raise CompileError(
                "GSM-202", "values are not finite", where=where, found=f"{n_bad} NaN or infinite of {array.size}",
                expected="finite numbers", remedy="look for a diverged training run or a damaged export",
            )  # fmt: skip
        array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise CompileError("GSM-202", "values overflow float32", where=where, expected="|value| < 3.4e38")
    return read_only(array)


def read_only(array: Array) -> Array:
    """A contiguous array that cannot be written through; shares memory where it can."""
    if array.flags.c_contiguous and not array.flags.writeable:
        return array
    view = np.ascontiguousarray(array).reshape(array.shape).view()
    view.flags.writeable = False
    return view


def pair(value: int | tuple[int, int] | list[int], *, where: str, minimum: int) -> tuple[int, int]:
    """(rows, columns) from one number or two."""
    numbers = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(numbers) != 2 or any(not isinstance(n, (int, np.integer)) or n < minimum for n in numbers):
        raise CompileError("GSM-201", "not a pair of whole numbers", where=where, found=value, expected=f">= {minimum}")
    return int(numbers[0]), int(numbers[1])
