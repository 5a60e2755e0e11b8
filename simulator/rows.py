"""Synapses by target: what the bit-parallel kernels pull from. Built without a loop over neurons or taps.

A convolution's rows are shared by all pixels that see the same taps: one class for the inside, others for the borders.
"""

from dataclasses import dataclass

import numpy as np

from ..compiler import Array, Projection, Shape, SharedCsr, SynapticGraph, list_synapses, pooled_shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The synapses of one projection, by target neuron (channel o, pixel).

    class_of, base: (n_pixels,) int32 class of a target pixel, and int64 place that its sources are relative to.
    row_start: (n_classes * n_channels + 1,) int64; row class * n_channels + o. places: (n,) int32 flat source neurons
    relative to the base, ascending within a row. weights: (n,) as in the projection.
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
    return Rows(
        class_of=np.arange(n_pixels, dtype=np.int32),
        base=np.zeros(n_pixels, np.int64),
        **_sorted(row, sources, weights, n_pixels * n_channels),
    )


def _shared(p: SharedCsr, source: Shape, target: Shape) -> Rows:
    pooled = pooled_shape(source, p.pool, p.name)
    reach = [
        _reach(target[1 + i], pooled[1 + i], p.kernel[i], p.stride[i], p.padding[i], p.dilation[i]) for i in (0, 1)
    ]
    (row_class, row_sees), (column_class, column_sees) = reach
    channel = np.repeat(np.arange(len(p.row_start) - 1), np.diff(p.row_start))
    step_y, step_x = p.dilation[0] * p.pool[0], p.dilation[1] * p.pool[1]
    place = (channel * source[1] + p.ky.astype(np.int64) * step_y) * source[2] + p.kx.astype(np.int64) * step_x
    inside = np.add.outer(np.arange(p.pool[0]) * source[2], np.arange(p.pool[1])).reshape(-1)  # of a pooled pixel
    n_classes, row, taps = len(row_sees) * len(column_sees), [], []
    for k in range(n_classes):
        y, x = divmod(k, len(column_sees))
        seen = np.flatnonzero(row_sees[y][p.ky] & column_sees[x][p.kx])
        taps.append(seen)
        row.append(k * target[0] + p.out_channels[seen].astype(np.int64))
    tap = np.concatenate(taps)
    sources = (place[tap][:, None] + inside).reshape(-1)
    base = [
        (np.arange(target[1 + i]) * p.stride[i] - p.padding[i]) * p.pool[i] * (source[2] if i == 0 else 1)
        for i in (0, 1)
    ]
    return Rows(
        class_of=np.add.outer(row_class * len(column_sees), column_class).reshape(-1).astype(np.int32),
        base=np.add.outer(*base).reshape(-1),
        **_sorted(
            np.repeat(np.concatenate(row), inside.size),
            sources,
            np.repeat(p.weights[tap], inside.size),
            n_classes * target[0],
        ),
    )


def _reach(n_out: int, n_in: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[Array, Array]:
    """(n_out,) class of each output position, and (n_classes, kernel) which taps such a position sees."""
    at = np.arange(n_out)[:, None] * stride - padding + np.arange(kernel)[None, :] * dilation
    sees, class_of = np.unique((at >= 0) & (at < n_in), axis=0, return_inverse=True)
    return class_of.reshape(-1), sees


def _sorted(row: Array, sources: Array, weights: Array, n_rows: int) -> dict[str, Array]:
    order = np.lexsort((sources, row))
    row_start = np.zeros(n_rows + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n_rows), out=row_start[1:])
    return {"row_start": row_start, "places": sources[order].astype(np.int32), "weights": weights[order]}
