"""The 8x8 digits that scikit-learn ships: the data set that needs no file."""

from pathlib import Path

import numpy as np

from .dataset import Dataset, Split
from .optional import import_optional
from .split import stratified_indices

N_TEST = 360
SPLIT_SEED = 0


def read_digits(split: Split, root: Path) -> Dataset:
    """Read the 1,797 UCI digits, (1, 8, 8), from scikit-learn; `root` is not used.

    scikit-learn has no split of its own, so ours is fixed: 360 test and 1,437 training images, drawn once by
    `stratified_indices` with seed 0. Pixels 0 … 16 become round(v · 255 / 16).

    Raises: TrainingError: GSM-701 if scikit-learn is not installed.
    """
    sklearn_datasets = import_optional("sklearn.datasets", package="scikit-learn", needed_for="data set 'digits'")
    pixels, labels = sklearn_datasets.load_digits(return_X_y=True)
    x = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    y = labels.astype(np.int64)
    train, test = stratified_indices(y, N_TEST, SPLIT_SEED)
    chosen = test if split == "test" else train
    names = tuple(str(digit) for digit in range(10))
    return Dataset(name="digits", x=x[chosen], y=y[chosen], n_classes=10, split=split, class_names=names)
