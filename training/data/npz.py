"""Input of one's own: `--data FILE.npz`."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from .locate import malformed

MAX_EXACT_INTEGER = 2**24  # up to here float32 holds every integer


@dataclass(frozen=True, kw_only=True, eq=False)
class NpzData:
    """Samples from a .npz file, with or without labels.

    Args:
        x: (n_samples, n_steps, *input_shape) spikes or currents for each step, or (n_samples, *input_shape) values
            that the network's input coding turns into steps; float32, finite, not scaled.
        y: (n_samples,) int64 labels >= 0, or None.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None = None

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.x)


def read_npz(path: Path) -> NpzData:
    """Read `x` and, if present, `y` from a .npz file. Other keys are passed over. Nothing is ever unpickled.

    `x` may be of any real type: bool and integers within ±2^24 are exact in float32, float64 is rounded.

    Raises: TrainingError: GSM-601 if there is no such file; GSM-602 if it is no .npz file, has no `x`, or if an array
        is damaged, of objects or text, not finite, or of the wrong shape; GSM-605 if `y` does not fit `x`.
    """
    path = Path(path)
    if not path.is_file():
        what = "the data file was not found"
        raise TrainingError("GSM-601", what, where=str(path), found="nothing there", expected="a .npz file")
    if not zipfile.is_zipfile(path):
        raise malformed(path, "the file is no .npz file", expected="a file that numpy.savez wrote")
    try:
        # Opened here, so that it is closed again when NumPy gives up on it.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if "x" not in arrays:
                found = ", ".join(arrays.files) or "no array"
                raise malformed(path, "the file has no array 'x'", found=found, expected="x, and y for labels")
            x, y = arrays["x"], arrays.get("y")
    except TrainingError:
        raise
    except Exception as error:  # a damaged archive can raise anything: BadZipFile, zlib.error, ValueError, …
        expected = "whole arrays of numbers (no objects: those would be unpickled)"
        raise malformed(path, "an array cannot be read", found=error, expected=expected) from error
    return NpzData(x=_to_float32(path, x), y=None if y is None else _to_labels(path, y, len(x)))


def _to_float32(path: Path, x: NDArray[Any]) -> NDArray[np.float32]:
    shape = "(n_samples, …): two or more dimensions, none of them empty"
    if x.ndim < 2 or not x.size:
        raise malformed(path, "'x' has the wrong shape", found=x.shape, expected=shape, remedy="add a sample axis")
    if x.dtype.kind not in "biuf":
        remedy = "store x with numpy.asarray(x, numpy.float32)"
        raise malformed(path, "'x' holds no real numbers", found=x.dtype, expected="bool, int or float", remedy=remedy)
    if x.dtype.kind in "iu" and (x.max() > MAX_EXACT_INTEGER or x.min() < -MAX_EXACT_INTEGER):
        found, expected = f"{x.min()} … {x.max()}", f"±{MAX_EXACT_INTEGER}, which float32 holds exactly"
        raise malformed(path, "'x' holds integers too large", found=found, expected=expected, remedy="scale x down")
    with np.errstate(over="ignore"):
        values = x.astype(np.float32)
    if not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        found, remedy = f"{x[place]} at {place}", "clean x before storing it"
        raise malformed(path, "'x' is not finite", found=found, expected="finite float32 values", remedy=remedy)
    return values


def _to_labels(path: Path, y: NDArray[Any], n_samples: int) -> NDArray[np.int64]:
    if y.dtype.kind not in "iu":
        remedy = "store y with numpy.asarray(y, numpy.int64)"
        raise malformed(path, "'y' holds no labels", found=y.dtype, expected="integers", remedy=remedy)
    if y.shape != (n_samples,):
        what, expected = "'y' does not fit 'x'", f"({n_samples},): one label per sample"
        raise TrainingError("GSM-605", what, where=str(path), found=y.shape, expected=expected)
    if y.min() < 0 or y.max() > np.iinfo(np.int64).max:
        what = "a label lies outside the classes"
        raise TrainingError("GSM-605", what, where=str(path), found=f"{y.min()} … {y.max()}", expected="labels >= 0")
    return y.astype(np.int64)
