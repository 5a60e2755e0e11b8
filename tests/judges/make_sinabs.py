"""Networks of sinabs, exported with its own exporter, with the spikes that sinabs computes.

sinabs pins nir<=1.0.4, so it needs an environment of its own:

    python -m venv env && env/bin/pip install torch==2.13.0 sinabs==3.1.3
    PYTHONHASHSEED=0 env/bin/python make_sinabs.py
"""

import warnings
from importlib.metadata import version

import nir
import numpy as np
import sinabs.layers as sl
import torch
from _plain import Neuron, fill, save, snap, spikes_in
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.nir import to_nir
from torch import nn

HALF = 1 / np.log(2)  # the time constant, in steps, whose decay exp(-1/tau) is 1/2 (exactly so in float32)
RULE = (
    "tau counts steps, and the decay is exponential, not Euler: leak = exp(-1/tau). LI and LIF: gain = 1 with "
    "norm_input=False, gain = 1 - leak with norm_input=True (LIF's default); the file has r = 1 either way. IF: gain = "
    "r = 1 per step. Compute in float64 and round to float32."
)
ORDER = (
    "v = leak*v[t-1] + gain*I[t]; s[t] = v >= threshold (SingleSpike) or floor(v/threshold) where v > 0 (MultiSpike); "
    "then, in the same step, v = v - s*threshold (MembraneSubtract) or v = 0 where s > 0 (MembraneReset). ExpLeak: the "
    "same without spikes; its output is v."
)


def dense(rng, n_in, n_out, low, high, **options):
    return fill(rng, nn.Linear(n_in, n_out, **options), low, high)


def conv(rng, c_in, c_out, low, high, **options):
    return fill(rng, nn.Conv2d(c_in, c_out, 3, **options), low, high)


def lif(threshold, **options):
    return sl.LIFSqueeze(batch_size=8, tau_mem=HALF, spike_threshold=torch.tensor(threshold), **options)


def iaf(threshold, **options):
    return sl.IAFSqueeze(batch_size=8, spike_threshold=torch.tensor(threshold), **options)


def run(net, x):
    """Output of every stateful layer, (n_samples, n_steps, *shape). The layers take (n_samples * n_steps, ...)."""
    n_samples, n_steps = x.shape[:2]
    outputs, signal = [], torch.tensor(x, dtype=torch.float32).flatten(0, 1)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, sl.StatefulLayer):
                layer.reset_states()
            signal = layer(signal)
            if isinstance(layer, sl.StatefulLayer):
                outputs.append(signal.unflatten(0, (n_samples, n_steps)).numpy())
    return outputs


def case(name, net, x, notes, *, reset="subtract", norm_input=False, several_spikes=False, **options):
    def decode(node):
        if isinstance(node, nir.IF):
            leak, gain = 1.0, snap(node.r)
        else:
            leak = snap(np.exp(-1 / np.asarray(node.tau, np.float64)))
            gain = 1 - leak if norm_input else snap(node.r)
        if isinstance(node, nir.LI):
            return Neuron(leak=leak, gain=gain)
        return Neuron(
            leak=leak,
            gain=gain,
            threshold=snap(node.v_threshold),
            comparator=">=",
            reset=reset,
            several_spikes=several_spikes,
        )

    outputs = run(net, x)
    graph = to_nir(net, torch.tensor(x, dtype=torch.float32).flatten(0, 1))
    shape = x.shape[2:]
    for layer, node in zip(net, [node for name, node in graph.nodes.items() if name.isdigit()], strict=True):
        # The exporter leaves these two as None, which nir.write refuses; everything else is as it came.
        if isinstance(node, nir.Conv2d):
            node.input_shape = shape[1:]
        if isinstance(node, nir.Flatten):
            node.input_type = {"input": np.array(shape)}
        with torch.no_grad():
            shape = tuple(layer(torch.zeros(x.shape[0] * x.shape[1], *shape)).shape[1:])
    header = {
        "version": version("sinabs"),
        "torch": torch.__version__,
        "reset": reset,
        "reset_timing": "same step",
        "comparator": ">=",
        "several_spikes": several_spikes,
        "norm_input": norm_input,
        "dt": None,
        "decay_rule": RULE,
        "update_order": ORDER,
        "notes": notes,
    }
    readout = outputs.pop() if isinstance(net[-1], sl.ExpLeak) else None
    save("sinabs", name, graph, x, outputs, decode, header, readout=readout, **options)


def main():
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # nirtorch.extract_nir_graph
    torch.set_num_threads(1)
    rng = np.random.default_rng(4)

    x = spikes_in(rng, 8, 10, (20,), 0.3)
    net = nn.Sequential(
        dense(rng, 20, 24, -0.25, 0.375),
        lif(1.0, spike_fn=SingleSpike, norm_input=False),
        dense(rng, 24, 16, -0.25, 0.375, bias=False),
        lif(1.0, spike_fn=SingleSpike, norm_input=False),
        dense(rng, 16, 10, -0.5, 0.5),
        sl.ExpLeakSqueeze(batch_size=8, tau_mem=HALF),
    )
    case(
        "dense",
        net,
        x,
        "LIF with SingleSpike and MembraneSubtract, norm_input=False, ExpLeak as a readout (nir.LI, "
        "norm_input=False). tau, r, v_leak and v_threshold are 0-d; v_reset is missing (nir 1.0.4). A layer without "
        "bias gets a bias of zeros.",
        as_it_comes=True,
    )

    net = nn.Sequential(dense(rng, 20, 24, -0.5, 0.625), lif(0.75, spike_fn=SingleSpike, reset_fn=MembraneReset()))
    case(
        "zero",
        net,
        x,
        "MembraneReset, and norm_input=True, LIF's default: the input is multiplied by 1 - leak. "
        "Neither is in the file.",
        reset="zero",
        norm_input=True,
    )

    net = nn.Sequential(dense(rng, 20, 24, -0.25, 0.25), iaf(0.375))
    assert net[1].spike_fn is MultiSpike
    assert isinstance(net[1].reset_fn, MembraneSubtract)
    case(
        "multispike",
        net,
        x,
        "IAF with sinabs' default spike function, MultiSpike: a neuron may spike several times "
        "in one step. The file does not say so. Spikes are counts here.",
        several_spikes=True,
    )

    x = spikes_in(rng, 8, 10, (2, 6, 10), 0.2)
    net = nn.Sequential(
        conv(rng, 2, 4, -0.25, 0.375, padding=1),
        iaf(1.0, spike_fn=SingleSpike),
        sl.SumPool2d(2),
        conv(rng, 4, 6, -0.25, 0.25, stride=2, padding=1, bias=False),
        iaf(1.0, spike_fn=SingleSpike),
        nn.Flatten(),
        dense(rng, 36, 10, -0.25, 0.25),
        iaf(1.0, spike_fn=SingleSpike),
    )
    case("conv", net, x, "IAF with SingleSpike; SumPool2d. IF parameters have the full shape; v_reset is missing.")


if __name__ == "__main__":
    main()
