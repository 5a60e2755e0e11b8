"""What the make_*.py scripts share: dyadic numbers, a plain step simulator, a .nir decoder, saving a case.

The simulator is the check that the words in a case's JSON are true: it reads the written .nir back,
turns its parameters into coefficients with the rule that the JSON states, steps the equations below in
float64, and must reproduce every spike that the framework emitted. numpy and nir only.

    u[t]  = current_decay * u[t-1] + current_gain * (W . s[t] + b + recurrent)
    v     = leak * v[t-1] + (1 - leak) * rest + gain * u[t]      (- s[t-1] * threshold: reset in the next step)
    s[t]  = v > threshold, or v >= threshold
    v[t]  = v - s * threshold ("subtract") | rest where s ("zero") | v ("none", or reset in the next step)

All states start at rest (v) and zero (u, s). `recurrent` is W_rec . s[t-1] + b_rec, where there is one.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from unittest.mock import patch

import h5py
import nir
import numpy as np

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Neuron:
    """One population. Coefficients are scalars, or arrays of the population's shape."""

    leak: np.ndarray | float = 1.0
    gain: np.ndarray | float = 1.0
    current_decay: np.ndarray | float = 0.0
    current_gain: np.ndarray | float = 1.0
    threshold: np.ndarray | float | None = None  # None: a readout, which does not spike
    rest: np.ndarray | float = 0.0  # resting, reset and initial voltage
    comparator: str = ">"
    reset: str = "zero"
    reset_timing: str = "same step"  # | "next step, after the decay"
    several_spikes: bool = False  # a neuron may emit floor(v / threshold) spikes in one step
    recurrent: tuple | None = None  # (weight, bias)


def dyadic(rng, shape, low, high, denominator=16):
    """Uniform multiples of 1/denominator in [low, high], float32, so that sums are exact in any order."""
    low, high = round(low * denominator), round(high * denominator)
    return (rng.integers(low, high + 1, shape) / denominator).astype(np.float32)


def fill(rng, layer, low, high):
    """Give a torch layer dyadic weights in [low, high] and a small dyadic bias."""
    layer.weight.data = layer.weight.data.new_tensor(dyadic(rng, layer.weight.shape, low, high))
    if layer.bias is not None:
        layer.bias.data = layer.bias.data.new_tensor(dyadic(rng, layer.bias.shape, -0.125, 0.125))
    return layer


def spikes_in(rng, n_samples, n_steps, shape, rate):
    """Bernoulli input spikes, (n_samples, n_steps, *shape) uint8."""
    return (rng.random((n_samples, n_steps, *shape)) < rate).astype(np.uint8)


