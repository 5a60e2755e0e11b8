"""The data sets by name. A new one is a file beside this one and a line in READERS."""

import difflib
from collections.abc import Callable
from pathlib import Path

from ..errors import TrainingError
from .cifar10 import read_cifar10
from .cifar100 import read_cifar100
from .dataset import Dataset, Split
from .digits import read_digits
from .image_folder import read_image_folder
from .locate import ROOT_REMEDY, default_root
from .mnist import read_fashion_mnist, read_mnist
from .svhn import read_svhn
from .tiny_imagenet import read_tiny_imagenet

READERS: dict[str, Callable[[Split, Path], Dataset]] = {
    "digits": read_digits,
    "mnist": read_mnist,
    "fashion-mnist": read_fashion_mnist,
    "cifar10": read_cifar10,
    "cifar100": read_cifar100,
    "svhn": read_svhn,
    "tiny-imagenet": read_tiny_imagenet,
}
FOLDER_PREFIX = "folder:"


def list_datasets() -> tuple[str, ...]:
    """The names that `load_dataset` knows, besides "folder:PATH"."""
    return tuple(READERS)


def load_dataset(name: str, split: Split, *, root: Path | None = None) -> Dataset:
    """Read one split of a data set.

    Args:
        name: One of `list_datasets()`, or "folder:PATH" for PATH/{train,test}/<class>/*.jpg|png.
        split: "train" or "test".
        root: The folder that holds the data sets; without it the environment variable GOSSAMER_DATA, else ./data.
    Raises: TrainingError: GSM-601 missing, GSM-602 malformed, GSM-603 unknown name or split, GSM-605 labels that do
        not fit, GSM-701 an optional package is needed.
    """
    if split not in ("train", "test"):
        raise TrainingError("GSM-603", "unknown split", where=name, found=split, expected='"train" or "test"')
    try:
        if name.startswith(FOLDER_PREFIX):
            return read_image_folder(Path(name.removeprefix(FOLDER_PREFIX)).expanduser(), split)
        if name not in READERS:
            raise _unknown(name)
        return READERS[name](split, default_root() if root is None else Path(root))
    except OSError as error:
        where, what = str(error.filename or name), "a file or folder of the data set cannot be read"
        raise TrainingError("GSM-601", what, where=where, found=error.strerror or error, remedy=ROOT_REMEDY) from error


def _unknown(name: str) -> TrainingError:
    closest = difflib.get_close_matches(name.lower().replace("_", "-"), READERS, n=1, cutoff=0.5)
    remedy = f"did you mean {closest[0]!r}?" if closest else "name a folder of images with folder:PATH"
    expected = f"{', '.join(READERS)} or folder:PATH"
    return TrainingError("GSM-603", "unknown data set", found=name, expected=expected, remedy=remedy)
