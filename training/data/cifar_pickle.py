"""Read the pickles of CIFAR-10 and CIFAR-100 without executing what a pickle may ask for.

A pickle names functions and has them called. The CIFAR files need five, all of NumPy's, to rebuild an array of
bytes. This reader answers these five names with stand-ins that build integer arrays and nothing else; every other
name is refused. So neither a foreign function nor NumPy's own unpickling code ever sees the file's bytes.
"""

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from .locate import malformed


def read_cifar_pickle(path: Path) -> dict[str, Any]:
    """Read one CIFAR file: a pickled dict, as Python 2 wrote it (byte keys) or a later Python copied it.

    Returns: The dict with str keys. Arrays are integer NumPy arrays; Python 2 strings are bytes.
    Raises: TrainingError: GSM-602 if the file asks for anything else, or is no such pickle.
    """
    try:
        content = _CifarUnpickler(io.BytesIO(path.read_bytes()), path).load()
    except TrainingError:
        raise
    except Exception as error:  # a damaged pickle can raise anything: ValueError, IndexError, AttributeError, …
        raise malformed(path, "the pickle cannot be read", found=error, expected="a CIFAR batch") from error
    if not isinstance(content, dict):
        raise malformed(path, "the pickle holds no dict", found=type(content).__name__, expected="a CIFAR batch")
    fields = {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}
    return {key: value.array if isinstance(value, _Array) else value for key, value in fields.items()}


def cifar_images(path: Path, fields: dict[str, Any], label_field: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Take the images, (n, 3, 32, 32) uint8, and the labels, (n,) int64, out of a file's dict.

    Raises: TrainingError: GSM-602 if one is missing or malformed, GSM-605 if their numbers differ.
    """
    data, labels = fields.get("data"), fields.get(label_field)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        found = f"{data.shape} {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise malformed(path, "field 'data' holds no CIFAR images", found=found, expected="(n, 3072) uint8")
    if isinstance(labels, list) and all(type(label) is int for label in labels):
        labels = np.array(labels, np.int64)
    if not isinstance(labels, np.ndarray) or labels.ndim != 1:
        found = type(labels).__name__
        raise malformed(path, f"field {label_field!r} holds no labels", found=found, expected="a list of integers")
    if len(labels) != len(data):
        what, expected = "images and labels differ in number", f"{len(data)} labels"
        raise TrainingError("GSM-605", what, where=str(path), found=len(labels), expected=expected)
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)


class _CifarUnpickler(pickle.Unpickler):
    """Answers the names in STAND_INS and refuses all others."""

    def __init__(self, stream: io.BytesIO, path: Path) -> None:
        pickle.Unpickler.__init__(self, stream, encoding="bytes")
        self.path = path

    def find_class(self, module: str, name: str, /) -> Any:
        stand_in = STAND_INS.get(f"{module.replace('numpy._core', 'numpy.core')}.{name}")
        if stand_in is None:
            asked = ascii(f"{module}.{name}")[1:-1][:100]
            raise malformed(
                self.path,
                f"refused to execute {asked}, which the pickle asks for",
                found=asked,
                expected="only the names that rebuild a NumPy array",
                remedy="do not open this file with other tools either; fetch CIFAR from its source",
            )
        return stand_in


class _Dtype:
    """Stands in for numpy.dtype: integers of 1, 2, 4 or 8 bytes."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        text = code.decode("latin-1") if isinstance(code, bytes) else code
        if not re.fullmatch("[iu][1248]", text):
            raise pickle.UnpicklingError(f"array of type {text[:20]!r}; only integers are read")
        self.code, self.byte_order = text, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"byte order {order!r}")
        self.byte_order = order

    def numpy(self) -> "np.dtype[Any]":
        """The NumPy dtype that this one stands for."""
        return np.dtype(self.byte_order + self.code)


class _Array:
    """Stands in for numpy.ndarray: holds the finished array in `array`."""

    array: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _version, shape, dtype, is_fortran, payload = state
        self.array = _build(payload, dtype, shape, "F" if is_fortran else "C")


def _build(payload: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    kind = dtype.numpy()
    if len(payload) != math.prod(shape) * kind.itemsize:
        raise pickle.UnpicklingError(f"{len(payload)} bytes for an array {shape} of {kind}")
    flat = np.frombuffer(bytes(payload), kind)
    return flat.reshape(shape, order="F" if order == "F" else "C").astype(kind.newbyteorder("="))


def _reconstruct(_class: object, _shape: object, _code: object) -> _Array:
    """Stands in for numpy.core.multiarray._reconstruct: an empty array, filled by __setstate__."""
    return _Array()


def _scalar(dtype: _Dtype, payload: bytes) -> int:
    """Stands in for numpy.core.multiarray.scalar."""
    return int(_build(payload, dtype, (), "C"))


def _frombuffer(payload: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    """Stands in for numpy.core.numeric._frombuffer (pickle protocol 5)."""
    result = _Array()
    result.array = _build(payload, dtype, shape, order)
    return result


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode: Python 3 writes bytes so in old protocols, always as latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin-1")


STAND_INS = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
}
