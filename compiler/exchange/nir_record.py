"""A NIR graph as plain dictionaries.

A node is {"type": kind, field: value, ...}, a graph {"type": "NIRGraph", "nodes": {name: node}, "edges": [...]}:
the layout of a .nir file, so that what is wrong in one can be told by node and field.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import CompileError

Record = dict[str, Any]

MAX_DEPTH = 32  # graphs within graphs
_SHAPES = {
    "Input": ("shape", "input_type", "input"), "Output": ("shape", "output_type", "output"),
    "Flatten": ("input_type", "input_type", "input"),
}  # fmt: skip


def record_of(node: Any) -> Record:
    """The record of a node or graph object of the `nir` package.

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
    return [(text_of(a), text_of(b)) for a, b in array]


def text_of(value: Any) -> str:
    """Text from text or bytes. Raises ValueError for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf8")
    if not isinstance(value, str):
        raise ValueError(f"text expected, found {type(value).__name__}")
    return value
