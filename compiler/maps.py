"""Affine maps: what a connection does to the spikes that pass through it.

A connection is a chain of these maps, in the order in which they act. Passes shorten the chain; lowering accepts
one weight map, at most one non-overlapping sum pooling before it, and no bias.
Shapes are (channels, height, width), or (n,) for flat populations; flattening is channel-major and implicit.
"""

from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import PART, Array, pair, parameter, read_only, whole
from .errors import CompileError

Shape = tuple[int, ...]

MAX_DELAY = 65535  # of one synapse, held in 16 bits; a connection's own delay may be longer


def _optional(value: Array | None, shape: Shape, *, where: str) -> Array | None:
    if value is None:
        return None
    array = parameter(value, where=where)
    if array.shape != shape:
        raise CompileError("GSM-201", "shape does not fit", where=where, found=array.shape, expected=str(shape))
    return array


def _mask(value: Array | None, shape: Shape, *, where: str) -> Array | None:
    if value is None:
        return None
    mask = np.asarray(value)
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise CompileError(
            "GSM-201",
            "not a mask for these weights",
            where=where,
            found=f"{mask.dtype} {mask.shape}",
            expected=f"bool {shape}",
        )
    return read_only(mask)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense:
    """y = weight @ x.ravel() + bias.

    weight: (n_out, n_in) float32 or integer. bias: (n_out,) or None. mask: (n_out, n_in) bool or None.
    delays: (n_out, n_in) whole steps per synapse, added to the connection's delay, or None.
    """

    weight: Array
    bias: Array | None = None
    mask: Array | None = None
    delays: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        weight = parameter(self.weight, where="Dense.weight")
        if weight.ndim != 2:
            raise CompileError(
                "GSM-201", "not a matrix", where="Dense.weight", found=weight.shape, expected="(n_out, n_in)"
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", _optional(self.bias, weight.shape[:1], where="Dense.bias"))
        object.__setattr__(self, "mask", _mask(self.mask, weight.shape, where="Dense.mask"))
        object.__setattr__(self, "delays", _delays(self.delays, weight.shape, where="Dense.delays"))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(n_out,); refuses an input of the wrong size."""
        if prod(input_shape) != self.weight.shape[1]:
            raise CompileError(
                "GSM-201",
                "dense map does not fit its input",
                found=f"input {input_shape} = {prod(input_shape)} values",
                expected=f"{self.weight.shape[1]} values",
                remedy="check the order of the layers",
            )
        return (self.weight.shape[0],)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d:
    """Cross-correlation of (c_in, h, w) with weight (c_out, c_in / groups, kh, kw), as torch.nn.Conv2d; zero padding.

    bias: (c_out,) or None. mask: like weight, bool, or None.
    """

    weight: Array
    bias: Array | None = None
    mask: Array | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        weight = parameter(self.weight, where="Conv2d.weight")
        if weight.ndim != 4 or min(weight.shape[2:]) < 1:
            raise CompileError(
                "GSM-201",
                "not a stack of kernels",
                where="Conv2d.weight",
                found=weight.shape,
                expected="(c_out, c_in / groups, kh, kw)",
            )
        object.__setattr__(self, "groups", whole(self.groups, where="Conv2d.groups", minimum=1, code="GSM-201"))
        if weight.shape[0] % self.groups:
            raise CompileError(
                "GSM-201",
                "groups do not divide the output channels",
                where="Conv2d.groups",
                found=self.groups,
                expected=f"a divisor of {weight.shape[0]}",
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", _optional(self.bias, weight.shape[:1], where="Conv2d.bias"))
        object.__setattr__(self, "mask", _mask(self.mask, weight.shape, where="Conv2d.mask"))
        object.__setattr__(self, "stride", pair(self.stride, where="Conv2d.stride", minimum=1))
        object.__setattr__(self, "padding", pair(self.padding, where="Conv2d.padding", minimum=0))
        object.__setattr__(self, "dilation", pair(self.dilation, where="Conv2d.dilation", minimum=1))

    def output_shape(self, input_shape: Shape) -> Shape:
        """(c_out, h_out, w_out)."""
        n_in = self.weight.shape[1] * self.groups
        if len(input_shape) != 3 or input_shape[0] != n_in:
            raise CompileError(
                "GSM-201",
                "convolution does not fit its input",
                found=input_shape,
                expected=f"({n_in}, height, width)",
                remedy="check the order of the layers and the number of channels",
            )
        return self.weight.shape[0], *window(
            input_shape, self.weight.shape[2:], self.stride, self.padding, self.dilation
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Sparse:
    """y = matrix @ x.ravel(), the matrix held by columns: for each input the list of its targets (CSR by source).

    row_start: (n_in + 1,) int64. targets: (n_synapses,) ids of outputs, strictly ascending within a row; held as
    uint16 if there are < 65,536 outputs, else as uint32. weights: (n_synapses,). delays: (n_synapses,) whole steps or
    None. shape: the output's shape. Arrays that nobody can write to (flags.writeable) and of the types that are held
    are not copied.
    """

    row_start: NDArray[np.int64]
    targets: Array
    weights: Array
    shape: Shape
    delays: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        weights = parameter(self.weights, where="Sparse.weights")
        shape = tuple(whole(n, where="Sparse.shape", minimum=1, code="GSM-201") for n in self.shape)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "row_start", row_starts(self.row_start, where="Sparse.row_start"))
        targets = np.asarray(self.targets)
        check_csr(self.row_start, targets, weights, prod(self.shape), where="Sparse")
        object.__setattr__(self, "targets", read_only(targets, index_dtype(prod(self.shape))))
        object.__setattr__(self, "delays", _delays(self.delays, weights.shape, where="Sparse.delays"))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape it was given."""
        if prod(input_shape) != len(self.row_start) - 1:
            raise CompileError(
                "GSM-201",
                "sparse map does not fit its input",
                found=f"{prod(input_shape)} values",
                expected=f"{len(self.row_start) - 1} values",
            )
        return self.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchNorm:
    """y = (x - mean) / sqrt(variance + eps) * gamma + beta, per channel; statistics shared over time."""

    mean: Array
    variance: Array
    gamma: Array
    beta: Array
    eps: float = 1e-5

    def __post_init__(self) -> None:
        mean = parameter(self.mean, where="BatchNorm.mean")
        object.__setattr__(self, "mean", mean)
        for name in ("variance", "gamma", "beta"):
            object.__setattr__(self, name, _optional(getattr(self, name), mean.shape, where=f"BatchNorm.{name}"))
        eps = float(self.eps)
        object.__setattr__(self, "eps", eps)
        usable = mean.ndim == 1 and 0 <= eps < inf and (self.variance >= 0).all() and (self.variance + eps > 0).all()
        if not usable:
            raise CompileError(
                "GSM-203",
                "not batch-norm statistics",
                where="BatchNorm",
                found=f"mean {mean.shape}, eps {eps}",
                expected="(channels,) arrays, variance >= 0, eps >= 0, not both 0",
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return _per_channel(input_shape, self.mean.shape, "BatchNorm")


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale:
    """y = scale * x + shift. scale and shift: one number, one per channel, or the input's shape; 1 is the identity."""

    scale: Array
    shift: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", parameter(self.scale, where="Scale.scale"))
        if self.shift is not None:
            object.__setattr__(self, "shift", parameter(self.shift, where="Scale.shift"))

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        for array in (self.scale, self.shift):
            if array is not None:
                broadcast(array, input_shape, where="Scale")
        return input_shape


@dataclass(frozen=True, kw_only=True)
class AveragePool2d:
    """Mean over windows; zeros of the padding count, as torch.nn.AvgPool2d(count_include_pad=True)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        _check_pool(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(channels, h_out, w_out)."""
        return input_shape[0], *window(input_shape, self.kernel, self.stride, self.padding, (1, 1))


@dataclass(frozen=True, kw_only=True)
class SumPool2d:
    """Sum over windows."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        _check_pool(self)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(channels, h_out, w_out)."""
        return input_shape[0], *window(input_shape, self.kernel, self.stride, self.padding, (1, 1))

    @property
    def tiles(self) -> bool:
        """True if windows neither overlap nor skip: each input then has one pooled pixel, or none at the far edge."""
        return self.kernel == self.stride and self.padding == (0, 0)


WeightMap = Dense | Conv2d | Sparse | Scale
Map = WeightMap | BatchNorm | AveragePool2d | SumPool2d


def broadcast(array: Array, shape: Shape, *, where: str) -> Array:
    """`array` seen with `shape`: one number, one per channel (first axis), or the full shape.

    Raises:
        CompileError: GSM-201 if it has another shape.
    """
    return np.broadcast_to(broadcastable(array, shape, where=where), shape)


def broadcastable(array: Array, shape: Shape, *, where: str) -> Array:
    """`array` as (), (channels, 1, 1) or `shape`, whichever it is. Raises as `broadcast`."""
    per_channel = (shape[0], *(1,) * (len(shape) - 1))
    if array.shape == shape[:1]:
        return array.reshape(per_channel)
    if array.shape not in ((), per_channel, shape):
        raise CompileError(
            "GSM-201", "shape does not fit", where=where, found=array.shape, expected=f"(), {per_channel} or {shape}"
        )
    return array


def index_dtype(n_post: int) -> np.dtype[Any]:
    """The narrowest index type that addresses a population."""
    return np.dtype(np.uint16 if n_post < 65536 else np.uint32)


def row_starts(value: Array, *, where: str) -> NDArray[np.int64]:
    """Row starts as read-only int64.

    Raises:
        CompileError: GSM-201 if they are no list of whole numbers.
    """
    starts = np.asarray(value)
    if starts.dtype.kind not in "iu" or starts.ndim != 1 or starts.size < 1:
        raise CompileError(
            "GSM-201",
            "not row starts",
            where=where,
            found=f"{starts.dtype} {starts.shape}",
            expected="(n_rows + 1,) int64",
        )
    return read_only(starts, np.int64)


def check_csr(row_start: Array, targets: Array, weights: Array, n_post: int, *, where: str) -> None:
    """Refuse (GSM-201) what is no CSR structure: kernels follow it without looking.

    Row starts ascend from 0 to the number of synapses. Targets are ids within the population and ascend strictly
    within a row, so that no synapse is there twice.
    """
    n = len(weights) if weights.ndim == 1 else -1
    if targets.dtype.kind not in "iu" or targets.shape != (n,):
        raise CompileError(
            "GSM-201",
            "targets do not match the weights",
            where=where,
            found=f"targets {targets.dtype} {targets.shape}, weights {weights.shape}",
        )
    check_rows(row_start, n, where=where)
    if n and (int(targets.max()) >= n_post or int(targets.min()) < 0):
        raise CompileError(
            "GSM-201",
            "a target id is outside the population",
            where=where,
            found=f"{targets.min()}..{targets.max()}",
            expected=f"0..{n_post - 1}",
        )
    for begin in range(1, n, PART):
        end = min(begin + PART, n)
        begins_row = np.zeros(end - begin, np.bool_)
        first, last = np.searchsorted(row_start, (begin, end))
        begins_row[row_start[first:last] - begin] = True
        if not (begins_row | (targets[begin:end] > targets[begin - 1 : end - 1])).all():
            raise CompileError("GSM-201", "targets do not ascend strictly within a row", where=where)


def check_rows(row_start: Array, n: int, *, where: str) -> None:
    """Refuse (GSM-201) row starts that do not ascend from 0 to n."""
    # Compared, not subtracted: differences of hostile numbers overflow.
    if row_start[0] != 0 or row_start[-1] != n or not (row_start[1:] >= row_start[:-1]).all():
        raise CompileError(
            "GSM-201",
            "row starts do not partition the synapses",
            where=where,
            found=f"from {row_start[0]} to {row_start[-1]}",
            expected=f"ascending from 0 to {n}",
        )


def _delays(value: Array | None, shape: Shape, *, where: str) -> Array | None:
    if value is None:
        return None
    delays = np.asarray(value)
    usable = delays.dtype.kind in "iu" and delays.shape == shape
    usable = usable and (not delays.size or (delays.min() >= 0 and delays.max() <= MAX_DELAY))
    if not usable:
        raise CompileError(
            "GSM-203",
            "not delays for these synapses",
            where=where,
            found=f"{delays.dtype} {delays.shape}",
            expected=f"0..{MAX_DELAY} whole steps, {shape}",
        )
    return read_only(delays, np.int32)


def window(
    shape: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, *, where: str = ""
) -> tuple[int, int]:
    """(h_out, w_out) of a sliding window.

    Raises:
        CompileError: GSM-201 if there is no picture, or the window is larger than it.
    """
    if len(shape) != 3:
        raise CompileError("GSM-201", "needs a picture", where=where, found=shape, expected="(channels, height, width)")
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape[1:], kernel, stride, padding, dilation, strict=True)
    ]
    if min(size) < 1:
        raise CompileError(
            "GSM-201",
            "window is larger than the padded input",
            where=where,
            found=f"input {shape}, kernel {kernel}, dilation {dilation}",
        )
    return size[0], size[1]


def _check_pool(pool: AveragePool2d | SumPool2d) -> None:
    for name, minimum in (("kernel", 1), ("stride", 1), ("padding", 0)):
        where = f"{type(pool).__name__}.{name}"
        object.__setattr__(pool, name, pair(getattr(pool, name), where=where, minimum=minimum))
    if any(2 * p > k for p, k in zip(pool.padding, pool.kernel, strict=True)):
        raise CompileError(
            "GSM-201", "padding is more than half the kernel", found=pool.padding, expected="<= kernel / 2"
        )


def _per_channel(input_shape: Shape, parameters: Shape, name: str) -> Shape:
    if input_shape[:1] != parameters:
        raise CompileError(
            "GSM-201", f"{name} does not fit its input", found=input_shape, expected=f"{parameters} channels"
        )
    return input_shape
