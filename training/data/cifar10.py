"""CIFAR-10: the original pickles, or a folder of images."""

from pathlib import Path

import numpy as np

from ..errors import TrainingError
from .cifar_pickle import cifar_images, read_cifar_pickle
from .dataset import Dataset, Split
from .image_folder import find_split_folder, list_classes, read_image_folder
from .locate import missing_dataset, missing_part

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PICKLE_FOLDER = "cifar-10-batches-py"
IMAGE_FOLDERS = ("cifar10-images", "cifar10")
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def read_cifar10(split: Split, root: Path) -> Dataset:
    """Read CIFAR-10, (3, 32, 32), 50,000 + 10,000 images.

    Looks for ROOT/cifar-10-batches-py (the original, preferred), then for the image folders ROOT/cifar10-images and
    ROOT/cifar10. The sorted folder names are the official class order.

    Raises: TrainingError: GSM-601 if files are missing, GSM-602 if malformed, GSM-605 if the classes do not fit.
    """
    if (root / PICKLE_FOLDER).is_dir():
        return _read_pickles(split, root / PICKLE_FOLDER)
    for folder in IMAGE_FOLDERS:
        if find_split_folder(root / folder, split) is not None:
            return _read_images(split, root / folder)
    raise missing_dataset("cifar10", root, [PICKLE_FOLDER, *(f"{folder}/{{train,test}}" for folder in IMAGE_FOLDERS)])


def _read_pickles(split: Split, folder: Path) -> Dataset:
    parts = []
    for batch in BATCHES[split]:
        path = folder / batch
        if not path.is_file():
            raise missing_part("cifar10", path, "data_batch_1 … data_batch_5 and test_batch")
        parts.append(cifar_images(path, read_cifar_pickle(path), "labels"))
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Dataset(name="cifar10", x=x, y=y, n_classes=10, split=split, class_names=CLASSES)


def _read_images(split: Split, folder: Path) -> Dataset:
    found = list_classes(folder, split)
    if found != CLASSES:
        raise TrainingError(
            "GSM-605",
            "the class folders are not those of CIFAR-10",
            where=str(folder),
            found=", ".join(found) or "no class folder",
            expected=", ".join(CLASSES),
            remedy="read another set of images with the data set name folder:PATH",
        )
    dataset = read_image_folder(folder, split, name="cifar10", image_size=(32, 32), keep_gray=False)
    empty = np.flatnonzero(np.bincount(dataset.y, minlength=len(CLASSES)) == 0)
    if empty.size:
        raise missing_part("cifar10", folder / split / CLASSES[empty[0]], "*.jpg|png: images of this class")
    return dataset
