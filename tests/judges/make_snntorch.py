"""Networks of snnTorch, exported with its own exporter, with the spikes that snnTorch computes.

Run from this folder:

    python -m venv env && env/bin/pip install torch==2.13.0 snntorch==1.0.0 nir==1.0.8 nirtorch==2.6
    PYTHONHASHSEED=0 env/bin/python make_snntorch.py
"""

import warnings

import nir
import numpy as np
import snntorch as snn
import torch
from _plain import Neuron, dyadic, fill, save, snap, spikes_in
from snntorch.export_nir import export_to_nir
from torch import nn

DT = 1e-4  # fixed in snntorch/export_nir.py
EULER = (
    "NIR's own Euler step with dt: leak = 1 - dt/tau (tau_mem), gain = r*dt/tau; CubaLIF: current_decay = 1 - "
    "dt/tau_syn, current_gain = w_in*dt/tau_syn, and the membrane takes the current of the same step. The gains "
    "are 1. Round to float32 to get the decays exactly. tau = r = inf (beta = 1): leak = 1, gain = 1."
)
DELAYED = "next step, after the decay"
ORDERS = {
    DELAYED: "v[t] = beta*v[t-1] + I[t] - s[t-1]*threshold; s[t] = v[t] > threshold. The threshold is subtracted one "
    "step late and is not multiplied by beta (reset_delay=True, the default). Equal to an immediate subtraction of "
    "threshold/beta.",
    "same step": "v = beta*v[t-1] + I[t]; s[t] = v > threshold; then the reset, in the same step.",
}


def dense(rng, n_in, n_out, low, high, **options):
    return fill(rng, nn.Linear(n_in, n_out, **options), low, high)


def conv(rng, c_in, c_out, low, high, **options):
    return fill(rng, nn.Conv2d(c_in, c_out, 3, **options), low, high)


def leaky(shape, beta, threshold=1.0, **options):
    return snn.Leaky(beta=full(shape, beta), threshold=full(shape, threshold), init_hidden=True, **options)


def synaptic(n, alpha, beta, threshold):
    return snn.Synaptic(alpha=full(n, alpha), beta=full(n, beta), threshold=full(n, threshold), init_hidden=True)


def full(shape, value):
    """With nir >= 1.0.5 the exporter needs every parameter at the population's full shape."""
    return value if torch.is_tensor(value) else torch.full((shape,) if isinstance(shape, int) else shape, float(value))


def run(net, x):
    """Spikes of every snnTorch neuron, (n_samples, n_steps, *shape)."""
    layers = [m for m in net.modules() if isinstance(m, snn.SpikingNeuron)]
    record = [[] for _ in layers]
    for layer, steps in zip(layers, record, strict=True):
        layer.reset_mem()
        layer.register_forward_hook(lambda _, __, out, steps=steps: steps.append(out.detach().numpy()))
    with torch.no_grad():
        for t in range(x.shape[1]):
            net(torch.tensor(x[:, t], dtype=torch.float32))
    return [np.stack(steps, 1) for steps in record]


def case(name, net, x, reset, timing, notes, **options):
    def euler(tau, factor):
        tau, factor = np.asarray(tau, float), np.asarray(factor, float)
        finite = np.isfinite(tau)
        gain = np.where(finite, factor * DT / np.where(finite, tau, 1), 1.0)
        return snap(1 - DT / tau), snap(gain)

    def decode(node):
        leak, gain = euler(node.tau if isinstance(node, nir.LIF) else node.tau_mem, node.r)
        decay, current_gain = euler(node.tau_syn, node.w_in) if isinstance(node, nir.CubaLIF) else (0.0, 1.0)
        assert gain == current_gain == 1
        threshold = snap(node.v_threshold)
        return Neuron(
            leak=leak,
            gain=gain,
            current_decay=decay,
            current_gain=current_gain,
            threshold=threshold,
            comparator=">",
            reset=reset,
            reset_timing=timing,
        )

    graph = export_to_nir(net, torch.zeros(1, *x.shape[2:]), ignore_dims=[0])
    header = {
        "version": snn.__version__,
        "torch": torch.__version__,
        "reset": reset,
        "reset_timing": timing,
        "comparator": ">",
        "dt": DT,
        "decay_rule": EULER,
        "update_order": ORDERS[timing],
        "notes": notes,
    }
    # Decays that the framework used, to be found again in the file:
    for layer, stage in zip(
        [m for m in net.modules() if isinstance(m, snn.SpikingNeuron)],
        [decode(n) for n in graph.nodes.values() if hasattr(n, "v_threshold")],
        strict=True,
    ):
        assert np.all(np.float32(stage.leak) == layer.beta.numpy()), name
        assert not hasattr(layer, "alpha") or np.all(np.float32(stage.current_decay) == layer.alpha.numpy())
    save("snntorch", name, graph, x, run(net, x), decode, header, **options)


