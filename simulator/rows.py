"""Synapses by target: what the bit-parallel kernels pull from. Built without a loop over neurons or taps.

A convolution's rows are shared by all pixels that see the same taps: one class for the inside, others for the borders.
"""

from dataclasses import dataclass

import numpy as np

from ..compiler import Array, Projection, Shape, SharedCsr, SynapticGraph, index_dtype, list_synapses, pooled_shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The synapses of one projection, by target neuron (channel o, pixel).

    class_of, base: (n_pixels,) int32 class of a target pixel, and int64 place that its sources are relative to.
    row_start: (n_classes * n_channels + 1,) int64; row class * n_channels + o. places: (n,) int32 flat source neurons
    relative to the base, in the source's order within a row. weights: (n,) as in the projection.
    """

    class_of: Array
    base: Array
    row_start: Array
    places: Array
    weights: Array


def rows_by_target(graph: SynapticGraph, p: Projection) -> Rows:
    """Turn a projection around.

    Pixels are those of the target if it is a picture, else there is one.
    """
    source, target = graph[p.source].shape, graph[p.target].shape
    return _shared(p, source, target) if isinstance(p, SharedCsr) else _explicit(p, source, target)


def _explicit(p: Projection, source: Shape, target: Shape) -> Rows:
    sources, targets, weights, _ = list_synapses(p, source, target)
    n_channels, n_pixels = target[0], int(np.prod(target[1:]))
    row = targets % n_pixels * n_channels + targets // n_pixels
    order = np.argsort(row.astype(index_dtype(n_pixels * n_channels)), kind="stable")
    return Rows(
        class_of=np.arange(n_pixels, dtype=np.int32),
        base=np.zeros(n_pixels, np.int64),
        row_start=_starts(np.bincount(row, minlength=n_pixels * n_channels)),
        places=sources[order].astype(np.int32),
        weights=weights[order],
    )


def _shared(p: SharedCsr, source: Shape, target: Shape) -> Rows:
    pooled = pooled_shape(source, p.pool, p.name)
    row_class, row_sees, rows = _along(p, 0, target[1], pooled[1])
    column_class, column_sees, columns = _along(p, 1, target[2], pooled[2])
    order = np.argsort(p.out_channels, kind="stable")  # 16 bits: sorted by counting
    out, ky, kx, weights = p.out_channels[order], p.ky[order], p.kx[order], p.weights[order]
    channel = np.repeat(np.arange(len(p.row_start) - 1), np.diff(p.row_start))[order]
    step_y, step_x = p.dilation[0] * p.pool[0], p.dilation[1] * p.pool[1]
    place = ((channel * source[1] + ky.astype(np.int64) * step_y) * source[2] + kx.astype(np.int64) * step_x).astype(
        np.int32
    )
    inside = np.add.outer(np.arange(p.pool[0]) * source[2], np.arange(p.pool[1])).reshape(-1).astype(np.int32)
    counts, places, kept = [], [], []
    for y in row_sees:
        for x in column_sees:  # a class: the taps that its pixels see
            seen = np.flatnonzero(y[ky] & x[kx])
            counts.append(np.bincount(out[seen], minlength=target[0]) * inside.size)
            places.append((place[seen][:, None] + inside).reshape(-1))
            kept.append(weights[seen].repeat(inside.size))
    return Rows(
        class_of=np.add.outer(row_class * len(column_sees), column_class).reshape(-1).astype(np.int32),
        base=np.add.outer(rows * source[2], columns).reshape(-1),
        row_start=_starts(np.concatenate(counts)),
        places=np.concatenate(places),
        weights=np.concatenate(kept),
    )


def _along(p: SharedCsr, axis: int, n_out: int, n_in: int) -> tuple[Array, Array, Array]:
    """Per output position its class and where in the source its taps begin; per class, which taps are inside."""
    first = np.arange(n_out) * p.stride[axis] - p.padding[axis]
    at = first[:, None] + np.arange(p.kernel[axis])[None, :] * p.dilation[axis]
    sees, class_of = np.unique((at >= 0) & (at < n_in), axis=0, return_inverse=True)
    return class_of.reshape(-1), sees, first * p.pool[axis]


def _starts(counts: Array) -> Array:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
