"""A projection as a list of its synapses, whatever way it stores them."""

import numpy as np

from .arrays import Array
from .maps import Shape
from .projections import Csr, Projection, SharedCsr, pooled_shape, pooled_to_source


def list_synapses(p: Projection, source: Shape, target: Shape) -> tuple[Array, Array, Array, Array]:
    """(source neurons, target neurons, weights, delays), each (n_synapses,).

    Args:
        p: Explicit or shared; a pooled pixel's synapses are those of every neuron that it is pooled from.
        source, target: Shapes of the populations at its ends.
    """
    rows, targets, weights, delays = _by_row(p) if isinstance(p, Csr) else _unroll(p, source, target)
    if p.pool == (1, 1):
        return rows, targets, weights, delays
    neurons, chosen = _spread(rows, source, p.pool)
    return neurons, targets[chosen], weights[chosen], delays[chosen]


def _by_row(p: Csr) -> tuple[Array, Array, Array, Array]:
    rows = np.repeat(np.arange(len(p.row_start) - 1), np.diff(p.row_start))
    delays = np.zeros(len(rows), np.int64) if p.delays is None else p.delays.astype(np.int64)
    return rows, p.targets.astype(np.int64), p.weights, delays + p.delay


def _unroll(p: SharedCsr, source: Shape, target: Shape) -> tuple[Array, Array, Array, Array]:
    """Rows (pooled pixels), targets, weights and delays of every tap at every output pixel."""
    _, height, width = pooled_shape(source, p.pool, p.name)
    _, n_y, n_x = target
    channel = np.repeat(np.arange(len(p.row_start) - 1), np.diff(p.row_start))[:, None, None]
    out_y, out_x = np.arange(n_y)[None, :, None], np.arange(n_x)[None, None, :]
    y = out_y * p.stride[0] - p.padding[0] + (p.ky.astype(np.int64) * p.dilation[0])[:, None, None]
    x = out_x * p.stride[1] - p.padding[1] + (p.kx.astype(np.int64) * p.dilation[1])[:, None, None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    rows = (channel * height + y) * width + x
    targets = (p.out_channels.astype(np.int64)[:, None, None] * n_y + out_y) * n_x + out_x
    weights = np.broadcast_to(p.weights[:, None, None], inside.shape)[inside]
    return rows[inside], targets[inside], weights, np.full(int(inside.sum()), p.delay, np.int64)


def _spread(rows: Array, source: Shape, pool: tuple[int, int]) -> tuple[Array, Array]:
    """Give every source neuron the synapses of its pooled pixel: (source neurons, indices into the synapses)."""
    shape = pooled_shape(source, pool, "")
    n_rows = int(np.prod(shape))
    row_of = pooled_to_source(1 + np.arange(n_rows).reshape(shape), source, pool) - 1
    order = np.argsort(rows, kind="stable")
    n_in_row = np.bincount(rows, minlength=n_rows)
    start = np.cumsum(n_in_row) - n_in_row
    n_each = np.where(row_of >= 0, n_in_row[row_of], 0)
    neurons = np.repeat(np.arange(len(row_of)), n_each)
    nth = np.arange(len(neurons)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
    return neurons, order[np.repeat(start[row_of], n_each) + nth]
