"""Reading .nir files: HDF5, with care, for HDF5's own library trusts what it reads."""

from pathlib import Path
from typing import Any

from ..errors import CompileError
from .hdf5_text import read_texts
from .nir_record import MAX_DEPTH, Record, text_of
from .packages import optional_package

NEWEST_MAJOR = 1  # NIR 1.x; files of 0.x have the same layout
MAX_BYTES = 1 << 32  # of all arrays together, unpacked: a few kilobytes of HDF5 can claim any size


def read_record(path: str | Path) -> tuple[Record, str]:
    """The graph in a .nir file, and the NIR version that wrote it.

    Raises:
        CompileError: GSM-101 not readable, GSM-102 not a NIR file, GSM-103 newer, GSM-104 damaged, GSM-701 no h5py.
    """
    h5py = optional_package("h5py")
    where = str(path)
    if Path(path).is_dir():
        raise CompileError("GSM-101", "is a folder, not a file", where=where)
    try:
        with h5py.File(path, "r") as file:
            if "node" not in file or "version" not in file:
                raise CompileError(
                    "GSM-102", "HDF5, but not a NIR file", where=where, found=", ".join(file) or "nothing",
                    expected="node, version",
                )  # fmt: skip
            bytes_left = [MAX_BYTES]
            version = text_of(_read_array(file["version"], where, bytes_left))
            if not version.split(".")[0].isdigit() or int(version.split(".")[0]) > NEWEST_MAJOR:
                raise CompileError(
                    "GSM-103", "written by a newer NIR", where=f"{path}, field version", found=version,
                    expected=f"<= {NEWEST_MAJOR}.x",
                )  # fmt: skip
            return _read_group(file["node"], h5py, where, bytes_left), version
    except FileNotFoundError:
        raise CompileError("GSM-101", "no such file", where=where) from None
    except PermissionError as error:
        raise CompileError("GSM-101", "cannot read the file", where=where, found=error) from None
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        if isinstance(error, OSError) and "signature not found" in str(error):
            raise CompileError(
                "GSM-102", "not a NIR file", where=where, found="not HDF5", expected="HDF5 as nir.write makes it"
            ) from None
        raise CompileError(
            "GSM-104", "file is truncated or damaged", where=where, found=error, remedy="copy or make it again"
        ) from None


def _read_group(group: Any, h5py: Any, where: str, bytes_left: list[int], depth: int = 0) -> Record:
    if depth > 3 * MAX_DEPTH:  # a level of graphs is three levels of groups at most
        raise CompileError("GSM-104", "groups lie within groups without end", where=where, found=group.name)
    if not isinstance(group, h5py.Group):
        raise CompileError("GSM-104", "a group is missing", where=where, found=f"{group.name} is an array")
    record: Record = {}
    for key in group:
        if isinstance(group.get(key, getlink=True), h5py.ExternalLink):
            raise CompileError("GSM-104", "refers to another file", where=where, found=f"{group.name}/{key}")
        item = group[key]
        if isinstance(item, h5py.Group):
            record[key] = _read_group(item, h5py, where, bytes_left, depth + 1)
        else:
            record[key] = _read_array(item, where, bytes_left)
    return record


def _read_array(item: Any, where: str, bytes_left: list[int]) -> Any:
    """A dataset as text, a number or an array, as far as `bytes_left` (of all that is read) goes."""
    bytes_left[0] -= int(item.size or 0) * item.dtype.itemsize
    if bytes_left[0] < 0:
        raise CompileError(
            "GSM-104", "arrays are too large to be read", where=where, found=f"{item.name} {item.shape}",
            expected=f"at most {MAX_BYTES >> 30} GiB in all",
        )  # fmt: skip
    if item.dtype.kind == "O":
        return read_texts(item)
    value = item[()]
    return value.decode("utf8") if isinstance(value, bytes) else value
