"""Strings of variable length in HDF5, read without HDF5's own library.

Given one damaged byte, the library takes a length for gigabytes, or never ends (version 2.0). The format is simple:
the dataset holds (length: 4 bytes, address of a collection: 8, index: 4) for each string. A collection is
"GCOL", version 1 (1 byte), 3 reserved, its size (8), and objects: index (2), references (2), 4 reserved, size (8),
and the bytes, filled up to a multiple of 8. Index 0 is free space, the rest of the collection.

Source: HDF5 File Format Specification 3.0, III.E "Disk Format: Level 1E - Global Heap".
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAX_TEXTS = 1 << 20
MAX_COLLECTION = 1 << 26  # bytes; the library makes them of 4096, or as large as one string needs


def read_texts(dataset: Any) -> Any:
    """The text of an h5py dataset without a shape, or an array of objects with its texts.

    Raises:
        ValueError: if the strings are damaged, or stored otherwise than nir.write does.
    """
    n_texts, offset = int(dataset.size or 0), dataset.id.get_offset()
    sizes = dataset.file.id.get_create_plist().get_sizes()
    if offset is None or n_texts > MAX_TEXTS or sizes != (8, 8) or dataset.file.userblock_size:
        raise ValueError(f"{dataset.name} does not hold strings, or not side by side")
    collections: dict[int, dict[int, bytes]] = {}
    texts = np.empty(n_texts, object)
    with Path(dataset.file.filename).open("rb") as file:
        file.seek(offset)
        for i, (length, address, index) in enumerate(struct.iter_unpack("<IQI", _exactly(file, 16 * n_texts))):
            if length and address not in collections:
                collections[address] = _collection(file, address)
            texts[i] = _text(collections[address], length, index, dataset.name) if length else ""
    return texts.reshape(dataset.shape) if dataset.shape else texts[0]


def _text(collection: dict[int, bytes], length: int, index: int, name: str) -> str:
    if index not in collection or length > len(collection[index]):
        raise ValueError(f"a string of {name} is damaged")
    return collection[index][:length].decode("utf8")


def _collection(file: BinaryIO, address: int) -> dict[int, bytes]:
    """The objects of a collection by their index."""
    file.seek(address)
    signature, version, size = struct.unpack("<4sB3xQ", _exactly(file, 16))
    if signature != b"GCOL" or version != 1 or not 16 <= size <= MAX_COLLECTION:
        raise ValueError(f"no collection of strings at {address}")
    data = _exactly(file, size - 16)
    objects: dict[int, bytes] = {}
    at = 0
    while at + 16 <= len(data):
        index, length = struct.unpack_from("<H6xQ", data, at)
        if index == 0:
            break
        at += 16
        if length > len(data) - at:
            raise ValueError(f"a string at {address + 16 + at} is longer than its collection")
        objects[index] = data[at : at + length]
        at += (length + 7) // 8 * 8
    return objects


def _exactly(file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) < n:
        raise ValueError("file ends within a string")
    return data
