"""Tiny-ImageNet in its original layout, whole or a subset of its classes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Split
from .images import read_images
from .locate import malformed, missing_dataset, missing_part

FOLDER = "tiny-imagenet-200"
IMAGE_SIZE = (64, 64)


def read_tiny_imagenet(split: Split, root: Path) -> Dataset:
    """Read Tiny-ImageNet, (3, 64, 64), from ROOT/tiny-imagenet-200.

    Classes are those that wnids.txt lists and that have a folder under train/, numbered in the sorted order of their
    WordNet ids; so a subset works, and n_classes says how many there are. The labels of the original test images were
    never published: "test" reads the validation images (`val/`), without those of absent classes. Some images are
    grayscale; they become RGB.

    Raises: TrainingError: GSM-601 if files are missing, GSM-602 if malformed.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        raise missing_dataset("tiny-imagenet", root, [f"{FOLDER}/{{train,val,wnids.txt}}"])
    wnids = _present_classes(folder)
    files, y = _train_files(folder, wnids) if split == "train" else _validation_files(folder, wnids)
    if not files:
        where = folder / ("train" if split == "train" else "val")
        raise missing_part("tiny-imagenet", where, f"images of the classes {', '.join(wnids[:3])}, …")
    x = read_images(files, folder=folder, label=f"tiny-imagenet-{split}", image_size=IMAGE_SIZE, keep_gray=False)
    names = _class_names(folder / "words.txt", wnids)
    return Dataset(name="tiny-imagenet", x=x, y=y, n_classes=len(wnids), split=split, class_names=names)


def _present_classes(folder: Path) -> list[str]:
    listed = {line.strip() for line in _read_lines(folder / "wnids.txt")}
    present = sorted(wnid for wnid in listed if wnid and (folder / "train" / wnid / "images").is_dir())
    if not present:
        expected = "train/<wnid>/images/*.JPEG for some of the ids in wnids.txt"
        raise missing_part("tiny-imagenet", folder / "train", expected)
    return present


def _train_files(folder: Path, wnids: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    per_class = [sorted(str(path) for path in (folder / "train" / w / "images").glob("*.JPEG")) for w in wnids]
    y = np.repeat(np.arange(len(wnids), dtype=np.int64), [len(files) for files in per_class])
    return [file for files in per_class for file in files], y


def _validation_files(folder: Path, wnids: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Files and labels in the order of val_annotations.txt: `file TAB wnid TAB x0 TAB y0 TAB x1 TAB y1`."""
    annotations, images = folder / "val" / "val_annotations.txt", folder / "val" / "images"
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    files, labels = [], []
    for number, line in enumerate(_read_lines(annotations), start=1):
        file, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if not wnid or Path(file).name != file:
            expected = "an image's file name, a tab, its WordNet id"
            raise malformed(annotations, f"line {number} is no annotation", found=ascii(line[:80]), expected=expected)
        if wnid not in label_of:
            continue
        if not (images / file).is_file():
            raise malformed(annotations, f"line {number} names an image that is not there", found=images / file)
        files.append(str(images / file))
        labels.append(label_of[wnid])
    return files, np.array(labels, np.int64)


def _class_names(words: Path, wnids: list[str]) -> tuple[str, ...]:
    """The first word that words.txt (`wnid TAB word, word, …`) gives for each class, or its id."""
    names: dict[str, str] = {}
    if words.is_file():
        wanted = set(wnids)
        for line in _read_lines(words):
            wnid, _, synonyms = line.partition("\t")
            if wnid in wanted:
                names[wnid] = synonyms.split(",")[0].strip()
    return tuple(names.get(wnid) or wnid for wnid in wnids)


def _read_lines(path: Path) -> list[str]:
    if not path.is_file():
        raise missing_part("tiny-imagenet", path, "a text file of the original archive")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except ValueError as error:
        raise malformed(path, "the file is no text", found=error, expected="UTF-8 text") from error
