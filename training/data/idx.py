"""The IDX format of MNIST: a big-endian header, then bytes."""

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .locate import malformed

UNSIGNED_BYTE = 0x08
MAX_BYTES = 2**30  # the largest IDX set in use (EMNIST by class) has 0.55 · 10^9


def read_idx(path: Path, *, ndim: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or, if its name ends in ".gz", compressed.

    Header: two zero bytes, the type (0x08), the number of dimensions; then each dimension as a 32-bit integer.

    Args:
        path: The file.
        ndim: Number of dimensions that it must have.
    Returns: Array of the shape that the header states.
    Raises: TrainingError: GSM-602 if the header is wrong, or the payload is damaged, too short or too long.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            shape = _read_shape(stream, path, ndim)
            size = math.prod(shape)
            payload = stream.read(size + 1)  # one byte more: finds a longer file, and makes gzip check its CRC
    except (OSError, EOFError, zlib.error) as error:
        raise malformed(path, "the file cannot be read", found=error, expected="a whole IDX file") from error
    if len(payload) != size:
        found = f"{len(payload)} bytes" if len(payload) < size else "more bytes than that"
        raise malformed(path, "the payload has the wrong length", found=found, expected=f"{size} bytes for {shape}")
    return np.frombuffer(payload, np.uint8).reshape(shape)


def _read_shape(stream: BufferedIOBase, path: Path, ndim: int) -> tuple[int, ...]:
    expected_magic = bytes([0, 0, UNSIGNED_BYTE, ndim])
    magic = stream.read(4)
    if magic != expected_magic:
        raise malformed(path, "wrong magic number", found=f"0x{magic.hex()}", expected=f"0x{expected_magic.hex()}")
    header = stream.read(4 * ndim)
    if len(header) != 4 * ndim:
        raise malformed(path, "the header is cut off", found=f"{len(header)} bytes", expected=f"{4 * ndim} bytes")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    if not 0 < math.prod(shape) <= MAX_BYTES:
        raise malformed(path, "the header states an absurd size", found=shape, expected=f"1 … {MAX_BYTES} bytes")
    return shape
