"""Checks that every array and number of the IR passes through: finite, of the right kind, in range, read-only."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .errors import CompileError

Array = NDArray[Any]
T = TypeVar("T")

LARGEST = (1 << 31) - 1  # neuron ids and geometry are 32-bit numbers in the kernels
PART = 1 << 20  # elements that a check looks at together


def number(value: float) -> Array:
    """A coefficient's default: one float32 number."""
    return read_only(np.asarray(value, np.float32))


def parameter(value: ArrayLike, *, where: str) -> Array:
    """A read-only, contiguous, finite parameter array: float32, or an integer type left as it is.

    Raises:
        CompileError: GSM-202 if a value is NaN or infinite, GSM-201 if it is no array of numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise CompileError("GSM-201", "not an array of numbers", where=where, found=error) from None
    if array.dtype.kind not in "iuf":
        raise CompileError(
            "GSM-201", "not an array of numbers", where=where, found=array.dtype, expected="float or int"
        )
    if array.dtype.kind == "f":
        if not everywhere(np.isfinite, array):
            n_bad = int((~np.isfinite(array)).sum())
            raise CompileError(
                "GSM-202",
                "values are not finite",
                where=where,
                found=f"{n_bad} NaN or infinite of {array.size}",
                expected="finite numbers",
                remedy="look for a diverged training run or a damaged export",
            )
        if array.dtype.itemsize > 4 and not everywhere(_fits_float32, array):
            raise CompileError("GSM-202", "values overflow float32", where=where, expected="|value| < 3.4e38")
        return read_only(array, np.float32)
    return read_only(array)


def _fits_float32(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.isfinite(values.astype(np.float32))


def read_only(array: Array, dtype: DTypeLike | None = None) -> Array:
    """The array contiguous, of this type (its own, if None), in the machine's byte order, and so that nobody can write
    to it: itself if that is so already, else a copy.
    """
    wanted = array.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
    if array.flags.c_contiguous and not array.flags.writeable and array.dtype == wanted:
        return array
    return frozen(np.array(array, wanted, order="C"))


def frozen(array: Array) -> Array:
    """An array that has just been made, so that nobody else can write to it: `read_only` then need not copy it."""
    array.flags.writeable = False
    return array


def everywhere(test: Callable[[Array], Any], array: Array) -> bool:
    """True if every element passes the test. Part by part: what the test returns is not held for a large array."""
    flat = np.ravel(array, order="K")
    return all(test(flat[a : a + PART]).all() for a in range(0, flat.size, PART))


def whole(value: object, *, where: str, minimum: int = 0, maximum: int = LARGEST, code: str = "GSM-203") -> int:
    """A whole number in a range, as a plain int.

    Raises:
        CompileError: `code` if it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not minimum <= value <= maximum:
        raise CompileError(
            code, "not a whole number in range", where=where, found=shown(value), expected=f"{minimum}..{maximum}"
        )
    return int(value)


def shown(value: object) -> str:
    """A value that nobody has checked yet, for a message: short and printable."""
    text = str(value) if isinstance(value, np.integer) else ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def pair(value: int | tuple[int, int] | list[int], *, where: str, minimum: int) -> tuple[int, int]:
    """(rows, columns) from one number or two."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(numbers) != 2:
        found, expected = shown(value), f"two, >= {minimum}"
        raise CompileError("GSM-201", "not a pair of whole numbers", where=where, found=found, expected=expected)
    rows, columns = (whole(n, where=where, minimum=minimum, code="GSM-201") for n in numbers)
    return rows, columns


def name_of(value: object, *, what: str) -> str:
    """A name: printable text, so that it can stand in messages, tables and files.

    Raises:
        CompileError: GSM-204 if it is something else.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise CompileError(
            "GSM-204", f"not a name for {what}", found=shown(value), expected="1..200 printable characters"
        )
    return value


def flag(value: object, *, what: str) -> bool:
    """True or False, as a plain bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} must be true or false, not {value!r}")
    return bool(value)


def tuple_of(values: Iterable[T], kind: Any, *, what: str) -> tuple[T, ...]:
    """The values as a tuple, each of this type."""
    parts = tuple(values)
    for part in parts:
        if not isinstance(part, kind):
            raise TypeError(f"{what} cannot hold a {type(part).__name__}")
    return parts
