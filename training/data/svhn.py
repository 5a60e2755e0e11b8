"""SVHN: house numbers, cropped to single digits, as one MATLAB file per split."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Split
from .locate import malformed, missing_dataset

FOLDERS = ("svhn", "SVHN", ".")
LARGEST = 1 << 20  # images in a file; the largest published has 531,131
SIZE = (32, 32, 3)


def read_svhn(split: Split, root: Path) -> Dataset:
    """Read SVHN's cropped digits, (3, 32, 32), 73,257 + 26,032 images, from ROOT/svhn, ROOT/SVHN or ROOT.

    The files hold pictures as (row, column, channel, image) and the digit 0 as label 10.

    Raises: TrainingError: GSM-601 if the file is missing, GSM-602 if malformed, GSM-605 if labels do not fit.
    """
    file = f"{split}_32x32.mat"
    path = next((p for folder in FOLDERS if (p := root / folder / file).is_file()), None)
    if path is None:
        raise missing_dataset("svhn", root, [f"{folder}/{file}".removeprefix("./") for folder in FOLDERS])
    images, labels = _read(path)
    x = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    names = tuple(str(digit) for digit in range(10))
    return Dataset(name="svhn", x=x, y=_digits(path, labels), n_classes=10, split=split, class_names=names)


def _read(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """The variables X and y, whose types and shapes are looked at before they are read."""
    from scipy.io import loadmat, whosmat  # slow to import, and nobody else needs it

    try:
        found = {name: (shape, kind) for name, shape, kind in whosmat(str(path), appendmat=False)}
    except Exception as error:  # a damaged file makes SciPy raise anything: ValueError, TypeError, zlib.error, …
        raise _unreadable(path, error) from error
    (shape, kind), (label_shape, label_kind) = found.get("X", ((), "nothing")), found.get("y", ((), "nothing"))
    if kind != "uint8" or len(shape) != 4 or shape[:3] != SIZE or not 1 <= shape[3] <= LARGEST:
        expected = f"(32, 32, 3, n) uint8, n <= {LARGEST:,}"
        raise malformed(path, "variable 'X' holds no SVHN images", found=f"{shape} {kind}", expected=expected)
    if label_kind not in ("uint8", "double") or len(label_shape) != 2 or min(label_shape) != 1:
        found_label = f"{label_shape} {label_kind}"
        raise malformed(path, "variable 'y' holds no labels", found=found_label, expected="(n, 1) uint8")
    if max(label_shape) > LARGEST:
        raise malformed(path, "too many labels", found=max(label_shape), expected=f"<= {LARGEST:,}")
    try:
        content = loadmat(str(path), appendmat=False, variable_names=["X", "y"])
    except Exception as error:
        raise _unreadable(path, error) from error
    return np.asarray(content["X"], np.uint8), np.ravel(content["y"])


def _digits(path: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    """1 … 9 as they are, 10 as 0."""
    if not np.isin(labels, np.arange(1, 11)).all():
        strange = labels[~np.isin(labels, np.arange(1, 11))][0]
        raise malformed(path, "a label is no digit", found=strange, expected="1 … 9, and 10 for the digit 0")
    return labels.astype(np.int64) % 10


def _unreadable(path: Path, error: Exception) -> Exception:
    return malformed(path, "the file cannot be read", found=error, expected="a MATLAB 5 file, as SVHN's are")
