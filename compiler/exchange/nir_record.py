"""A NIR graph as plain dictionaries, from a .nir file or from objects of the `nir` package.

A node is {"type": kind, field: value, ...}, a graph {"type": "NIRGraph", "nodes": {name: node}, "edges": [...]}:
the layout of the file, so that a damaged or foreign one can be told by node and field.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CompileError
from .packages import optional_package

Record = dict[str, Any]

NEWEST_MAJOR = 1  # NIR 1.x; files of 0.x have the same layout
MAX_DEPTH = 32  # graphs within graphs
MAX_BYTES = 1 << 34  # of all arrays together, unpacked: a few kilobytes of HDF5 can claim any size

_SHAPES = {"Input": ("shape", "input_type", "input"), "Output": ("shape", "output_type", "output"),
           "Flatten": ("input_type", "input_type", "input")}  # fmt: skip


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
                    expected="node, version", remedy="a .net file of lava-dl is another format" if "layer" in file else "",
                )  # fmt: skip
            version = _text(file["version"][()])
            if not version.split(".")[0].isdigit() or int(version.split(".")[0]) > NEWEST_MAJOR:
                raise CompileError(
                    "GSM-103", "written by a newer NIR", where=f"{path}, field version", found=version,
                    expected=f"<= {NEWEST_MAJOR}.x",
                )  # fmt: skip
            return _read_group(file["node"], h5py, where, [MAX_BYTES]), version
    except FileNotFoundError:
        raise CompileError("GSM-101", "no such file", where=where) from None
    except PermissionError as error:
        raise CompileError("GSM-101", "cannot read the file", where=where, found=error) from None
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
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
            continue
        bytes_left[0] -= item.size * item.dtype.itemsize if item.size else 0
        if bytes_left[0] < 0:
            raise CompileError(
                "GSM-104", "arrays are too large to be read", where=where, found=f"{item.name} {item.shape}",
                expected=f"at most {MAX_BYTES >> 30} GiB in all",
            )  # fmt: skip
        value = item[()]
        record[key] = value.decode("utf8") if isinstance(value, bytes) else value
    return record


def record_of(node: Any) -> Record:
    """The same of a node or graph object of the `nir` package.

    Raises:
        CompileError: GSM-306 if graphs lie within graphs without end.
    """
    return _record_of(node, 0)


def _record_of(node: Any, depth: int) -> Record:
    kind = type(node).__name__
    if depth > MAX_DEPTH:
        raise CompileError("GSM-306", "graphs lie within graphs without end", where="NIRGraph")
    if kind == "NIRGraph":
        nodes = {name: _record_of(inner, depth + 1) for name, inner in node.nodes.items()}
        return {"type": kind, "nodes": nodes, "edges": list(node.edges), "metadata": _metadata(node)}
    values = {k: v for k, v in vars(node).items() if k not in ("input_type", "output_type", "metadata")}
    if kind in _SHAPES:
        field, attribute, key = _SHAPES[kind]
        values[field] = (getattr(node, attribute) or {}).get(key)
    return {"type": kind, **{k: v for k, v in values.items() if v is not None}, "metadata": _metadata(node)}


def _metadata(node: Any) -> Record:
    metadata = getattr(node, "metadata", None)
    return dict(metadata) if isinstance(metadata, Mapping) else {}


def edge_list(edges: Any, *, where: str) -> list[tuple[str, str]]:
    """Pairs of names from what a file or an object holds.

    Raises:
        CompileError: GSM-306 if they are no pairs of names.
    """
    array = np.asarray(edges, dtype=object)
    if array.size == 0:
        return []
    if array.ndim != 2 or array.shape[1] != 2 or not all(isinstance(name, (str, bytes)) for name in array.flat):
        raise CompileError("GSM-306", "edges are no pairs of names", where=where, found=f"shape {array.shape}")
    return [(_text(a), _text(b)) for a, b in array]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf8")
    if not isinstance(value, str):
        raise ValueError(f"text expected, found {type(value).__name__}")
    return value
