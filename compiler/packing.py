"""Masks and mostly empty arrays in a file: a bit for each place, and the values that are not 0."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from .arrays import Array, frozen
from .errors import CompileError

Json = Any
PACKED = ({"bits", "shape"}, {"values", "places", "shape"})
"""Fields of the records that `pack` makes, beside {"array"}."""
LEAST = 64  # elements: below it nothing is worth packing


def pack(array: Array, key: str, arrays: dict[str, Array]) -> Json:
    """Put an array into `arrays` in the least room, under keys that begin with `key`; returns its record. Lossless: a
    zero is what has no bit set, so that -0.0 is a value.
    """
    shape = list(array.shape)
    if array.size >= LEAST and array.dtype == np.bool_:
        return {"bits": _put_bits(array, key, arrays), "shape": shape}
    if array.size >= LEAST and array.dtype.kind in "fiu":
        flat = np.ascontiguousarray(array).reshape(-1)
        places = flat.view(f"u{flat.itemsize}") != 0
        values = flat[places]
        if values.nbytes + array.size // 8 < array.nbytes:
            arrays[key] = values
            return {"values": key, "places": _put_bits(places, f"{key}.places", arrays), "shape": shape}
    arrays[key] = array
    return {"array": key}


def unpack(record: Mapping[str, Json], arrays: Mapping[str, Array], *, where: str) -> Array:
    """The array that `pack` has made a record of.

    Raises:
        CompileError: GSM-105 if the parts are missing or do not fit each other.
    """
    shape = record["shape"]
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        raise CompileError("GSM-105", "not the shape of an array", where=where, found=ascii(shape))
    bits = _part(record["bits"] if "bits" in record else record["places"], arrays, where)
    n = prod(shape)
    if bits.dtype != np.uint8 or bits.shape != (-(-n // 8),) or (n % 8 and bits[-1] & (0xFF >> n % 8)):
        raise CompileError(
            "GSM-105",
            "bits do not fit the shape",
            where=where,
            found=f"{bits.dtype} {bits.shape}",
            expected=f"{n} bits",
        )
    places = np.unpackbits(bits, count=n).view(np.bool_)
    if "bits" in record:
        return frozen(places.reshape(shape))
    values = _part(record["values"], arrays, where)
    n_places = int(places.sum())
    if values.shape != (n_places,):
        raise CompileError(
            "GSM-105", "values do not fit their places", where=where, found=values.shape, expected=f"({n_places},)"
        )
    array = np.zeros(n, values.dtype)
    array[places] = values
    return frozen(array.reshape(shape))


def _put_bits(places: Array, key: str, arrays: dict[str, Array]) -> str:
    """Bits, first place first and highest bit first; once, if they are there already: a mask, and where its weights are
    not 0.
    """
    bits = np.packbits(places.reshape(-1))
    for other, array in arrays.items():
        if array.dtype == np.uint8 and np.array_equal(array, bits):
            return other
    arrays[key] = bits
    return key


def _part(key: Json, arrays: Mapping[str, Array], where: str) -> Array:
    if not isinstance(key, str) or key not in arrays:
        raise CompileError("GSM-105", "an array is missing", where=where, expected=ascii(key))
    return arrays[key]
