"""A folder of images: PATH/{train,test}/<class>/<image>. Any images of one size; also the data set "folder:PATH"."""

import os
from pathlib import Path

import numpy as np

from ..errors import TrainingError
from .dataset import Dataset, Split
from .images import SUFFIXES, read_images
from .locate import missing_part

SPLIT_FOLDERS = {"train": ("train",), "test": ("test", "val")}


def read_image_folder(
    folder: Path,
    split: Split,
    *,
    name: str | None = None,
    image_size: tuple[int, int] | None = None,
    keep_gray: bool = True,
) -> Dataset:
    """Read FOLDER/train, or FOLDER/test (else FOLDER/val): one sub-folder of JPEG or PNG files per class.

    Labels number the sorted names of the class folders in FOLDER/train, so both splits agree even where the test
    split lacks a class. Within a class, images stand sorted by file name. Names that start with a dot and files that
    are neither .jpg, .jpeg nor .png are passed over.

    Args:
        folder: The folder that holds the split folders.
        split: "train" or "test".
        name: Name of the data set; "folder:FOLDER" without it.
        image_size: (H, W) that every image must have; None: that of the first image.
        keep_gray: One channel if all images are grayscale; else, and without it, three.
    Raises: TrainingError: GSM-601 if a folder is missing or empty, GSM-602 if an image is damaged or of another size,
        GSM-605 if the test split has a class that the training split lacks.
    """
    name = name or f"folder:{folder}"
    split_folder = find_split_folder(folder, split)
    if split_folder is None:
        raise missing_part(name, folder, f"{folder / split}/<class>/*.jpg|png")
    classes = list_classes(folder, split)
    files: list[str] = []
    counts = []
    for class_name in classes:
        images = _list_images(split_folder / class_name)
        files += images
        counts.append(len(images))
    if not files:
        raise missing_part(name, split_folder, "<class>/*.jpg|png: one folder of images per class")
    x = read_images(
        files, folder=folder, label=f"{name.split(':')[0]}-{split}", image_size=image_size, keep_gray=keep_gray
    )
    y = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
    return Dataset(name=name, x=x, y=y, n_classes=len(classes), split=split, class_names=classes)


def find_split_folder(folder: Path, split: Split) -> Path | None:
    """The sub-folder of `folder` that holds `split`, if there is one."""
    return next((folder / part for part in SPLIT_FOLDERS[split] if (folder / part).is_dir()), None)


def list_classes(folder: Path, split: Split) -> tuple[str, ...]:
    """The class names in label order: the sorted sub-folders of the training split, or of `split` without one.

    Raises: TrainingError: GSM-605 if `split` has a class that the training split lacks.
    """
    split_folder = find_split_folder(folder, split)
    train_folder = find_split_folder(folder, "train") or split_folder
    if split_folder is None or train_folder is None:
        return ()
    classes = _list_folders(train_folder)
    unknown = sorted(set(_list_folders(split_folder)) - set(classes))
    if unknown:
        what = f"the {split} split has a class that the training split lacks"
        expected = f"the folders of {train_folder}"
        raise TrainingError("GSM-605", what, where=str(split_folder), found=", ".join(unknown), expected=expected)
    return classes


def _list_folders(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def _list_images(folder: Path) -> list[str]:
    """Sorted paths of the images in a folder; none if it does not exist."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.path
            for entry in entries
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES and not entry.name.startswith(".")
        )
