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
    """Refuse a folder that could not be made or written into.

    Raises: GossamerError: GSM-106.
    """
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise GossamerError(
            "GSM-106",
            "cannot make the folder" if there != path else "cannot write into the folder",
            where=str(path),
            found=f"{there} is a file" if not there.is_dir() else f"{there} may not be written",
            remedy="name a folder that may be written with --out",
        )
    return path


def one_of(value: str, allowed: Sequence[str], *, option: str) -> None:
    """Refuse any other value.

    Raises: GossamerError: GSM-702.
    """
    if value not in allowed:
        raise GossamerError("GSM-702", "no such choice", where=option, found=repr(value), expected=" or ".join(allowed))


def cluster(address: str | None) -> None:
    """Refuse an address where no scheduler with workers answers.

    Raises: GossamerError: GSM-406, GSM-701.
    """
    if address is not None:
        from ..cluster import find_scheduler

        find_scheduler(address)


def chips(names: Sequence[str] | None) -> list[str]:
    """The chips asked for, each once, and every one of them known.

    Raises: GossamerError: GSM-501..503.
    """
    unique = list(dict.fromkeys(names or ()))
    for name in unique:
        chip_and_prices(name)
    return unique
