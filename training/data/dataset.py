"""The labelled images that every reader returns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError

Split = Literal["train", "test"]


class ScaledImages:
    """Raw pixels, (n, C, H, W) uint8, that are seen as float32 in [0, 1]; a slice is a new, writable array."""

    dtype = np.dtype(np.float32)

    def __init__(self, raw: NDArray[np.uint8]) -> None:
        self.raw = raw
        self.shape = raw.shape

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        return np.divide(self.raw[part], np.float32(255), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """One split of a labelled image set. The arrays are read-only; constructing validates.

    Args:
        name: The name by which `load_dataset` found it.
        x: (n, C, H, W) uint8 raw pixels, 0 … 255.
        y: (n,) int64 labels, 0 … n_classes - 1.
        n_classes: Number of classes; some may have no sample.
        split: "train" or "test".
        class_names: n_classes names, in label order.
    Raises: TrainingError: GSM-605 if shapes, dtypes, labels and class names do not agree.
    """

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    n_classes: int
    split: Split
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_array(self, "x", self.x, "(n, C, H, W) uint8, n >= 1", ndim=4, dtype=np.uint8)
        _check_array(self, "y", self.y, "(n,) int64, n >= 1", ndim=1, dtype=np.int64)
        if self.split not in ("train", "test"):
            raise self._refuse("unknown split", self.split, '"train" or "test"')
        if len(self.x) != len(self.y):
            raise self._refuse("images and labels differ in number", len(self.y), f"{len(self.x)} labels")
        if len(self.class_names) != self.n_classes:
            raise self._refuse("class names and n_classes differ", len(self.class_names), f"{self.n_classes} names")
        low, high = int(self.y.min()), int(self.y.max())
        if low < 0 or high >= self.n_classes:
            raise self._refuse("a label lies outside the classes", f"{low} … {high}", f"0 … {self.n_classes - 1}")
        object.__setattr__(self, "x", _read_only(self.x))
        object.__setattr__(self, "y", _read_only(self.y))

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"Dataset({self.name!r}, {self.split}: {self.n_samples} images {shape}, {self.n_classes} classes)"

    @property
    def n_samples(self) -> int:
        """Number of images."""
        return len(self.x)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return cast(tuple[int, int, int], self.x.shape[1:])

    def images(self) -> NDArray[np.float32]:
        """All images as (n, C, H, W) float32 in [0, 1]: x / 255. A new, writable array."""
        return self.scaled()[:]

    def scaled(self) -> "ScaledImages":
        """What `images` gives, made slice by slice, so that a large set takes the memory of its bytes only."""
        return ScaledImages(self.x)

    def take(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> "Dataset":
        """The samples at `indices` (n_taken,), in that order.

        Raises: TrainingError: GSM-605 if `indices` is empty, not integer, or out of range.
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or not len(chosen) or not np.issubdtype(chosen.dtype, np.integer):
            raise self._refuse("indices must be integers", f"{chosen.dtype} {chosen.shape}", "(n,) integers, n >= 1")
        if chosen.min() < 0 or chosen.max() >= self.n_samples:
            found = f"{chosen.min()} … {chosen.max()}"
            raise self._refuse("an index lies outside the samples", found, f"0 … {self.n_samples - 1}")
        return replace(self, x=self.x[chosen], y=self.y[chosen])

    def limit(self, n: int) -> "Dataset":
        """At most n samples, spread evenly over the classes, in their original order.

        Takes the first sample of every class, then the second of every class, and so on: files that stand sorted by
        class still give every class, the choice needs no seed, and limit(10) is contained in limit(100).

        Raises: TrainingError: GSM-605 if n < 1.
        """
        if n < 1:
            raise self._refuse("a limit keeps at least one sample", n, ">= 1")
        if n >= self.n_samples:
            return self
        by_turn = np.argsort(_turn_in_class(self.y), kind="stable")
        return self.take(np.sort(by_turn[:n]))

    def _refuse(self, what: str, found: object, expected: str) -> TrainingError:
        return TrainingError("GSM-605", what, where=f"{self.name} ({self.split})", found=found, expected=expected)


def _check_array(dataset: Dataset, name: str, array: object, expected: str, *, ndim: int, dtype: type) -> None:
    if isinstance(array, np.ndarray):
        if array.ndim == ndim and array.dtype == dtype and array.size:
            return
        found = f"{array.shape} {array.dtype}"
    else:
        found = type(array).__name__
    where = f"{dataset.name} ({dataset.split})"
    raise TrainingError("GSM-605", f"{name} has the wrong shape or dtype", where=where, found=found, expected=expected)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view; the caller's own array stays as writable as it was."""
    view = array.view()
    view.flags.writeable = False
    return view


def _turn_in_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) how many earlier samples have the same label."""
    by_class = np.argsort(labels, kind="stable")
    _, first, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)
    turn[by_class] = np.arange(len(labels)) - np.repeat(first, counts)
    return turn
