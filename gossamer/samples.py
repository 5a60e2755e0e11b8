"""Samples to simulate on: a named data set or a .npz file, as arrays that fit a graph."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .compiler import SynapticGraph
from .hwmodels import GossamerError
from .simulator import Samples as SampleArray
from .training.data import Dataset, load_dataset, read_npz


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """x: as `gossamer.simulate` takes it; images are scaled when they are needed. y: (n_samples,) labels or None.
    n_classes: None where nobody said.
    """

    name: str
    x: SampleArray
    y: NDArray[np.int64] | None
    n_classes: int | None = None


def load_samples(data: str, *, split: str = "test", data_dir: Path | None = None, limit: int | None = None) -> Samples:
    """Read `data`: the path of a .npz file, or the name of a data set.

    Raises: GossamerError: GSM-601..605.
    """
    if not data.endswith(".npz"):
        dataset = load_images(data, split=split, data_dir=data_dir, limit=limit)
        return Samples(name=data, x=dataset.scaled(), y=dataset.y, n_classes=dataset.n_classes)
    arrays = read_npz(Path(data))
    n = arrays.n_samples if limit is None else limit
    if n < 1:
        raise GossamerError("GSM-702", "a limit keeps at least one sample", where="--limit", found=n, expected=">= 1")
    return Samples(name=data, x=arrays.x[:n], y=None if arrays.y is None else arrays.y[:n])


def load_images(data: str, *, split: str = "test", data_dir: Path | None = None, limit: int | None = None) -> Dataset:
    """Read a named data set.

    Raises: GossamerError: GSM-601..605.
    """
    dataset = load_dataset(data, split, root=data_dir)  # type: ignore[arg-type]  # it refuses other splits
    return dataset if limit is None else dataset.limit(limit)


def check_classes(n_classes: int | None, n_outputs: int, *, data: str) -> None:
    """Refuse labels of one set of classes for a network with another number of outputs.

    Raises: GossamerError: GSM-605.
    """
    if n_classes is not None and n_classes != n_outputs:
        raise GossamerError(
            "GSM-605",
            "the data set has another number of classes than the network has outputs",
            where=data,
            found=f"{n_classes} classes",
            expected=f"{n_outputs}",
            remedy="use the data set that the network was trained on",
        )


def n_outputs(graph: SynapticGraph) -> int:
    """Neurons that are read."""
    return graph[graph.output].n_neurons
