"""Round weights, thresholds and decays to Loihi's integers."""

from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np

from ..arrays import Array, whole
from ..errors import CompileError
from ..ir import Connection, Network, Population
from ..maps import Conv2d, Dense, Scale, Shape, Sparse, SumPool2d, WeightMap, broadcast, broadcastable
from ..neurons import DECAY_UNIT
from .compose_maps import is_canonical


def quantize(network: Network, *, weight_bits: int = 8, per: Literal["layer", "channel"] = "layer") -> Network:
    """Round to symmetric integers: weights to n bits, thresholds and biases to the same unit, decays to 1/4096. Lossy.

    One unit per target population, or per channel of it, so that all that flows into a neuron adds up in one
    unit: unit = max |w| * unit of the source / (2^(n-1) - 1). Populations whose coefficients are whole already
    (maxima, joins) keep unit 1. Pixels become whole numbers of 1/levels (InputCoding.levels).

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
    unit_of: dict[str, Array] = {network.input.name: _input_unit(network)}
    populations: list[Population] = []
    connections: dict[int, Connection] = {}
    top = (1 << (weight_bits - 1)) - 1
    for p in network.populations:
        incoming = [(i, c) for i, c in enumerate(network.connections) if c.target == p.name]
        if p.kind == "relu":
            raise CompileError(
                "GSM-302", "an ANN has no integer form here", where=p.name, remedy="convert it to an SNN"
            )
        unit = unit_of.get(p.name, np.ones((), np.float32))
        if p.kind != "input" and not _is_whole(p, [c for _, c in incoming], unit_of, top):
            if p.kind == "join":
                raise CompileError(
                    "GSM-302",
                    "a join adds whole spikes, so its weights and bias cannot be rounded",
                    where=f"population {p.name!r}",
                    found="a real-valued input, or weights or a bias that are not whole",
                    expected=f"spikes x whole weights <= {top}, whole bias",
                )
            unit = _choose_unit(p, [c for _, c in incoming], unit_of, top, per)
        # Spikes are worth 1 whatever the unit in which their population integrates.
        populations.append(_quantize_population(p, unit))
        for i, c in incoming:
            source_unit = unit_of.get(c.source, np.ones((), np.float32))
            connections[i] = _quantize_connection(c, p.shape, unit, source_unit, top)
    return replace(
        network,
        populations=tuple(populations),
        connections=tuple(connections[i] for i in range(len(network.connections))),
        arithmetic="int",
        metadata={**network.metadata, "quantized": {"weight_bits": weight_bits, "per": per}},
    )


def _input_unit(network: Network) -> Array:
    if network.coding.kind == "phase" and network.coding.weighted:
        return np.asarray(2.0**-network.coding.phases, np.float32)
    return np.asarray(1 / network.coding.levels if network.coding.kind == "direct" else 1, np.float32)


def weight_map(connection: Connection) -> WeightMap:
    """The weight map of a connection in canonical form."""
    m = connection.maps[-1] if is_canonical(connection.maps) else None
    if not isinstance(m, (Dense, Conv2d, Sparse, Scale)):
        raise CompileError(
            "GSM-301",
            "connection is not in the form that this step takes",
            where=connection.name,
            found=" -> ".join(type(m).__name__ for m in connection.maps) or "no maps",
            remedy="run compose_maps first",
        )
    return m


def weights_of(m: WeightMap) -> Array:
    """The array that holds the weights."""
    return m.weights if isinstance(m, Sparse) else m.scale if isinstance(m, Scale) else m.weight


def with_weights(m: WeightMap, weights: Array) -> WeightMap:
    """The same map with other weights of the same shape."""
    if isinstance(m, Sparse):
        return replace(m, weights=weights)
    return replace(m, scale=weights) if isinstance(m, Scale) else replace(m, weight=weights)


def _is_whole(p: Population, incoming: list[Connection], unit_of: dict[str, Array], top: int) -> bool:
    arrays = [p.bias] if p.neuron is None else [p.bias, p.neuron.threshold, p.neuron.v_init]
    weights = [weights_of(weight_map(c)) for c in incoming]
    spikes_only = all(unit_of.get(c.source, np.ones(())).item() == 1 for c in incoming)
    return (
        spikes_only
        and all((a == np.rint(a)).all() for a in [*arrays, *weights])
        and all(np.abs(a.astype(np.float64)).max(initial=0) <= top for a in weights)
    )


def _choose_unit(p: Population, incoming: list[Connection], unit_of: dict[str, Array], top: int, per: str) -> Array:
    n_channels = p.shape[0]
    largest = np.zeros(n_channels)
    for c in incoming:
        m, source_unit = weight_map(c), unit_of.get(c.source, np.ones((), np.float32)).item()
        if isinstance(m, (Conv2d, Scale)) and len(p.shape) == 1:
            raise CompileError(
                "GSM-301", "a picture leads into a flat population", where=c.name, remedy="run compose_maps first"
            )
        np.maximum(largest, _largest_per_channel(m, p.shape) * source_unit, out=largest)
    if per == "layer":
        largest[:] = largest.max(initial=0)
    unit = (largest / top).astype(np.float32)
    unit[unit == 0] = unit.max() or 1.0
    if per == "layer":
        return np.asarray(unit[0])
    return unit.reshape(-1, *(1,) * (len(p.shape) - 1))


def _largest_per_channel(m: WeightMap, shape: Shape) -> Array:
    weights = np.abs(weights_of(m).astype(np.float64))
    if isinstance(m, (Dense, Conv2d)):
        per_row = weights.reshape(weights.shape[0], -1).max(axis=1, initial=0)
        channel = np.arange(len(per_row)) // (len(per_row) // shape[0])
    elif isinstance(m, Sparse):
        per_row, channel = weights, m.targets.astype(np.int64) // prod(shape[1:])
    else:
        per_row = np.ravel(broadcast(weights, shape, where="Scale"))
        channel = np.arange(prod(shape)) // prod(shape[1:])
    largest = np.zeros(shape[0])
    np.maximum.at(largest, channel, per_row)
    return largest


def _quantize_population(p: Population, unit: Array) -> Population:
    bias = _rounded(p.bias / unit, np.int32)
    if p.neuron is None:
        return replace(p, bias=bias, unit=unit)
    n = p.neuron
    threshold = _rounded(n.threshold / unit, np.int32)
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
        v_init=_rounded(n.v_init / unit, np.int32),
        leak=_rounded(n.leak * DECAY_UNIT, np.int32),
        current_decay=_rounded(n.current_decay * DECAY_UNIT, np.int32),
    )
    return replace(p, neuron=neuron, bias=bias, unit=unit)


def _quantize_connection(c: Connection, target_shape: Shape, unit: Array, source_unit: Array, top: int) -> Connection:
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
    dtype = np.int8 if top < 128 else np.int16
    scaled = weights_of(m) * source_unit / per_weight
    quantized = with_weights(m, np.clip(np.rint(scaled), -top, top).astype(dtype))
    pools = tuple(p for p in c.maps[:-1] if isinstance(p, SumPool2d))
    return replace(c, maps=(*pools, quantized))


def _rounded(values: Array, dtype: type) -> Array:
    rounded = np.rint(values)
    if np.abs(rounded).max(initial=0) > np.iinfo(dtype).max:
        raise CompileError("GSM-302", "coefficient overflows 32 bits", found=float(np.abs(rounded).max()))
    return rounded.astype(dtype)
