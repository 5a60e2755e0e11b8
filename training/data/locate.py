"""Where data sets lie, and what to say when they do not lie there."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import TrainingError

ROOT_REMEDY = "put the files there, or name the folder that holds them with GOSSAMER_DATA or --data-dir"


def default_root() -> Path:
    """The folder that holds the data sets: the environment variable GOSSAMER_DATA, else ./data."""
    return Path(os.environ.get("GOSSAMER_DATA") or "data")


def missing_dataset(dataset: str, root: Path, layouts: Sequence[str]) -> TrainingError:
    """GSM-601: none of the accepted layouts (paths under ROOT) is there."""
    found = "none of the accepted layouts" if root.is_dir() else "no such folder"
    expected = " or ".join(f"{root / layout}" for layout in layouts)
    what = f"data set {dataset!r} was not found"
    return TrainingError("GSM-601", what, where=str(root), found=found, expected=expected, remedy=ROOT_REMEDY)


def missing_part(dataset: str, path: Path, expected: str) -> TrainingError:
    """GSM-601: the data set is there, but one of its files or folders is not."""
    what = f"a part of data set {dataset!r} is missing"
    return TrainingError("GSM-601", what, where=str(path), found="nothing there", expected=expected, remedy=ROOT_REMEDY)


def malformed(path: Path, what: str, *, found: object = "", expected: str = "", remedy: str = "") -> TrainingError:
    """GSM-602: a file is there, but is not what its format says."""
    remedy = remedy or "fetch the file again: it is damaged or is another file"
    return TrainingError("GSM-602", what, where=str(path), found=found, expected=expected, remedy=remedy)
