"""Decode JPEG and PNG files of one size into one array."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import cached_array
from .locate import malformed
from .optional import import_optional

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MODES = ("1", "L", "P", "RGB")  # Pillow's names of: bilevel, grayscale, palette, colour
MAX_BYTES = 2**33


def read_images(
    files: Sequence[str], *, folder: Path, label: str, image_size: tuple[int, int] | None, keep_gray: bool
) -> NDArray[np.uint8]:
    """Decode `files`, or read the array that an earlier call decoded from the same files (see `cache.py`).

    Args:
        files: Paths of the images, at least one.
        folder: The data set's folder, and
        label: a short name such as "cifar10-train": with it, the identity of the cached array.
        image_size: (H, W) that every image must have; None: that of the first.
        keep_gray: Return one channel if every image is grayscale. Otherwise grayscale images become RGB.
    Returns: (n, 3, H, W) or (n, 1, H, W) uint8.
    Raises: TrainingError: GSM-602, naming the file, if one is damaged or has another size or a strange pixel format;
        GSM-701 if Pillow is not installed.
    """
    fingerprint = _fingerprint(files, f"{image_size} {keep_gray}")
    return cached_array(label, folder, fingerprint, lambda: _decode_all(files, image_size, keep_gray))


def _fingerprint(files: Sequence[str], options: str) -> str:
    """SHA-256 over the options and over every file's path, size and time of change."""
    digest = hashlib.sha256(options.encode())
    for file in files:
        status = os.stat(file)
        digest.update(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _decode_all(files: Sequence[str], image_size: tuple[int, int] | None, keep_gray: bool) -> NDArray[np.uint8]:
    # One thread: on images this small the interpreter lock makes two threads take twice as long (measured on CIFAR-10).
    pillow = import_optional("PIL.Image", package="pillow", needed_for="reading images")
    height, width = image_size or _size_of(pillow, files[0])
    n_bytes = len(files) * 3 * height * width
    if n_bytes > MAX_BYTES:
        found, expected = f"{len(files)} images of {width}x{height}", f"at most {MAX_BYTES >> 30} GiB of pixels"
        raise malformed(Path(files[0]).parent, "too many pixels", found=found, expected=expected, remedy="scale down")
    x = np.empty((len(files), 3, height, width), np.uint8)
    is_gray = keep_gray
    for i, file in enumerate(files):
        pixels = _decode(pillow, file, (height, width))
        is_gray = is_gray and pixels.ndim == 2
        x[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return x[:, :1].copy() if is_gray else x


def _size_of(pillow: Any, file: str) -> tuple[int, int]:
    try:
        with pillow.open(file, formats=("JPEG", "PNG")) as image:
            return image.height, image.width
    except Exception as error:
        raise _damaged(file, error) from error


def _decode(pillow: Any, file: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) for a grayscale image, (H, W, 3) for any other."""
    try:
        with pillow.open(file, formats=("JPEG", "PNG")) as image:
            found_size, mode, has_alpha = (image.height, image.width), image.mode, "transparency" in image.info
            if found_size == size and mode in MODES and not has_alpha:
                return np.asarray(image if mode in ("L", "RGB") else image.convert("L" if mode == "1" else "RGB"))
    except Exception as error:  # a damaged image makes decoders raise OSError, SyntaxError, ValueError, struct.error, …
        raise _damaged(file, error) from error
    if found_size != size:
        found, expected = f"{found_size[1]}x{found_size[0]}", f"{size[1]}x{size[0]} pixels, as all the others"
        raise malformed(Path(file), "wrong image size", found=found, expected=expected, remedy="scale it")
    found, expected = f"mode {mode}{' with transparency' if has_alpha else ''}", "8-bit grayscale, palette or RGB"
    raise malformed(Path(file), "pixel format not read", found=found, expected=expected, remedy="convert it to RGB")


def _damaged(file: str, error: Exception) -> Exception:
    return malformed(Path(file), "the image cannot be decoded", found=error, expected="a whole JPEG or PNG file")
