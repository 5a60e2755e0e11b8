"""Read data sets to NumPy. Nothing here needs torch, so `simulate` and `train` share these readers."""

from .dataset import Dataset, Split
from .npz import NpzData, read_npz
from .registry import list_datasets, load_dataset
from .split import split_validation

__all__ = ["Dataset", "NpzData", "Split", "list_datasets", "load_dataset", "read_npz", "split_validation"]
