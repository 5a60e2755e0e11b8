"""MNIST and Fashion-MNIST: four IDX files each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .dataset import Dataset, Split
from .idx import read_idx
from .locate import malformed, missing_dataset, missing_part

PREFIX = {"train": "train", "test": "t10k"}
MNIST_FOLDERS = ("MNIST/raw", "mnist", ".")
FASHION_FOLDERS = ("FashionMNIST/raw", "fashion-mnist")  # not ROOT itself: the files are named as MNIST's
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def read_mnist(split: Split, root: Path) -> Dataset:
    """Read MNIST, (1, 28, 28), 60,000 + 10,000 images, from ROOT/MNIST/raw, ROOT/mnist or ROOT.

    Raises: TrainingError: GSM-601 if files are missing, GSM-602 if malformed, GSM-605 if labels do not fit.
    """
    return _read("mnist", split, root, MNIST_FOLDERS, tuple(str(digit) for digit in range(10)))


def read_fashion_mnist(split: Split, root: Path) -> Dataset:
    """Read Fashion-MNIST, (1, 28, 28), from ROOT/FashionMNIST/raw or ROOT/fashion-mnist.

    Raises: TrainingError: GSM-601 if files are missing, GSM-602 if malformed, GSM-605 if labels do not fit.
    """
    return _read("fashion-mnist", split, root, FASHION_FOLDERS, FASHION_CLASSES)


def _read(name: str, split: Split, root: Path, folders: Sequence[str], class_names: tuple[str, ...]) -> Dataset:
    image_file, label_file = f"{PREFIX[split]}-images-idx3-ubyte", f"{PREFIX[split]}-labels-idx1-ubyte"
    images = next((path for folder in folders if (path := _plain_or_gz(root / folder / image_file))), None)
    if images is None:
        layouts = [f"{folder}/{image_file}[.gz]".removeprefix("./") for folder in folders]
        raise missing_dataset(name, root, layouts)
    labels = _plain_or_gz(images.parent / label_file)
    if labels is None:
        raise missing_part(name, images.parent / label_file, f"{label_file} or {label_file}.gz beside {images.name}")
    x = read_idx(images, ndim=3)
    if x.shape[1:] != (28, 28):
        raise malformed(images, "wrong image size", found=x.shape[1:], expected="(28, 28)")
    y = read_idx(labels, ndim=1).astype(np.int64)
    return Dataset(name=name, x=x[:, None], y=y, n_classes=10, split=split, class_names=class_names)


def _plain_or_gz(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)
