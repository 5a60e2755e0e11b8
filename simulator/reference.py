"""The meaning of a network, as plain dense NumPy. Everything else must agree with this file.

No compiled code, no sparsity, no cleverness: one loop over steps, one over populations in topological order.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..compiler import (
    DECAY_UNIT,
    STATE_LIMIT,
    STATE_SHIFT,
    Array,
    AveragePool2d,
    BatchNorm,
    Connection,
    Conv2d,
    Dense,
    Map,
    Network,
    Neuron,
    Population,
    Scale,
    Shape,
    Sparse,
    SumPool2d,
    broadcast,
    topological_order,
)
from .encode import encode
from .errors import SimulationError


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """What a run did, in full.

    spikes: per population (n_samples, n_steps, *shape), what it emitted (0/1, whole numbers, or reals).
    membranes: per population with a neuron, v after each step's reset, likewise.
    readout: (n_samples, n_steps, n_outputs) what the output population was read from in each step.
    logits: (n_samples, n_outputs) float32.
    synaptic_ops, macs: per population (n_steps,) synapses visited by events of that step, over all samples.
    """

    spikes: dict[str, Array]
    membranes: dict[str, Array]
    readout: Array
    logits: Array
    synaptic_ops: dict[str, Array]
    macs: dict[str, Array]


def run_reference(network: Network, x: Array, n_steps: int | None = None) -> Trace:
    """Run a network on samples `x` (as `encode` takes them), step by step.

    Raises:
        SimulationError: GSM-401, GSM-402 for data that do not fit; GSM-404 for a bad n_steps.
    """
    steps = network.n_steps if n_steps is None else n_steps
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise SimulationError("GSM-404", "option out of range", where="n_steps", found=steps, expected=">= 1")
    integer = network.arithmetic == "int"
    inputs, _ = encode(np.asarray(x), network.coding, network.input.shape, steps, integer=integer)
    n_samples = len(inputs)
    if not network.reset_between_samples:  # a stream: all samples are one long sample
        inputs = inputs.reshape(1, n_samples * steps, -1)
    trace = _run(network, inputs)
    if not network.reset_between_samples:
        trace = _cut(trace, n_samples, steps)
    return replace(trace, logits=logits_of(network[network.output], trace.readout))


def _run(network: Network, inputs: Array) -> Trace:
    n, n_steps = inputs.shape[:2]
    number = np.int64 if network.arithmetic == "int" else np.float32
    population = {p.name: p for p in network.populations}
    order = topological_order(network.populations, network.connections)
    spikes = {p.name: np.zeros((n, n_steps, *p.shape), number) for p in network.populations}
    membranes = {p.name: np.zeros((n, n_steps, *p.shape), number) for p in network.populations if p.neuron}
    readout = np.zeros((n, n_steps, population[network.output].n_neurons), number)
    zeros = {p.name: np.zeros(n_steps, np.int64) for p in network.populations}
    ops, macs = ({name: a.copy() for name, a in zeros.items()} for _ in range(2))
    u = {p.name: np.zeros((n, *p.shape), number) for p in network.populations}
    v = {p.name: _initial_membrane(p, n, number) for p in network.populations}

    for t in range(n_steps):
        for name in order:
            p = population[name]
            if p.kind == "input":
                spikes[name][:, t] = inputs[:, t].reshape(n, *p.shape)
                continue
            current = np.zeros((n, *p.shape), number)
            for c in network.incoming(name):
                current = current + _arriving(c, spikes[c.source], t, population[c.source].shape).reshape(n, *p.shape)
            bias = broadcast(p.bias, p.shape, where=name).astype(number)
            if p.neuron is None:
                seen = np.maximum(current + bias, 0) if p.kind == "relu" else current + bias
                spikes[name][:, t] = 0 if p.kind == "readout" else seen
            else:
                update = _update_integer if number is np.int64 else _update_float
                s, v[name], u[name] = update(p.neuron, p.shape, v[name], u[name], current, bias)
                spikes[name][:, t] = s if p.kind == "spiking" else 0
                membranes[name][:, t] = v[name]
                seen = s if p.kind == "spiking" else v[name]
            if name == network.output:
                readout[:, t] = seen.reshape(n, -1)

    for c in network.connections:
        visited = macs if _multiplies(network, population[c.source]) else ops
        for t in range(n_steps):
            visited[c.target][t] += _visited(c, spikes[c.source][:, t] != 0)
    return Trace(spikes=spikes, membranes=membranes, readout=readout, logits=readout, synaptic_ops=ops, macs=macs)


def logits_of(output: Population, readout: Array) -> Array:
    """(..., n_steps, n_outputs) readout -> (..., n_outputs) float32 logits.

    Mean of the input over the steps, final membrane, or number of spikes, as the population's kind says.
    """
    if output.kind != "readout":
        return np.asarray(readout.sum(axis=-2), np.float32)
    unit = np.ravel(broadcast(output.unit, output.shape, where="unit")).astype(np.float64)
    if output.neuron is None:
        return np.asarray(readout.astype(np.float64).mean(axis=-2) * unit, np.float32)
    scale = unit if readout.dtype.kind == "f" else unit / (1 << STATE_SHIFT)
    return (readout[..., -1, :] * scale).astype(np.float32)


def _update_float(
    n: Neuron, shape: Shape, v: Array, u: Array, current: Array, bias: Array
) -> tuple[Array, Array, Array]:
    threshold = broadcast(n.threshold, shape, where="threshold").astype(np.float32)
    leak, decay = np.asarray(n.leak, np.float32), np.asarray(n.current_decay, np.float32)
    fired_before = _fires(n, v, threshold)
    if n.bias_target == "current":
        current = current + bias
    new_u = decay * u + current if n.has_current else current
    drive = u if n.update_order == "voltage-first" else new_u
    new_v = leak * v + drive
    if n.bias_target == "membrane":
        new_v = new_v + bias
    if n.reset_delay:
        new_v = np.where(fired_before, _after_reset(n, new_v, threshold), new_v)
    s = _fires(n, new_v, threshold)
    if not n.reset_delay:
        new_v = np.where(s, _after_reset(n, new_v, threshold), new_v)
    return s.astype(np.float32), new_v.astype(np.float32), new_u.astype(np.float32)


def _update_integer(
    n: Neuron, shape: Shape, v: Array, u: Array, current: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """Loihi's fixed point: state in 1/64 unit, decays truncate toward zero, u wraps at 24 bits, v clips."""
    threshold = broadcast(n.threshold, shape, where="threshold").astype(np.int64) << STATE_SHIFT
    fired_before = _fires(n, v, threshold)
    scaled = current << STATE_SHIFT
    if n.bias_target == "current":
        scaled = scaled + (bias << STATE_SHIFT)
    new_u = _wrap(_decay(u, n.current_decay) + scaled)
    drive = u if n.update_order == "voltage-first" else new_u
    new_v = _decay(v, n.leak) + drive
    if n.bias_target == "membrane":
        new_v = new_v + (bias << STATE_SHIFT)
    new_v = np.clip(new_v, -(STATE_LIMIT - 1), STATE_LIMIT - 1)
    if n.reset_delay:
        new_v = np.where(fired_before, _after_reset(n, new_v, threshold), new_v)
    s = _fires(n, new_v, threshold)
    if not n.reset_delay:
        new_v = np.where(s, _after_reset(n, new_v, threshold), new_v)
    return s.astype(np.int64), new_v, new_u


