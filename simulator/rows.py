"""Synapses by target: what the bit-parallel kernels pull from. Built without a loop over neurons or taps.

A convolution's rows, one for each output channel, are shared by all its pixels: its source is laid out in planes with
borders of zeros, in which the sources of one tap lie at one distance from every pixel.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from ..compiler import Array, Projection, SharedCsr, SynapticGraph, index_dtype, list_synapses, pooled_shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Planes:
    """How a source is laid out: every `stride`-th pixel in a plane of its own, one plane for each of the `phases`.

    shape: of the source, (channels, height, width). used: height and width of what is laid out of it. stride: of the
    output, in source pixels. phases: (n_phases, 2) the first pixel of each plane. before: rows of zeros above, and
    columns to the left. plane: height and width of a plane.
    """

    shape: tuple[int, int, int]
    used: tuple[int, int]
    stride: tuple[int, int]
    phases: Array
    before: tuple[int, int]
    plane: tuple[int, int]

    @property
    def size(self) -> int:
        """Places in all planes."""
        return self.shape[0] * len(self.phases) * prod(self.plane)

    def arguments(self, unit: int) -> tuple[object, ...]:
        """Of the kernel `lay_out`, for `unit` numbers in each place."""
        return (self.shape, self.used, unit, self.phases, self.stride, self.before, self.plane)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal where two projections may read the same planes."""
        return (self.shape, self.used, self.stride, self.phases.tobytes(), self.before, self.plane)


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The synapses of one projection, by target: an output channel, or a neuron where there are no planes.

    row_start: (n_targets + 1,) int64. places: (n,) int32 source neurons, or places in its planes as the output's first
    pixel sees them; within a row in the order of the source's neurons. weights: (n,) as in the projection.
    """

    planes: Planes | None
    row_start: Array
    places: Array
    weights: Array


def rows_by_target(graph: SynapticGraph, p: Projection, *, by_neuron: bool) -> Rows:
    """Turn a projection around.

    Args:
        by_neuron: every target neuron has a row of its own. False, for a shared projection: every output channel.
    """
    if by_neuron or not isinstance(p, SharedCsr):
        return _explicit(graph, p)
    return _shared(graph, p)


def _explicit(graph: SynapticGraph, p: Projection) -> Rows:
    source, target = graph[p.source], graph[p.target]
    sources, targets, weights, _ = list_synapses(p, source.shape, target.shape)
    order = np.lexsort((sources, targets)) if p.pool != (1, 1) else _sorted(targets, target.n_neurons)
    return Rows(
        planes=None,
        row_start=_starts(targets, target.n_neurons),
        places=sources[order].astype(np.int32),
        weights=weights[order],
    )


def _shared(graph: SynapticGraph, p: SharedCsr) -> Rows:
    source, target = graph[p.source].shape, graph[p.target].shape
    pooled = pooled_shape(source, p.pool, p.name)
    channel = np.repeat(np.arange(len(p.row_start) - 1), np.diff(p.row_start))
    stride = (p.stride[0] * p.pool[0], p.stride[1] * p.pool[1])
    # Where taps lie, relative to the first source pixel of each stride; those of a pooled pixel are one tap each.
    y, x = _taps(p, 0, p.ky), _taps(p, 1, p.kx)  # (n, pool height), (n, pool width)
    y, x = (a.reshape(-1) for a in np.broadcast_arrays(y[:, :, None], x[:, None, :]))
    n_each = p.pool[0] * p.pool[1]
    out, channel, weights = p.out_channels.repeat(n_each), channel.repeat(n_each), p.weights.repeat(n_each)
    row, column, phase, phases = y // stride[0], x // stride[1], *_phases(y % stride[0], x % stride[1], stride[1])
    before = (max(0, -int(row.min(initial=0))), max(0, -int(column.min(initial=0))))
    plane = (
        target[1] + int(row.max(initial=0)) + before[0],
        target[2] + int(column.max(initial=0)) + before[1],
    )
    planes = Planes(
        shape=(source[0], source[1], source[2]),
        used=(pooled[1] * p.pool[0], pooled[2] * p.pool[1]),
        stride=stride,
        phases=phases,
        before=before,
        plane=plane,
    )
    places = ((channel * len(phases) + phase) * plane[0] + row + before[0]) * plane[1] + column + before[1]
    low_y, low_x = int(y.min(initial=0)), int(x.min(initial=0))
    extent = (int(y.max(initial=0)) - low_y + 1, int(x.max(initial=0)) - low_x + 1)
    order = _sorted(out, target[0])
    if n_each > 1:  # taps stand in the order of the source's neurons, but not those that a pooled pixel became
        rank = (channel * extent[0] + y - low_y) * extent[1] + x - low_x
        order = np.lexsort((rank, out))
    return Rows(
        planes=planes,
        row_start=_starts(out, target[0]),
        places=places[order].astype(np.int32),
        weights=weights[order],
    )


def _taps(p: SharedCsr, axis: int, k: Array) -> Array:
    """(n, pool) source pixels that a tap sees, relative to the first of its output pixel's stride."""
    first = (k.astype(np.int64) * p.dilation[axis] - p.padding[axis]) * p.pool[axis]
    return np.add.outer(first, np.arange(p.pool[axis]))


def _phases(y: Array, x: Array, width: int) -> tuple[Array, Array]:
    """Which plane each tap lies in, and (n_phases, 2) the first pixel of each."""
    found, phase = np.unique(y * width + x, return_inverse=True)
    return phase.reshape(-1), np.stack(np.divmod(found, width), axis=1).astype(np.int64)


def _sorted(rows: Array, n_rows: int) -> Array:
    """Positions sorted by row, in their order within each; 16 bits are sorted by counting."""
    return np.argsort(rows.astype(index_dtype(n_rows)), kind="stable")


def _starts(rows: Array, n_rows: int) -> Array:
    counts = np.bincount(rows, minlength=n_rows)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
