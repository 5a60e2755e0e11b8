"""From a network to a synaptic graph: the pipeline on one page."""

from typing import Literal

import numpy as np

from .errors import CompileError
from .graph import Csr, Projection, SharedCsr, SynapticGraph, index_dtype
from .ir import Connection, Network
from .maps import Conv2d, Dense, Scale, Sparse, SumPool2d, WeightMap
from .matrix import chain_to_matrix, matrix_to_sparse
from .passes import apply_masks, compose_maps, fold_batch_norm, fuse_average_pooling, quantize
from .passes.quantize import weight_map


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
        metadata=dict(network.metadata),
    )


def _project(network: Network, c: Connection, unroll: bool) -> Projection:
    source, target = network[c.source].shape, network[c.target].shape
    m = weight_map(c)
    pool = c.maps[0].kernel if len(c.maps) == 2 and isinstance(c.maps[0], SumPool2d) else (1, 1)
    if isinstance(m, Conv2d) and len(target) == 3 and not unroll:
        return _share(c, m, pool)
    if unroll and pool != (1, 1):
        matrix, _, _ = chain_to_matrix(c.maps, source)
        m, pool = matrix_to_sparse(matrix.astype(_weights_dtype(m)), target), (1, 1)
    elif not isinstance(m, Sparse):
        m = _by_source(m, c.maps[0].output_shape(source) if len(c.maps) == 2 else source)
    keep = m.weights != 0
    row_start = np.concatenate([[0], np.cumsum(keep)])[m.row_start]
    return Csr(
        source=c.source, target=c.target, row_start=row_start,
        targets=m.targets[keep].astype(index_dtype(network[c.target].n_neurons)), weights=_narrow(m.weights[keep]),
        delays=None if m.delays is None else m.delays[keep].astype(np.uint16), delay=c.delay, pool=pool,
    )  # fmt: skip


def _by_source(m: Dense | Conv2d | Scale, shape: tuple[int, ...]) -> Sparse:
    """A weight map as synapses by source, with their delays."""
    if isinstance(m, Dense):
        source, target = np.nonzero(m.weight.T)
        row_start = np.searchsorted(source, np.arange(m.weight.shape[1] + 1))
        delays = None if m.delays is None else m.delays[target, source]
        return Sparse(
            row_start=row_start, targets=target, weights=m.weight[target, source], delays=delays, shape=m.weight.shape[:1]
        )
    matrix, _, output_shape = chain_to_matrix((m,), shape)
    return matrix_to_sparse(matrix.astype(_weights_dtype(m)), output_shape)


def _share(c: Connection, m: Conv2d, pool: tuple[int, int]) -> SharedCsr:
    out_channel, in_channel, ky, kx = np.nonzero(m.weight)
    values = m.weight[out_channel, in_channel, ky, kx]
    channel = in_channel + (out_channel // (m.weight.shape[0] // m.groups)) * m.weight.shape[1]
    order = np.lexsort((out_channel, kx, ky, channel))
    n_in = m.weight.shape[1] * m.groups
    if max(m.weight.shape[2:]) > 255 or m.weight.shape[0] > 65535:
        raise CompileError("GSM-301", "kernel too large to share", where=c.name, found=m.weight.shape, remedy="unroll it")
    return SharedCsr(
        source=c.source, target=c.target, row_start=np.searchsorted(channel[order], np.arange(n_in + 1)).astype(np.int64),
        out_channels=out_channel[order].astype(np.uint16), ky=ky[order].astype(np.uint8), kx=kx[order].astype(np.uint8),
        weights=_narrow(values[order]), kernel=m.weight.shape[2:], stride=m.stride, padding=m.padding,
        dilation=m.dilation, delay=c.delay, pool=pool,
    )  # fmt: skip


def _weights_dtype(m: WeightMap) -> np.dtype[np.generic]:
    weights = m.weights if isinstance(m, Sparse) else m.scale if isinstance(m, Scale) else m.weight
    return weights.dtype


def _narrow(weights: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """The narrowest type that holds integer weights."""
    if weights.dtype.kind == "f":
        return weights.astype(np.float32)
    small = weights.size == 0 or (int(weights.min()) >= -128 and int(weights.max()) <= 127)
    return weights.astype(np.int8 if small else np.int16)