def main():
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # nirtorch.extract_nir_graph
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)

    x = spikes_in(rng, 8, 10, (20,), 0.3)
    beta = torch.tensor(rng.choice([0.5, 0.75], 16).astype(np.float32))
    threshold = torch.tensor(rng.choice([0.75, 1.0, 1.25], 16).astype(np.float32))
    net = nn.Sequential(
        dense(rng, 20, 24, -0.25, 0.5),
        leaky(24, 0.5, 1.5),
        dense(rng, 24, 16, -0.25, 0.5, bias=False),
        leaky(16, beta, threshold),
        dense(rng, 16, 10, -0.25, 0.5),
        leaky(10, 0.5),
    )
    case(
        "dense",
        net,
        x,
        "subtract",
        DELAYED,
        "snnTorch's defaults. Layer 1 has its own beta and threshold per "
        "neuron; layer 1's input weights have no bias (nir.Linear, where the others are nir.Affine).",
    )

    net = nn.Sequential(
        dense(rng, 20, 24, -0.25, 0.5),
        leaky(24, 0.5, 1.0, reset_mechanism="zero"),
        dense(rng, 24, 10, -0.25, 0.5),
        leaky(10, 0.5, 2.0, reset_mechanism="zero"),
    )
    case(
        "zero",
        net,
        x,
        "zero",
        "same step",
        "reset_mechanism='zero'. snnTorch zeroes v[t-1] before the decay of the "
        "next step, which gives the same spikes as zeroing in the same step. (Synaptic, RLeaky and RSynaptic with "
        "'zero' also throw away the input of the step after a spike; no file here uses that.)",
    )

    net = nn.Sequential(dense(rng, 20, 24, -0.125, 0.25), leaky(24, 0.5, 1.0, reset_delay=False))
    case(
        "immediate",
        net,
        x,
        "subtract",
        "same step",
        "reset_delay=False. True as stated only while the membrane "
        "after the reset stays at or below the threshold, as it does here: above it, snnTorch subtracts once more "
        "before the next comparison, and adds the threshold back where no spike follows.",
    )

    net = nn.Sequential(dense(rng, 20, 24, -0.25, 0.375), leaky(24, 1.0))
    case(
        "if",
        net,
        x,
        "subtract",
        DELAYED,
        "beta = 1, so tau = r = inf in the file: r*dt/tau is NaN unless inf is "
        "treated apart. With beta = 1 a late and an immediate subtraction are the same.",
        as_it_comes=True,
    )

    x = spikes_in(rng, 8, 10, (2, 8, 10), 0.2)
    net = nn.Sequential(
        conv(rng, 2, 4, -0.25, 0.5, padding=1),
        leaky((4, 8, 10), 0.5),
        nn.AvgPool2d(2),
        conv(rng, 4, 6, -0.375, 0.75, stride=2, padding=1, bias=False),
        leaky((6, 2, 3), 0.5),
        nn.Flatten(),
        dense(rng, 36, 10, -0.375, 0.5),
        leaky(10, 0.5),
    )
    case(
        "conv",
        net,
        x,
        "subtract",
        DELAYED,
        "Average pooling 2x2 stands between two populations. A convolution "
        "without bias gets a bias of zeros in the file. AvgPool2d's kernel_size and stride are scalars, and the "
        "exporter always writes padding 0.",
    )

    x = spikes_in(rng, 8, 8, (20,), 0.3)
    net = nn.Sequential(
        dense(rng, 20, 24, -0.25, 0.25),
        synaptic(24, 0.5, 0.75, 1.0),
        dense(rng, 24, 10, -0.25, 0.375),
        synaptic(10, 0.5, 0.5, 1.0),
    )
    case(
        "cuba",
        net,
        x,
        "subtract",
        DELAYED,
        "Synaptic: u[t] = alpha*u[t-1] + I[t]; the membrane takes u[t], the "
        "current of the same step; the current is not reset.",
    )

    net = nn.Sequential(
        dense(rng, 20, 16, -0.25, 0.375),
        snn.RLeaky(beta=full(16, 0.5), linear_features=16, threshold=full(16, 1.0), init_hidden=True),
        dense(rng, 16, 10, -0.25, 0.625),
        snn.RLeaky(
            beta=full(10, 0.5),
            all_to_all=False,
            V=torch.tensor(dyadic(rng, 10, -0.5, 0.5)),
            threshold=full(10, 1.0),
            init_hidden=True,
        ),
    )
    fill(rng, net[1].recurrent, -0.375, 0.375)
    case(
        "recurrent",
        net,
        x,
        "subtract",
        DELAYED,
        "RLeaky: I[t] = W.s_in[t] + b + W_rec.s[t-1] + b_rec; b_rec counts "
        "from step 0 on. The first recurrence is all to all (nir.Affine), the second one to one (V, written as a "
        "diagonal nir.Linear). Nodes '1.lif' and '1.w_rec' lie in the top graph and form a cycle; their "
        "parameters are float64.",
    )

    net = nn.Sequential(
        dense(rng, 20, 16, -0.25, 0.3125),
        snn.RSynaptic(
            alpha=full(16, 0.5), beta=full(16, 0.5), linear_features=16, threshold=full(16, 1.0), init_hidden=True
        ),
    )
    fill(rng, net[1].recurrent, -0.375, 0.375)
    case(
        "recurrent_cuba",
        net,
        x,
        "subtract",
        DELAYED,
        "RSynaptic: the recurrent spikes enter the synaptic current: "
        "u[t] = alpha*u[t-1] + W.s_in[t] + b + W_rec.s[t-1] + b_rec.",
    )


if __name__ == "__main__":
    main()
