"""From a network to a synaptic graph: the pipeline on one page."""

from itertools import product
from typing import Any, Literal

import numpy as np

from .arrays import Array, everywhere, frozen, read_only
from .canonical import weight_map
from .errors import CompileError
from .graph import SynapticGraph
from .ir import Arithmetic, Connection, Network
from .maps import Conv2d, Dense, Scale, Shape, Sparse, SumPool2d
from .matrix import chain_to_matrix, matrix_to_sparse
from .passes import apply_masks, compose_maps, expand_joins, fold_batch_norm, fuse_average_pooling, quantize
from .projections import MAX_CHANNELS, MAX_KERNEL, Csr, Projection, SharedCsr

AT_ONCE = 1 << 14  # weights of a kernel: what is worked out about them should not be larger than the graph


def compile_network(
    network: Network,
    *,
    weight_bits: int | None = None,
    per: Literal["layer", "channel"] = "layer",
    unroll: bool = False,
) -> SynapticGraph:
    """Lower a network to its synaptic graph.

    Args:
        network: as trained: masks, batch norm and average pooling still in it.
        weight_bits: quantize to Loihi's integers with this many bits; None keeps float32.
        per: one integer unit per "layer" or per "channel".
        unroll: convolutions as explicit synapses too, as some hardware forces.
    Raises:
        CompileError: GSM-2xx, GSM-3xx.
    """
    network = canonicalize(network)
    if weight_bits is not None:
        network = quantize(network, weight_bits=weight_bits, per=per)
    return to_synaptic_graph(network, unroll=unroll)


def canonicalize(network: Network) -> Network:
    """The same function with one weight map per connection, biases in the populations. Exact up to rounding."""
    network = apply_masks(network)
    if network.arithmetic == "int":
        return compose_maps(network)
    network = fuse_average_pooling(network)
    network = expand_joins(network)
    network = fold_batch_norm(network)
    return compose_maps(network)


def to_synaptic_graph(network: Network, *, unroll: bool = False) -> SynapticGraph:
    """Lower a network in canonical form. Exact: zero weights are dropped, nothing else changes."""
    return SynapticGraph(
        name=network.name,
        populations=network.populations,
        projections=tuple(_project(network, c, unroll) for c in network.connections),
        output=network.output,
        n_steps=network.n_steps,
        coding=network.coding,
        arithmetic=network.arithmetic,
        reset_between_samples=network.reset_between_samples,
        metadata=_inherited(network.metadata),
    )


def _inherited(metadata: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's metadata as its graph's; the digest of the one is not that of the other."""
    return {"checkpoint_sha256" if key == "sha256" else key: value for key, value in metadata.items()}


def _project(network: Network, c: Connection, unroll: bool) -> Projection:
    source, target = network[c.source].shape, network[c.target].shape
    m = weight_map(c)
    pool = c.maps[0].kernel if len(c.maps) == 2 and isinstance(c.maps[0], SumPool2d) else (1, 1)
    if isinstance(m, Conv2d) and len(target) == 3 and not unroll:
        return _share(c, m, pool, network.arithmetic)
    if unroll and pool != (1, 1):
        matrix, _, _ = chain_to_matrix(c.maps, source)
        m, pool = matrix_to_sparse(matrix, target), (1, 1)
    elif not isinstance(m, Sparse):
        m = _by_source(m, c.maps[0].output_shape(source) if len(c.maps) == 2 else source)
    m = _without_zeros(m)
    return Csr(
        source=c.source,
        target=c.target,
        row_start=m.row_start,
        targets=m.targets,
        weights=_narrow(m.weights, network.arithmetic),
        delays=None if m.delays is None else read_only(m.delays, np.uint16),
        delay=c.delay,
        pool=pool,
    )


def _without_zeros(m: Sparse) -> Sparse:
    """The map itself, if it holds no weight of 0: large ones are not copied."""
    if everywhere(np.bool_, m.weights):
        return m
    keep = m.weights != 0
    return Sparse(
        row_start=m.row_start - np.searchsorted(np.flatnonzero(~keep), m.row_start),
        targets=frozen(m.targets[keep]),
        weights=frozen(m.weights[keep]),
        delays=None if m.delays is None else frozen(m.delays[keep]),
        shape=m.shape,
    )


def _by_source(m: Dense | Conv2d | Scale, shape: Shape) -> Sparse:
    """A weight map as synapses by source, with their delays."""
    if isinstance(m, Dense):
        source, target = np.nonzero(m.weight.T)
        return Sparse(
            row_start=np.searchsorted(source, np.arange(m.weight.shape[1] + 1)),
            targets=target,
            weights=m.weight[target, source],
            delays=None if m.delays is None else m.delays[target, source],
            shape=m.weight.shape[:1],
        )
    matrix, _, output_shape = chain_to_matrix((m,), shape)
    return matrix_to_sparse(matrix, output_shape)


def _share(c: Connection, m: Conv2d, pool: tuple[int, int], arithmetic: Arithmetic) -> SharedCsr:
    c_out, per_group, *kernel = m.weight.shape
    if max(kernel) > MAX_KERNEL or c_out > MAX_CHANNELS:
        raise CompileError(
            "GSM-301",
            "kernel too large to share",
            where=c.name,
            found=m.weight.shape,
            expected=f"<= {MAX_CHANNELS} channels, <= {MAX_KERNEL} rows and columns",
            remedy="unroll it",
        )
    # By group, then input channel, row, column and output channel: the order of the taps.
    per_target = c_out // m.groups
    by_source = m.weight.reshape(m.groups, per_target, per_group, *kernel).transpose(0, 2, 3, 4, 1)
    n = np.count_nonzero(m.weight)
    out_channel, ky, kx = np.empty(n, np.uint16), np.empty(n, np.uint8), np.empty(n, np.uint8)
    weights, per_channel = np.empty(n, m.weight.dtype), np.zeros(m.groups * per_group, np.int64)
    at_once = max(1, AT_ONCE // (per_target * kernel[0] * kernel[1]))
    filled = 0
    for g, first in product(range(m.groups), range(0, per_group, at_once)):
        part = np.ascontiguousarray(by_source[g, first : first + at_once])
        channel, *found, target_channel = np.nonzero(part)
        here = slice(filled, filled := filled + len(channel))
        out_channel[here], (ky[here], kx[here]) = target_channel + g * per_target, found
        weights[here] = part[part != 0]
        at = g * per_group + first
        per_channel[at : at + len(part)] = np.bincount(channel, minlength=len(part))
    return SharedCsr(
        source=c.source,
        target=c.target,
        row_start=np.concatenate([[0], np.cumsum(per_channel)]),
        out_channels=frozen(out_channel),
        ky=frozen(ky),
        kx=frozen(kx),
        weights=_narrow(weights, arithmetic),
        kernel=(kernel[0], kernel[1]),
        stride=m.stride,
        padding=m.padding,
        dilation=m.dilation,
        delay=c.delay,
        pool=pool,
    )


def _narrow(weights: Array, arithmetic: Arithmetic) -> Array:
    """Weights as a graph holds them: float32, or the narrowest integers."""
    if arithmetic == "float32":
        return read_only(weights, np.float32)
    small = int(weights.min(initial=0)) >= -128 and int(weights.max(initial=0)) <= 127
    return read_only(weights, np.int8 if small else np.int16)
