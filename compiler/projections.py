"""Projections: the synapses between two populations, held by source, so that a spike finds its own.

`Csr` lists (target, weight) per source row. `SharedCsr`, for convolutions, lists the surviving taps
(c_out, ky, kx, weight) per input channel, and the geometry. Either may pool: a source pixel then uses the row of its
pooled pixel. What is constructed here is safe to run: the kernels follow it without checking bounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from .arrays import Array, everywhere, pair, parameter, read_only, whole
from .errors import CompileError
from .maps import Conv2d, Map, Shape, Sparse, SumPool2d, check_csr, check_rows, index_dtype, row_starts, window

MAX_KERNEL = 255  # rows and columns of a shared kernel: a tap's place is held in bytes
MAX_CHANNELS = 65535  # output channels of a shared kernel, held in 16 bits
PART = 1 << 15  # taps that are looked at together


@dataclass(frozen=True, eq=False, kw_only=True)
class Csr:
    """Explicit synapses. Row r lists the synapses of source neuron r, or of pooled pixel r if `pool` is not (1, 1).

    row_start: (n_rows + 1,) int64. targets: (n,) uint16 if the target has < 65,536 neurons, else uint32; strictly
    ascending within a row. weights: (n,) float32, int8 or int16, none of them 0. delays: (n,) uint16 steps, added to
    `delay`, or None.
    """

    source: str
    target: str
    row_start: NDArray[np.int64]
    targets: Array
    weights: Array
    delays: Array | None = None
    delay: int = 0
    pool: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        _check_synapses(self)
        _set_addresses(self, "targets", (np.uint16, np.uint32))
        if self.delays is not None:
            _set_addresses(self, "delays", (np.uint16,))

    @property
    def min_delay(self) -> int:
        """The shortest delay of any synapse, in steps."""
        return self.delay + (0 if self.delays is None or not self.delays.size else int(self.delays.min()))

    @property
    def max_delay(self) -> int:
        """The longest delay of any synapse, in steps."""
        return self.delay + (0 if self.delays is None or not self.delays.size else int(self.delays.max()))

    @property
    def index_bytes(self) -> int:
        """Bytes that hold targets, delays and row starts."""
        return self.targets.nbytes + self.row_start.nbytes + (0 if self.delays is None else self.delays.nbytes)

    def check_ends(self, source: Shape, target: Shape) -> None:
        """Refuse (GSM-201) rows that do not match the source or targets outside the target population."""
        check_csr(self.row_start, self.targets, self.weights, prod(target), where=self.name)
        expected = index_dtype(prod(target))
        if self.targets.dtype != expected:
            raise CompileError(
                "GSM-201", "not the index type", where=self.name, found=self.targets.dtype, expected=str(expected)
            )
        n_rows = prod(pooled_shape(source, self.pool, self.name))
        if len(self.row_start) - 1 != n_rows:
            raise CompileError(
                "GSM-201",
                "not one row per source neuron",
                where=self.name,
                found=len(self.row_start) - 1,
                expected=f"{n_rows}",
            )

    def row_fan_out(self, source: Shape, target: Shape) -> NDArray[np.int64]:
        """(pooled source shape) synapses per row."""
        return np.diff(self.row_start).reshape(pooled_shape(source, self.pool, self.name))

    def n_synapses(self, source: Shape, target: Shape) -> int:
        """Synapses as neurons see them: a row that pools counts once for each source pixel."""
        return prod(self.pool) * self.weights.size

    @property
    def name(self) -> str:
        """For messages."""
        return f"projection {self.source!r} -> {self.target!r}"


@dataclass(frozen=True, eq=False, kw_only=True)
class SharedCsr:
    """A pruned convolution, each surviving tap stored once.

    Row c lists the taps of input channel c, sorted by (ky, kx, c_out): output pixel (oy, ox) of channel
    out_channel gets `weight` from input pixel (oy * stride - padding + ky * dilation, likewise x).
    row_start: (c_in + 1,) int64. out_channels: (n,) uint16. ky, kx: (n,) uint8. weights: (n,) as in `Csr`.
    """

    source: str
    target: str
    row_start: NDArray[np.int64]
    out_channels: NDArray[np.uint16]
    ky: NDArray[np.uint8]
    kx: NDArray[np.uint8]
    weights: Array
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    delay: int = 0
    pool: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        _check_synapses(self)
        for name, minimum in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            object.__setattr__(self, name, pair(getattr(self, name), where=f"{self.name}, {name}", minimum=minimum))
        _set_addresses(self, "out_channels", (np.uint16,))
        _set_addresses(self, "ky", (np.uint8,))
        _set_addresses(self, "kx", (np.uint8,))

    @property
    def min_delay(self) -> int:
        """The delay of every synapse, in steps."""
        return self.delay

    max_delay = min_delay

    @property
    def index_bytes(self) -> int:
        """Bytes that hold tap addresses and row starts."""
        return self.out_channels.nbytes + self.ky.nbytes + self.kx.nbytes + self.row_start.nbytes

    def check_ends(self, source: Shape, target: Shape) -> None:
        """Refuse (GSM-201) a geometry that does not lead from source to target, and taps outside it."""
        pooled = pooled_shape(source, self.pool, self.name)
        size = window(pooled, self.kernel, self.stride, self.padding, self.dilation, where=self.name)
        if size != target[1:]:
            raise CompileError(
                "GSM-201", "geometry does not fit the target", where=self.name, found=size, expected=f"{target[1:]}"
            )
        check_rows(self.row_start, self.weights.size, where=self.name)
        inside = (
            max(self.kernel) <= MAX_KERNEL
            and len(self.row_start) - 1 == pooled[0]
            and int(self.ky.max(initial=0)) < self.kernel[0]
            and int(self.kx.max(initial=0)) < self.kernel[1]
            and int(self.out_channels.max(initial=0)) < target[0]
        )
        if not inside:
            raise CompileError(
                "GSM-201",
                "taps lie outside the kernel or the channels",
                where=self.name,
                expected=f"{pooled[0]} rows, {target[0]} output channels, kernel {self.kernel}, <= {MAX_KERNEL} wide",
            )
        before = -1
        for here, channels in self._channels():
            place = (channels * self.kernel[0] + self.ky[here]) * self.kernel[1] + self.kx[here]
            order = place * (MAX_CHANNELS + 1) + self.out_channels[here]
            if order[0] <= before or not (order[1:] > order[:-1]).all():
                raise CompileError("GSM-201", "taps are not sorted by (ky, kx, c_out) within a row", where=self.name)
            before = order[-1]

    def row_fan_out(self, source: Shape, target: Shape) -> NDArray[np.int64]:
        """(pooled source shape) synapses per input pixel: taps that stay inside the target at the borders."""
        taps, rows, columns = self._reach(source, target)
        fan_out: NDArray[np.int64] = np.einsum("ckl,yk,xl->cyx", taps, rows, columns, optimize=True)
        return fan_out

    def n_synapses(self, source: Shape, target: Shape) -> int:
        """Synapses as neurons see them: a tap counts once for each pair of pixels that it joins."""
        taps, rows, columns = self._reach(source, target)
        return prod(self.pool) * int(np.einsum("ckl,k,l->", taps, rows.sum(axis=0), columns.sum(axis=0)))

    def _reach(self, source: Shape, target: Shape) -> tuple[Array, Array, Array]:
        """Taps (c_in, kh, kw), and which of their rows (h, kh) and columns (w, kw) stay inside the target."""
        n_channels, height, width = pooled_shape(source, self.pool, self.name)
        taps = np.zeros((n_channels, *self.kernel), np.int64)
        for here, channels in self._channels():
            np.add.at(taps, (channels, self.ky[here], self.kx[here]), 1)
        rows = _reaches(height, target[1], self.kernel[0], self.stride[0], self.padding[0], self.dilation[0])
        columns = _reaches(width, target[2], self.kernel[1], self.stride[1], self.padding[1], self.dilation[1])
        return taps, rows, columns

    def _channels(self) -> Iterator[tuple[slice, Array]]:
        """The input channel of each tap, part by part: for all at once they would be larger than the taps."""
        for a in range(0, self.weights.size, PART):
            here = slice(a, min(a + PART, self.weights.size))
            yield here, np.searchsorted(self.row_start, np.arange(here.start, here.stop), side="right") - 1

    @property
    def name(self) -> str:
        """For messages."""
        return f"projection {self.source!r} -> {self.target!r}"


Projection = Csr | SharedCsr


def pooled_shape(shape: Shape, pool: tuple[int, int], where: str) -> Shape:
    """The shape after tiling sum pooling; far edges that fill no window are dropped."""
    if pool == (1, 1):
        return shape
    if len(shape) != 3 or shape[1] < pool[0] or shape[2] < pool[1]:
        raise CompileError("GSM-201", "cannot pool this shape", where=where, found=shape, expected=f">= {pool} pixels")
    return shape[0], shape[1] // pool[0], shape[2] // pool[1]


def pooled_to_source(per_row: Array, source: Shape, pool: tuple[int, int]) -> Array:
    """Spread a value per pooled pixel over the source pixels of its window; 0 where no window reaches. Flat."""
    if pool == (1, 1):
        return per_row.reshape(-1)
    spread = per_row.repeat(pool[0], axis=1).repeat(pool[1], axis=2)
    full = np.zeros(source, per_row.dtype)
    full[:, : spread.shape[1], : spread.shape[2]] = spread
    return full.reshape(-1)


def projection_to_maps(p: Projection, source: Shape, target: Shape) -> tuple[Map, ...]:
    """The maps of the connection that a projection stands for: [sum pooling,] one dense convolution or sparse map."""
    pools = () if p.pool == (1, 1) else (SumPool2d(kernel=p.pool, stride=p.pool),)
    if isinstance(p, Csr):
        sparse = Sparse(row_start=p.row_start, targets=p.targets, weights=p.weights, delays=p.delays, shape=target)
        return (*pools, sparse)
    weight = np.zeros((target[0], len(p.row_start) - 1, *p.kernel), p.weights.dtype)
    for here, channels in p._channels():
        weight[p.out_channels[here], channels, p.ky[here], p.kx[here]] = p.weights[here]
    return (*pools, Conv2d(weight=weight, stride=p.stride, padding=p.padding, dilation=p.dilation))


def _reaches(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> Array:
    """(n_in, kernel) 1 where input position i reaches an output through tap k."""
    numerator = np.arange(n_in)[:, None] + padding - np.arange(kernel)[None, :] * dilation
    inside: Array = (numerator % stride == 0) & (numerator >= 0) & (numerator // stride < n_out)
    return inside.astype(np.int64)


def _check_synapses(p: Csr | SharedCsr) -> None:
    """What both kinds have in common: rows, weights, delay, pooling."""
    object.__setattr__(p, "weights", parameter(p.weights, where=f"{p.name}, weights"))
    object.__setattr__(p, "row_start", row_starts(p.row_start, where=f"{p.name}, row_start"))
    object.__setattr__(p, "pool", pair(p.pool, where=f"{p.name}, pool", minimum=1))
    object.__setattr__(p, "delay", whole(p.delay, where=f"{p.name}, delay"))
    if p.weights.ndim != 1 or p.weights.dtype not in (np.float32, np.int8, np.int16):
        raise CompileError(
            "GSM-201",
            "not a list of weights",
            where=p.name,
            found=f"{p.weights.dtype} {p.weights.shape}",
            expected="(n,) float32, int8 or int16",
        )
    if not everywhere(np.bool_, p.weights):
        raise CompileError(
            "GSM-201", "weights of 0 are no synapses", where=p.name, found=f"{int((p.weights == 0).sum())} of them"
        )


def _set_addresses(p: Csr | SharedCsr, name: str, dtypes: tuple[type, ...]) -> None:
    """Refuse (GSM-201) addresses or delays of another type, or not one per weight."""
    array = np.asarray(getattr(p, name))
    if array.dtype not in dtypes or array.shape != p.weights.shape:
        raise CompileError(
            "GSM-201",
            "does not match the synapses",
            where=f"{p.name}, {name}",
            found=f"{array.dtype} {array.shape}",
            expected=f"{' or '.join(t.__name__ for t in dtypes)} {p.weights.shape}",
        )
    object.__setattr__(p, name, read_only(array))
