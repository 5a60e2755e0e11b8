"""Checks that come before long work, so that it is not done in vain."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..hwmodels import GossamerError, chip_and_prices


def writable(path: Path | None) -> None:
    """Refuse a file that could not be written in the end.

    Raises: GossamerError: GSM-106.
    """
    if path is None:
        return
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "is a folder, not a file" if path.is_dir() else "no such folder, or it may not be written"
        raise GossamerError(
            "GSM-106", f"cannot write the file: {what}", where=str(path), remedy="name a file in a folder that exists"
        )


def folder(path: Path) -> Path:
    """Make a folder unless it is there.

    Raises: GossamerError: GSM-106.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GossamerError(
            "GSM-106",
            "cannot make the folder",
            where=str(path),
            found=error.strerror or error,
            remedy="name a folder that may be written with --out",
        ) from None
    return path


def one_of(value: str, allowed: Sequence[str], *, option: str) -> None:
    """Refuse any other value.

    Raises: GossamerError: GSM-702.
    """
    if value not in allowed:
        raise GossamerError("GSM-702", "no such choice", where=option, found=repr(value), expected=" or ".join(allowed))


def chips(names: Sequence[str] | None) -> list[str]:
    """The chips asked for, each once, and every one of them known.

    Raises: GossamerError: GSM-501..503.
    """
    unique = list(dict.fromkeys(names or ()))
    for name in unique:
        chip_and_prices(name)
    return unique