def _fires(n: Neuron, v: Array, threshold: Array) -> Array:
    return v >= threshold if n.comparator == ">=" else v > threshold


def _after_reset(n: Neuron, v: Array, threshold: Array) -> Array:
    return {"subtract": v - threshold, "zero": np.zeros_like(v), "none": v}[n.reset]


def _decay(state: Array, keep: Array) -> Array:
    return np.asarray(np.sign(state) * ((np.abs(state) * keep.astype(np.int64)) // DECAY_UNIT))


def _wrap(u: Array) -> Array:
    """Into (-2^23, 2^23]."""
    return (u + STATE_LIMIT - 1) % (2 * STATE_LIMIT) - (STATE_LIMIT - 1)


def _initial_membrane(p: Population, n: int, number: type) -> Array:
    if p.neuron is None:
        return np.zeros((n, *p.shape), number)
    v: Array = np.array(np.broadcast_to(broadcast(p.neuron.v_init, p.shape, where="v_init"), (n, *p.shape)), number)
    return v << STATE_SHIFT if number is np.int64 else v


def _arriving(c: Connection, emitted: Array, t: int, shape: Shape) -> Array:
    """What a connection brings to its target in step t: (n, *output shape). emitted: (n, n_steps, *shape)."""
    m = c.maps[0] if c.maps else None
    if not isinstance(m, (Dense, Sparse)) or m.delays is None:
        return apply_maps(c.maps, _at(emitted, t - c.delay), shape)
    total = _apply(_only(m, np.zeros_like(m.delays, bool)), np.zeros_like(emitted[:, 0]), shape)
    for delay in np.unique(m.delays):
        total = total + _apply(_only(m, m.delays == delay), _at(emitted, t - c.delay - int(delay)), shape)
    bias = m.bias if isinstance(m, Dense) else None
    return total if bias is None else total + bias.astype(total.dtype)


def _only(m: Dense | Sparse, these: Array) -> Dense | Sparse:
    """The synapses of `m` where `these` holds, without bias: a bias does not wait."""
    if isinstance(m, Dense):
        return Dense(weight=np.where(these, m.weight, 0).astype(m.weight.dtype), mask=m.mask)
    return Sparse(
        row_start=m.row_start,
        targets=m.targets,
        weights=np.where(these, m.weights, 0).astype(m.weights.dtype),
        shape=m.shape,
    )


def _at(emitted: Array, t: int) -> Array:
    return emitted[:, t] if t >= 0 else np.zeros_like(emitted[:, 0])


def apply_maps(maps: tuple[Map, ...], x: Array, shape: Shape) -> Array:
    """(n, *shape) through a chain of maps, densely."""
    for m in maps:
        x, shape = _apply(m, x, shape), m.output_shape(shape)
    return x


def _apply(m: Map, x: Array, shape: Shape) -> Array:
    n, out = len(x), m.output_shape(shape)
    number = x.dtype
    match m:
        case Dense():
            weight = m.weight if m.mask is None else m.weight * m.mask
            y = _product(x.reshape(n, -1), weight.T.astype(number))
            return y if m.bias is None else y + m.bias.astype(number)
        case Conv2d():
            weight = m.weight if m.mask is None else m.weight * m.mask
            y = _correlate(x, weight.astype(number), m.stride, m.padding, m.dilation, m.groups)
            return y if m.bias is None else y + m.bias.astype(number)[:, None, None]
        case Sparse():
            y = np.zeros((n, int(np.prod(out))), number)
            flat = x.reshape(n, -1)
            for pre in range(len(m.row_start) - 1):
                row = slice(m.row_start[pre], m.row_start[pre + 1])
                y[:, m.targets[row]] += flat[:, pre, None] * m.weights[row].astype(number)
            return y.reshape(n, *out)
        case BatchNorm():
            mean, variance, gamma, beta = (
                a[:, None, None] if len(shape) == 3 else a for a in (m.mean, m.variance, m.gamma, m.beta)
            )
            return ((x - mean) / np.sqrt(variance + np.float32(m.eps)) * gamma + beta).astype(number)
        case Scale():
            scale = broadcast(m.scale, shape, where="Scale").astype(number)
            shift = 0 if m.shift is None else broadcast(m.shift, shape, where="Scale").astype(number)
            return np.asarray(x.reshape(n, *shape) * scale + shift)
        case AveragePool2d() | SumPool2d():
            ones = np.ones((shape[0], 1, *m.kernel), number)
            y = _correlate(x, ones, m.stride, m.padding, (1, 1), shape[0])
            return y if isinstance(m, SumPool2d) else (y / np.float32(m.kernel[0] * m.kernel[1])).astype(number)


def _correlate(x: Array, weight: Array, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Array:
    """Cross-correlation (n, c_in, h, w) with (c_out, c_in / groups, kh, kw), zero padding."""
    n, (c_out, per_group, kh, kw) = len(x), weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    extent = ((kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1)
    windows = sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    parts = []
    for g in range(groups):
        taps = weight[g * (c_out // groups) : (g + 1) * (c_out // groups)].reshape(c_out // groups, -1)
        seen = windows[:, g * per_group : (g + 1) * per_group].transpose(0, 2, 3, 1, 4, 5)
        h, w = seen.shape[1:3]
        parts.append(_product(seen.reshape(n * h * w, -1), taps.T).reshape(n, h, w, -1).transpose(0, 3, 1, 2))
    return np.concatenate(parts, axis=1)


def _product(a: Array, b: Array) -> Array:
    """a @ b. Whole numbers go through float64, which holds every sum below 2^53 exactly and is fast."""
    if a.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # BLAS flags lanes that it does not use
            return np.asarray(a @ b)
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64))


def _multiplies(network: Network, source: Population) -> bool:
    return source.is_graded or (source.kind == "input" and network.coding.is_real)


def _visited(c: Connection, events: Array) -> int:
    """Non-zero synapses that these events visit: the chain's pattern of ones, summed over its targets.

    events: (n, *shape) bool. Exact where each source reaches each target by one path: in canonical form.
    """
    ones = tuple(_pattern(m) for m in c.maps)
    shape = events.shape[1:]
    return int(apply_maps(ones, events.astype(np.float64), shape).sum())


def _pattern(m: Map) -> Map:
    match m:
        case Dense():
            weight = m.weight if m.mask is None else m.weight * m.mask
            return Dense(weight=(weight != 0).astype(np.float32))
        case Conv2d():
            weight = m.weight if m.mask is None else m.weight * m.mask
            return Conv2d(
                weight=(weight != 0).astype(np.float32),
                stride=m.stride,
                padding=m.padding,
                dilation=m.dilation,
                groups=m.groups,
            )
        case Sparse():
            return Sparse(
                row_start=m.row_start, targets=m.targets, weights=(m.weights != 0).astype(np.float32), shape=m.shape
            )
        case Scale():
            return Scale(scale=(m.scale != 0).astype(np.float32))
        case BatchNorm():
            return Scale(scale=(m.gamma != 0).astype(np.float32))
        case AveragePool2d() | SumPool2d():
            return SumPool2d(kernel=m.kernel, stride=m.stride, padding=m.padding)


def _cut(trace: Trace, n_samples: int, n_steps: int) -> Trace:
    """One long sample back into `n_samples`; counts per step are summed over them."""

    def cut(a: Array) -> Array:
        return a.reshape(n_samples, n_steps, *a.shape[2:])

    def fold(counts: dict[str, Array]) -> dict[str, Array]:
        return {name: a.reshape(n_samples, n_steps).sum(axis=0) for name, a in counts.items()}

    return Trace(
        spikes={k: cut(a) for k, a in trace.spikes.items()},
        membranes={k: cut(a) for k, a in trace.membranes.items()},
        readout=cut(trace.readout),
        logits=trace.readout,
        synaptic_ops=fold(trace.synaptic_ops),
        macs=fold(trace.macs),
    )
