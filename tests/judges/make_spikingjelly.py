"""Networks of SpikingJelly, exported with its own exporter, with the spikes that SpikingJelly computes.

SpikingJelly asks for torchvision and torchaudio and does not need them here:

    python -m venv env
    env/bin/pip install torch==2.13.0 nir==1.0.8 nirtorch==2.6 scipy matplotlib tqdm loguru requests packaging
    env/bin/pip install --no-deps spikingjelly==2.0.0
    PYTHONHASHSEED=0 env/bin/python make_spikingjelly.py
"""

from importlib.metadata import version

import nir
import numpy as np
import torch
from _plain import Neuron, fill, save, snap, spikes_in
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir
from torch import nn

DT = 1e-4  # export_to_nir's default
EULER = (
    "NIR's own Euler step with dt: leak = 1 - dt/tau (tau_mem), gain = r*dt/tau; IF: gain = r*dt (r is 1/dt in the "
    "file); CubaLIF: current_decay = 1 - dt/tau_syn, current_gain = w_in*dt/tau_syn, and the membrane takes the "
    "current of the same step. v_leak = v_reset = the resting voltage. Round to float32 to get the values exactly."
)
ORDER = (
    "v = leak*v[t-1] + (1-leak)*v_reset + gain*I[t]; s[t] = v >= threshold; then v = v_reset where s[t], in the same "
    "step. v starts at v_reset. (CUBALIFNode: u[t] = c_decay*u[t-1] + I[t]; v = v_decay*v[t-1] + u[t]; u is not reset.)"
)


def dense(rng, n_in, n_out, low, high, **options):
    return fill(rng, layer.Linear(n_in, n_out, **options), low, high)


def conv(rng, c_in, c_out, low, high, **options):
    return fill(rng, layer.Conv2d(c_in, c_out, 3, **options), low, high)


def run(net, x):
    """Spikes of every SpikingJelly neuron, (n_samples, n_steps, *shape). Single-step mode."""
    layers = [m for m in net.modules() if isinstance(m, neuron.BaseNode)]
    record = [[] for _ in layers]
    for module, steps in zip(layers, record, strict=True):
        module.register_forward_hook(lambda _, __, out, steps=steps: steps.append(out.numpy()))
    functional.reset_net(net)
    with torch.no_grad():
        for t in range(x.shape[1]):
            net(torch.tensor(x[:, t], dtype=torch.float32))
    return [np.stack(steps, 1) for steps in record]


def decode(node):
    common = {"threshold": snap(node.v_threshold), "rest": snap(node.v_reset), "comparator": ">=", "reset": "zero"}
    if isinstance(node, nir.IF):
        return Neuron(gain=snap(node.r * DT), **common)
    if isinstance(node, nir.LIF):
        assert np.array_equal(node.v_leak, node.v_reset)
        return Neuron(leak=snap(1 - DT / node.tau), gain=snap(node.r * DT / node.tau), **common)
    assert not node.v_leak.any()
    assert not node.v_reset.any()
    return Neuron(
        leak=snap(1 - DT / node.tau_mem),
        gain=snap(node.r * DT / node.tau_mem),
        current_decay=snap(1 - DT / node.tau_syn),
        current_gain=snap(node.w_in * DT / node.tau_syn),
        **common,
    )


def case(name, net, x, notes):
    net.eval()
    graph = export_to_nir(net, torch.zeros(1, *x.shape[2:]), dt=DT)
    header = {
        "version": version("spikingjelly"),
        "torch": torch.__version__,
        "reset": "zero",
        "reset_timing": "same step",
        "comparator": ">=",
        "dt": DT,
        "decay_rule": EULER,
        "update_order": ORDER,
        "notes": notes,
    }
    save("spikingjelly", name, graph, x, run(net, x), decode, header)


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)

    x = spikes_in(rng, 8, 10, (20,), 0.3)
    net = nn.Sequential(
        dense(rng, 20, 24, -0.5, 0.75),
        neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=1.0),
        dense(rng, 24, 16, -0.25, 0.5, bias=False),
        neuron.LIFNode(tau=2.0, decay_input=False),
        dense(rng, 16, 10, -0.25, 0.375),
        neuron.IFNode(v_threshold=0.75),
    )
    case(
        "dense",
        net,
        x,
        "decay_input=True (r = 1 in the file: the input is divided by tau), decay_input=False "
        "(r = tau: it is not), and IF. The second layer's weights have no bias (nir.Linear).",
    )

    net = nn.Sequential(dense(rng, 20, 24, -0.25, 0.375), neuron.LIFNode(tau=2.0, decay_input=False, v_reset=-0.25))
    case(
        "vreset",
        net,
        x,
        "v_reset = v_leak = -0.25: the resting voltage, the reset voltage and the initial voltage. "
        "Exactly the same spikes as rest 0 with the threshold raised by 0.25.",
    )

    x = spikes_in(rng, 8, 10, (2, 6, 8), 0.2)
    net = nn.Sequential(
        conv(rng, 2, 4, -0.25, 0.375, padding=1),
        neuron.IFNode(),
        layer.AvgPool2d(2),
        conv(rng, 4, 6, -0.375, 0.875, stride=2, padding=1, bias=False),
        neuron.IFNode(),
        layer.Flatten(),
        dense(rng, 24, 10, -0.25, 0.375),
        neuron.IFNode(),
    )
    case(
        "conv",
        net,
        x,
        "AvgPool2d's kernel_size, stride and padding are scalars. A convolution without bias gets a "
        "bias of zeros. IF parameters are float64 arrays of the full shape.",
    )

    x = spikes_in(rng, 8, 8, (20,), 0.3)
    net = nn.Sequential(dense(rng, 20, 24, -0.25, 0.25), neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0))
    case("cuba", net, x, "CUBALIFNode.")


if __name__ == "__main__":
    main()
