"""Keep decoded images, so that tens of thousands of files are decoded once.

An entry is two files in $GOSSAMER_CACHE (else ~/.cache/gossamer): NAME.npy, the uint8 array, and NAME.json, which
says of which files it was made and what its SHA-256 is. NAME holds the data set's path, so a data set has one entry,
replaced when its files change. Both are written atomically; an entry that does not match in every respect is ignored
and made again. A cache that cannot be written costs time, never the result.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...compiler import GossamerError, atomic_path, write_text

FORMAT = 1


def cached_array(
    label: str, source: Path, fingerprint: str, build: Callable[[], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Return the array that `build` makes, from the cache if it was made of the same files before.

    Args:
        label: Short name of the array, safe in a file name.
        source: The folder from which it is made; with `label`, the identity of the entry.
        fingerprint: Hash of everything on which the array depends.
        build: Makes the array.
    """
    try:
        folder = cache_folder()
    except RuntimeError:  # no home directory
        return build()
    entry = folder / f"{label}-{hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]}"
    array = _read(entry, fingerprint)
    if array is None:
        array = build()
        with contextlib.suppress(OSError, GossamerError):
            _write(entry, fingerprint, array)
    return array


def cache_folder() -> Path:
    """The folder of the cache: the environment variable GOSSAMER_CACHE, else ~/.cache/gossamer."""
    named = os.environ.get("GOSSAMER_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "gossamer"


def _read(entry: Path, fingerprint: str) -> NDArray[np.uint8] | None:
    """The entry's array, or None if it is missing, made of other files, or damaged."""
    try:
        header = json.loads(entry.with_suffix(".json").read_bytes())
        if header != {"format": FORMAT, "fingerprint": fingerprint, "sha256": header["sha256"]}:
            return None
        if _sha256(entry.with_suffix(".npy")) != header["sha256"]:
            return None
        # Mapped: an entry is replaced, never changed in place.
        array: NDArray[np.uint8] = np.asarray(np.load(entry.with_suffix(".npy"), mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return array if array.dtype == np.uint8 else None


def _write(entry: Path, fingerprint: str, array: NDArray[np.uint8]) -> None:
    """The array first, its header last: a write that is cut short leaves an entry whose SHA-256 does not match."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(entry.with_suffix(".npy")) as temporary:
        with temporary.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
        sha256 = _sha256(temporary)
    header = {"format": FORMAT, "fingerprint": fingerprint, "sha256": sha256}
    write_text(entry.with_suffix(".json"), json.dumps(header))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
