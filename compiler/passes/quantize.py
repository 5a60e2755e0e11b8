"""Round weights, thresholds and decays to Loihi's integers."""

from dataclasses import replace
from math import prod

import numpy as np

from ..arrays import Array, whole
from ..canonical import weight_map, weights_of, with_weights
from ..errors import CompileError
from ..ir import Connection, Network, Population
from ..maps import Conv2d, Dense, Shape, Sparse, SumPool2d, broadcastable
from ..neurons import DECAY_UNIT
from ..units import Per, choose_unit, input_unit, is_whole, source_unit


def quantize(network: Network, *, weight_bits: int = 8, per: Per = "layer") -> Network:
    """Round to symmetric integers: weights to n bits, thresholds and biases to the same unit, decays to 1/4096. Lossy.

    One unit per target population, or per channel of it, so that all that flows into a neuron adds up in one
    unit: unit = max |w| * unit of the source / (2^(n-1) - 1), or coarser where threshold, bias or current would not fit
    the 24 bits of Loihi's state. Populations whose coefficients are whole already (maxima, joins) keep unit 1. Pixels
    become whole numbers of 1/levels (InputCoding.levels): fewer levels leave more bits for the first weights.

    Args:
        network: in the form of `compose_maps`, float32.
        weight_bits: 2 to 16, sign included.
        per: "layer" or "channel".
    Raises:
        CompileError: GSM-301 for another form, GSM-302 where integers cannot express the network.
    """
    if network.arithmetic == "int":
        raise CompileError("GSM-301", "network is quantized already", where=network.name)
    weight_bits = whole(weight_bits, where="weight_bits", minimum=2, maximum=16, code="GSM-302")
    if per not in ("layer", "channel"):
        raise CompileError("GSM-302", "no such way to choose units", found=per, expected="layer or channel")
    top = (1 << (weight_bits - 1)) - 1
    units = {p.name: _unit(network, p, top, per) for p in network.populations}
    return replace(
        network,
        populations=tuple(_quantize_population(p, units[p.name]) for p in network.populations),
        connections=tuple(
            _quantize_connection(c, network[c.target].shape, units[c.target], source_unit(network, c.source), top)
            for c in network.connections
        ),
        arithmetic="int",
        metadata={**network.metadata, "quantized": {"weight_bits": weight_bits, "per": per}},
    )


def _unit(network: Network, p: Population, top: int, per: Per) -> Array:
    """The unit of a population: one number or one per channel."""
    if p.kind == "input":
        return np.asarray(input_unit(network), np.float32)
    if p.kind == "relu":
        raise CompileError("GSM-302", "an ANN has no integer form here", where=p.name, remedy="convert it to an SNN")
    if is_whole(network, p, top):
        return np.ones((), np.float32)
    if p.kind == "join":
        raise CompileError(
            "GSM-302",
            "a join adds whole spikes, so its weights and bias cannot be rounded",
            where=f"population {p.name!r}",
            found="a real-valued input, or weights or a bias that are not whole",
            expected=f"spikes x whole weights <= {top}, whole bias",
        )
    return choose_unit(network, p, top, per)


def _quantize_population(p: Population, unit: Array) -> Population:
    bias = _rounded(p.bias / unit)
    if p.neuron is None:
        return replace(p, bias=bias, unit=unit)
    n = p.neuron
    threshold = _rounded(n.threshold / unit)
    if (threshold < 1).any():
        raise CompileError(
            "GSM-302",
            "threshold rounds to zero",
            where=f"population {p.name!r}",
            found=f"{float(n.threshold.min()):.3g}",
            expected=f">= half a unit = {float(np.max(unit)) / 2:.3g}",
            remedy="use more weight bits, or per channel",
        )
    neuron = replace(
        n,
        threshold=threshold,
        v_init=_rounded(n.v_init / unit),
        leak=_rounded(n.leak * DECAY_UNIT),
        current_decay=_rounded(n.current_decay * DECAY_UNIT),
    )
    return replace(p, neuron=neuron, bias=bias, unit=unit)


def _quantize_connection(c: Connection, target_shape: Shape, unit: Array, source_unit: float, top: int) -> Connection:
    m = weight_map(c)
    per_weight = unit
    if unit.ndim:
        rows = unit.reshape(-1)
        if isinstance(m, (Dense, Conv2d)):
            per_row = np.repeat(rows, m.weight.shape[0] // len(rows))
            per_weight = per_row.reshape(-1, *(1,) * (m.weight.ndim - 1))
        elif isinstance(m, Sparse):
            per_weight = rows[m.targets.astype(np.int64) // prod(target_shape[1:])]
        else:
            m = replace(m, scale=broadcastable(m.scale, target_shape, where=c.name))
    scaled = weights_of(m) * np.float32(source_unit) / per_weight
    dtype = np.int8 if top < 128 else np.int16
    quantized = with_weights(m, np.clip(np.rint(scaled), -top, top).astype(dtype))
    pools = tuple(p for p in c.maps[:-1] if isinstance(p, SumPool2d))
    return replace(c, maps=(*pools, quantized))


def _rounded(values: Array) -> Array:
    rounded = np.rint(values)
    if np.abs(rounded).max(initial=0) > np.iinfo(np.int32).max:
        raise CompileError("GSM-302", "coefficient overflows 32 bits", found=float(np.abs(rounded).max()))
    return rounded.astype(np.int32)
