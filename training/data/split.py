"""Hold out a stratified part of a data set."""

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from .dataset import Dataset


def split_validation(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a training set into (train, validation): stratified, and the same for the same seed.

    Validation data choose the epoch, the pruning mask and the attack's strength; the test set never does, so this
    refuses a test split.

    Args:
        dataset: A training split.
        fraction: Share of the samples to hold out; at least one sample must land on each side.
        seed: Seed of the choice.
    Raises: TrainingError: GSM-605 for a test split, or if one of the parts would be empty.
    """
    where = f"{dataset.name} ({dataset.split})"
    if dataset.split != "train":
        remedy = "load the train split; the test set must not choose anything"
        what = "validation samples are taken from the training set"
        raise TrainingError("GSM-605", what, where=where, found=dataset.split, expected="train", remedy=remedy)
    n_held = round(dataset.n_samples * fraction) if 0 < fraction < 1 else 0
    if not 0 < n_held < dataset.n_samples:
        found = f"fraction {fraction} of {dataset.n_samples} samples"
        expected = "a fraction between 0 and 1 that leaves samples on both sides"
        raise TrainingError("GSM-605", "nothing to split", where=where, found=found, expected=expected)
    kept, held = stratified_indices(dataset.y, n_held, seed)
    return dataset.take(kept), dataset.take(held)


def stratified_indices(
    labels: NDArray[np.int64], n_held: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose n_held samples at random so that each class is held out in proportion.

    A class of c samples gives floor(c · n_held / n); the samples still missing come one each from the classes with
    the largest remainders (ties: the smaller label).

    Args:
        labels: (n,) labels.
        n_held: Number of samples to hold out, 0 … n.
        seed: Seed of the choice.
    Returns: (kept, held): (n - n_held,) and (n_held,) indices, ascending.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quotas, remainders = np.divmod(counts * n_held, len(labels))
    largest_first = np.argsort(-remainders, kind="stable")
    quotas[largest_first[: n_held - int(quotas.sum())]] += 1
    rng = np.random.default_rng(seed)
    is_held = np.zeros(len(labels), bool)
    for label, quota in zip(classes, quotas, strict=True):
        is_held[rng.permutation(np.flatnonzero(labels == label))[:quota]] = True
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