def _conv(x, weight, bias, stride, padding):
    """Cross-correlation, zero padding. x: (n, c_in, h, w); weight: (c_out, c_in, kh, kw)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    kh, kw = weight.shape[2:]
    h, w = (x.shape[2] - kh) // stride[0] + 1, (x.shape[3] - kw) // stride[1] + 1
    out = np.zeros((len(x), len(weight), h, w)) + np.asarray(bias, float)[:, None, None]
    for i in range(kh):
        for j in range(kw):
            tap = x[:, :, i : i + h * stride[0] : stride[0], j : j + w * stride[1] : stride[1]]
            out += np.einsum("ncyx,oc->noyx", tap, weight[:, :, i, j].astype(float))
    return out


def _apply(node, x):
    """A stateless NIR node on a batch of one step."""
    kind = type(node).__name__
    if kind in ("Affine", "Linear"):
        return x @ node.weight.astype(float).T + np.asarray(getattr(node, "bias", 0.0), float)
    if kind == "Conv2d":
        assert np.all(np.asarray(node.dilation) == 1)
        assert node.groups == 1
        return _conv(x, node.weight, node.bias, _pair(node.stride), _pair(node.padding))
    if kind in ("AvgPool2d", "SumPool2d"):
        kernel, eye = _pair(node.kernel_size), np.eye(x.shape[1])
        taps = eye[:, :, None, None] * np.ones((1, 1, *kernel))
        taps = taps / np.prod(kernel) if kind == "AvgPool2d" else taps
        return _conv(x, taps, np.zeros(len(eye)), _pair(node.stride), _pair(node.padding))
    if kind == "Flatten":
        return x.reshape(len(x), -1)
    raise ValueError(f"these judges export no {kind}: add its equation here before exporting one")


def _pair(value):
    value = np.asarray(value).ravel()
    return (int(value[0]), int(value[-1]))


def _fire(neuron, v):
    if neuron.several_spikes:
        return np.where(v > 0, np.trunc(v / neuron.threshold), 0.0)
    return (v > neuron.threshold if neuron.comparator == ">" else v >= neuron.threshold).astype(float)


def _step(neuron, x, state):
    """One step of one population: (input, (u, v, s)) -> the new (u, v, s, membrane before the reset)."""
    u, v, s = state
    if neuron.recurrent is not None:
        x = x + s @ neuron.recurrent[0].astype(float).T + neuron.recurrent[1]
    u = neuron.current_decay * u + neuron.current_gain * x
    v = neuron.leak * v + (1 - neuron.leak) * neuron.rest + neuron.gain * u
    if neuron.threshold is None:
        return u, v, s
    next_step = neuron.reset_timing != "same step"
    if next_step and neuron.reset == "subtract":
        v = v - s * neuron.threshold
    s = _fire(neuron, v)
    if not next_step:
        v = v - s * neuron.threshold if neuron.reset == "subtract" else np.where(s > 0, neuron.rest, v)
    return u, v, s


def simulate(stages, x):
    """stages: (name, NIR node or Neuron) in order. Returns name -> (n, t, *shape) for each Neuron.

    Checks that float32 would have been exact too, so that no order of summation can matter.
    """
    states, outputs = {}, {name: [] for name, stage in stages if isinstance(stage, Neuron)}
    for t in range(x.shape[1]):
        signal = x[:, t].astype(float)
        for name, stage in stages:
            if not isinstance(stage, Neuron):
                signal = _apply(stage, signal)
                continue
            zero = np.zeros_like(signal)
            states[name] = _step(stage, signal, states.get(name, (zero, zero + stage.rest, zero)))
            for array in states[name]:
                assert np.array_equal(array, array.astype(np.float32)), "not exact in float32"
            _, v, s = states[name]
            signal = v if stage.threshold is None else s
            outputs[name].append(signal)
    return {name: np.stack(steps, 1) for name, steps in outputs.items()}


def stages_of(graph, neurons):
    """The graph as a chain of (name, stage); a dense node that leads back to its source is that one's recurrence."""
    after = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        after[source].append(target)
    (name,) = [k for k, node in graph.nodes.items() if isinstance(node, nir.Input)]
    stages, previous = [], None
    while not isinstance(graph.nodes[name], nir.Output):
        stage = neurons.get(name, graph.nodes[name])
        loops = [k for k in after[name] if name in after[k] and k != previous]
        if loops:
            node = graph.nodes[loops[0]]
            stage = replace(stage, recurrent=(node.weight, np.asarray(getattr(node, "bias", 0.0), float)))
        stages.append((name, stage))
        (following,) = [k for k in after[name] if k not in loops]
        name, previous = following, name
    return [pair for pair in stages if not isinstance(pair[1], nir.Input)]


def snap(value):
    """Round to a multiple of 2**-12 if one is within 1e-6, else to float32.

    Every coefficient here was such a multiple before the file's float32 time constants blurred it.
    """
    value = np.asarray(value, np.float64)
    near = np.round(value * 4096) / 4096
    value = np.where(np.abs(value - near) <= 1e-6, near, value.astype(np.float32))
    return float(value.flat[0]) if np.all(value == value.flat[0]) else value


def wrong_readings(neurons):
    """The same populations read with one convention wrong: each must change some spike."""
    flip = {">": ">=", ">=": ">"}
    other = {"subtract": "zero", "zero": "subtract"}
    later = {"same step": "next step, after the decay", "next step, after the decay": "same step"}
    several = any(n.several_spikes for n in neurons.values())
    leaky = any(np.any(np.asarray(n.leak) < 1) for n in neurons.values() if n.threshold is not None)
    subtract = any(n.reset == "subtract" for n in neurons.values() if n.threshold is not None)
    yield "reset", {k: replace(n, reset=other[n.reset], reset_timing="same step") for k, n in neurons.items()}
    if several:
        yield "several_spikes", {k: replace(n, several_spikes=False) for k, n in neurons.items()}
    else:
        yield "comparator", {k: replace(n, comparator=flip[n.comparator]) for k, n in neurons.items()}
    for field, plain in (("rest", 0.0), ("gain", 1.0)):
        if any(np.any(np.asarray(getattr(n, field)) != plain) for n in neurons.values()):
            yield field, {k: replace(n, **{field: plain}) for k, n in neurons.items()}
    if leaky and subtract:
        yield "reset_timing", {k: replace(n, reset_timing=later[n.reset_timing]) for k, n in neurons.items()}


