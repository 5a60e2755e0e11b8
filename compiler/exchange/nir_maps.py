"""Stateless NIR nodes as maps of a connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import CompileError
from ..maps import AveragePool2d, Conv2d, Dense, Map, Scale, Shape, SumPool2d
from .nir_graph import NirNode

MAX_EXTENT = 4096  # pixels that a kernel with dilation may cover before it is written out


def maps_of(node: NirNode, shape: Shape) -> tuple[Map, ...]:
    """The maps that stand for a stateless node other than Delay, for an input of this shape.

    Args:
        shape: (n,) or (channels, height, width); a one-dimensional picture is one of height 1.
    Raises:
        CompileError: GSM-307 for shapes that do not fit, GSM-202 for NaN; both name the node.
    """
    with at_node(node):
        match node.kind:
            case "Identity" | "Flatten":
                return ()
            case "Linear" | "Affine":
                bias = numbers(node, "bias", np.float32).reshape(-1) if node.kind == "Affine" else None
                m: Map = Dense(weight=numbers(node, "weight", np.float32), bias=bias)
            case "Conv1d" | "Conv2d":
                m = _convolution(node)
            case "SumPool2d" | "AvgPool2d":
                kind = SumPool2d if node.kind == "SumPool2d" else AveragePool2d
                padding = (0, 0) if node.fields["padding"] is None else whole_pair(node, "padding")
                m = kind(kernel=whole_pair(node, "kernel_size"), stride=whole_pair(node, "stride"), padding=padding)
            case "Scale":
                m = Scale(scale=_fit(numbers(node, "scale", np.float32), shape))
            case _:
                raise CompileError("GSM-304", "this kind of node is no map", found=node.kind)
        m.output_shape(shape)
    return (m,)


def shape_after(node: NirNode, maps: tuple[Map, ...], shape: Shape) -> Shape:
    """The shape after a node that became `maps`. Flatten changes it without any map: flattening is implicit."""
    if node.kind == "Flatten":
        return _flattened(node, shape)
    for m in maps:
        shape = m.output_shape(shape)
    return shape


@contextmanager
def at_node(node: NirNode) -> Iterator[None]:
    """Name the node in what is raised within, and call what does not fit GSM-307."""
    try:
        yield
    except CompileError as error:
        code = {"GSM-201": "GSM-307"}.get(error.code, error.code)
        where = f"{node.where}, {error.where}" if error.where and node.where not in error.where else node.where
        raise CompileError(
            code, error.what, where=where, found=error.found, expected=error.expected, remedy=error.remedy
        ) from None


def numbers(node: NirNode, name: str, dtype: type[np.floating[Any]] = np.float64) -> Array:
    """A field as an array of real numbers. Raises GSM-307 if it is none."""
    try:
        array = np.asarray(node.fields[name])
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise CompileError("GSM-307", "not an array of numbers", where=f"{node.where}, {name}", found=array.dtype)
    if dtype is np.float32 and array.dtype.kind == "f" and not (np.abs(array) <= np.finfo(np.float32).max).all():
        n_bad = int((~(np.abs(array) <= np.finfo(np.float32).max)).sum())
        raise CompileError(
            "GSM-202", "values are not finite", where=f"{node.where}, {name}", found=f"{n_bad} of {array.size}",
            expected="finite float32 numbers", remedy="look for a diverged training run or a damaged export",
        )  # fmt: skip
    return array.astype(dtype)


def whole_pair(node: NirNode, name: str) -> tuple[int, int]:
    """(rows, columns) from one whole number or two. Raises GSM-307 for anything else."""
    array = numbers(node, name)
    if array.size not in (1, 2) or not (array == np.rint(array)).all() or (np.abs(array) > 1 << 30).any():
        raise CompileError(
            "GSM-307", "not one or two whole numbers", where=f"{node.where}, {name}", found=node.fields[name]
        )
    rows, columns = np.broadcast_to(array.ravel(), (2,)).astype(int).tolist()
    return rows, columns


def _convolution(node: NirNode) -> Conv2d:
    weight = numbers(node, "weight", np.float32)
    flat = node.kind == "Conv1d"
    if weight.ndim != (3 if flat else 4):
        raise CompileError(
            "GSM-307", "not the kernels of this node", where=f"{node.where}, weight", found=weight.shape,
            expected="(c_out, c_in / groups, length)" if flat else "(c_out, c_in / groups, height, width)",
        )  # fmt: skip
    weight = weight[:, :, None, :] if flat else weight

    def along(name: str, across: int) -> tuple[int, int]:
        rows, columns = whole_pair(node, name)
        return (across, columns) if flat else (rows, columns)

    stride, dilation = along("stride", 1), along("dilation", 1)
    word = node.fields["padding"]
    if not isinstance(word, str):
        padding = along("padding", 0)
    elif word == "same":
        weight, padding, dilation = _same(node, weight, stride, dilation)
    elif word == "valid":
        padding = (0, 0)
    else:
        raise CompileError("GSM-307", "no such padding", where=node.where, found=word, expected="same, valid, numbers")
    groups, _ = whole_pair(node, "groups")
    bias = numbers(node, "bias", np.float32).reshape(-1)
    return Conv2d(weight=weight, bias=bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _same(
    node: NirNode, weight: Array, stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[Array, tuple[int, int], tuple[int, int]]:
    """Weight, padding and dilation of a convolution that keeps the size, as torch pads it: more at the far end.

    An even extent needs one pixel more of padding there. Padding here is symmetric, so the kernel gets a zero in
    front instead; with a dilation it is first written out.
    """
    if stride != (1, 1):
        raise CompileError("GSM-307", "padding 'same' needs stride 1", where=node.where, found=stride)
    total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if not any(n % 2 for n in total):
        return weight, (total[0] // 2, total[1] // 2), dilation
    if max(total) > MAX_EXTENT:
        raise CompileError(
            "GSM-307", "kernel reaches too far", where=node.where, found=max(total), expected=f"<= {MAX_EXTENT}"
        )
    odd = [n % 2 for n in total]
    written_out = np.zeros((*weight.shape[:2], total[0] + 1 + odd[0], total[1] + 1 + odd[1]), weight.dtype)
    written_out[:, :, odd[0] :: dilation[0], odd[1] :: dilation[1]] = weight
    return written_out, ((total[0] + odd[0]) // 2, (total[1] + odd[1]) // 2), (1, 1)


def _fit(array: Array, shape: Shape) -> Array:
    """Per-neuron values in the form that fits a shape of the IR: (channels, length) becomes (channels, 1, length)."""
    if array.size == 1:
        return array.reshape(())
    return array.reshape(shape) if array.size == prod(shape) else array


def _flattened(node: NirNode, shape: Shape) -> Shape:
    """(n,) if all dimensions are flattened, else the shape as it was.

    Flattening is channel-major and implicit, so the order and number of values are right either way.
    Dimensions count without the batch; exporters that left it in wrote an input_type that begins with 1.
    """
    start, end = (whole_pair(node, name)[0] for name in ("start_dim", "end_dim"))
    given = list(shape) if node.fields.get("input_type") is None else numbers(node, "input_type").ravel().tolist()
    first = 1 if len(given) > 1 and prod(given[1:]) == prod(shape) else 0
    return (prod(shape),) if start <= first and end in (-1, len(given) - 1) else shape
