"""CIFAR-100: the original pickles, with the 100 fine labels."""

from pathlib import Path

from .cifar_pickle import cifar_images, read_cifar_pickle
from .dataset import Dataset, Split
from .locate import malformed, missing_dataset, missing_part

FOLDER = "cifar-100-python"


def read_cifar100(split: Split, root: Path) -> Dataset:
    """Read CIFAR-100, (3, 32, 32), 50,000 + 10,000 images, from ROOT/cifar-100-python/{train,test,meta}.

    Raises: TrainingError: GSM-601 if files are missing, GSM-602 if malformed, GSM-605 if labels do not fit.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        raise missing_dataset("cifar100", root, [f"{FOLDER}/{{train,test,meta}}"])
    for file in (split, "meta"):
        if not (folder / file).is_file():
            raise missing_part("cifar100", folder / file, "the files train, test and meta")
    x, y = cifar_images(folder / split, read_cifar_pickle(folder / split), "fine_labels")
    return Dataset(
        name="cifar100", x=x, y=y, n_classes=100, split=split, class_names=_read_class_names(folder / "meta")
    )


def _read_class_names(path: Path) -> tuple[str, ...]:
    names = read_cifar_pickle(path).get("fine_label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise malformed(path, "no class names", found=type(names).__name__, expected="fine_label_names: 100 strings")
    return tuple(name.decode("latin-1") if isinstance(name, bytes) else name for name in names)