def save(framework, case, graph, x, spikes, decode, header, *, readout=None, as_it_comes=False):
    """Write the case's .nir, .npz and .json; read the .nir back and prove that it and the JSON are enough.

    decode: NIR node -> Neuron, by the rule that `header` states in words.
    as_it_comes: nir.write with all its defaults; without it, uncompressed and with HDF5's newer, smaller
    object headers, which makes the file a third as large and changes nothing that is in it.
    """
    stem = HERE / f"{framework}_{case}"
    if as_it_comes:
        nir.write(f"{stem}.nir", graph)
    else:
        uncompressed = {"compression": None} if "compression" in signature(nir.write).parameters else {}
        with patch.object(h5py, "File", partial(h5py.File, libver="latest")):
            nir.write(f"{stem}.nir", graph, **uncompressed)
    unchecked = {"type_check": False} if "type_check" in signature(nir.read).parameters else {}
    read = nir.read(f"{stem}.nir", **unchecked)  # nir >= 1.0.5 calls scalar parameters and batch axes a type mismatch
    neurons = {k: decode(n) for k, n in read.nodes.items() if hasattr(n, "v_threshold") or isinstance(n, nir.LI)}
    outputs = simulate(stages_of(read, neurons), x)
    order = list(outputs)

    expected = dict(zip(order, [*spikes] + ([] if readout is None else [readout]), strict=True))
    for name in order:
        ours, theirs = outputs[name], np.asarray(expected[name])
        assert ours.shape == theirs.shape, f"{case}: {name} has shape {theirs.shape}, not {ours.shape}"
        assert np.array_equal(ours, theirs), f"{case}: {name} differs"
    for what, wrong in wrong_readings(neurons):
        changed = simulate(stages_of(read, wrong), x)
        assert any(not np.array_equal(changed[k], expected[k]) for k in order), f"{case}: blind to {what}"

    rates = [float(s.mean()) for s in spikes]
    assert all(0.05 <= rate <= 0.40 for rate in rates), f"{case}: firing rates {rates}"
    arrays = {"x": x} | {f"spikes_{k}": np.asarray(s).astype(np.uint8) for k, s in enumerate(spikes)}
    if readout is not None:
        arrays["readout"] = np.asarray(readout, np.float32)
    np.savez_compressed(f"{stem}.npz", **arrays)

    layers = []
    for k, name in enumerate(order):
        neuron, spiking = neurons[name], neurons[name].threshold is not None
        fields = ("leak", "gain", "current_decay", "current_gain", "rest") + (("threshold",) if spiking else ())
        layers.append(
            {"npz": f"spikes_{k}" if spiking else "readout", "node": name, "shape": list(outputs[name].shape[2:])}
            | ({"rate": round(rates[k], 4)} if spiking else {})
            | {field: np.asarray(getattr(neuron, field)).tolist() for field in fields}
        )
    described = {"framework": framework, "case": case} | header | {"nir_version": nir.version, "layers": layers}
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in described.items() if k != "layers"]
    lines.append(' "layers": [\n' + ",\n".join(f"  {json.dumps(layer)}" for layer in layers) + "\n ]")
    Path(f"{stem}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    show(f"{framework}_{case}", read, rates)


def show(title, graph, rates=()):
    """Print what is in a .nir file: every node with the shape and the values of its parameters."""
    print(f"\n{title}: rates {[round(r, 3) for r in rates]}")
    for name, node in graph.nodes.items():
        parts = []
        for key, value in node.to_dict().items():
            if key not in ("type", "metadata") and value is not None:
                value = np.asarray(value)
                few = np.unique(value)
                values = value.tolist() if value.size <= 4 else few.tolist()
                if few.size > 4:
                    values = f"{few.size} values in [{few.min():g}, {few.max():g}]"
                parts.append(f"{key} {value.dtype}{list(value.shape)} {values}")
        print(f"  {name}: {type(node).__name__}  " + "; ".join(parts))
    print(f"  edges: {sorted(graph.edges)}")
