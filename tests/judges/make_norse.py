"""Networks of Norse, exported with its own exporter, with the spikes that Norse computes.

Run from this folder:

    python -m venv env && env/bin/pip install torch==2.13.0 norse==1.1.0 nir==1.0.8 nirtorch==2.6
    env/bin/pip uninstall -y torchvision    # if pip brought one that does not fit this torch; it is not needed
    PYTHONHASHSEED=0 env/bin/python make_norse.py
"""

import warnings
from importlib.metadata import version

import nir
import norse.torch as norse
import numpy as np
import torch
from _plain import Neuron, fill, save, snap, spikes_in
from norse.torch import to_nir
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.module.snn import SNNCell
from torch import nn

DEFAULT = 1e-3  # the default dt of the cells and of to_nir: float32 blurs the file's time constants
DYADIC = 2**-10  # a dt that float32 does not blur
RULE = (
    "The exporter writes tau = dt/tau_inv where 1/tau_inv seconds was meant, so what the cell multiplied by, "
    "dt*tau_inv, is dt*dt/tau: NIR's own Euler step with dt*dt in place of dt. LIF, LI: leak = 1 - dt*dt/tau, "
    "gain = dt*dt/tau (r = 1). CubaLIF: current_decay = 1 - dt*dt/tau_syn, but the input enters the current with gain "
    "1 (NIR's w_in*dt/tau_syn does not hold); leak = 1 - dt*dt/tau_mem, gain = dt*dt/tau_mem. IF: gain = r = 1 per "
    "step, not r*dt. With dt = 1e-3 the quotients are off by up to 1e-7 (round to a multiple of 2**-12 to get "
    "them exactly); with dt = 2**-10 they are exact."
)
ORDER = (
    "LIFBoxCell: v = v + dt*tau_mem_inv*(v_leak - v + I[t]); s[t] = v > v_th; then the reset, in the same step. "
    "LIFCell: i = i_kept + I[t]; v = v + dt*tau_mem_inv*(v_leak - v + i), so the membrane takes the current of the "
    "same step, before its decay; then i_kept = i - dt*tau_syn_inv*i, s and reset; the current is not reset. IAFCell: "
    "v = v + I[t]. LIBoxCell: as LIFBoxCell without spikes; its output is v."
)


def dense(rng, n_in, n_out, low, high, **options):
    return fill(rng, nn.Linear(n_in, n_out, **options), low, high)


def conv(rng, c_in, c_out, low, high, **options):
    return fill(rng, nn.Conv2d(c_in, c_out, 3, **options), low, high)


def full(shape, value):
    """Parameters at the population's full shape; NIR's type check refuses Norse's usual scalars."""
    return torch.full((shape,) if isinstance(shape, int) else shape, float(value))


def lif_box(shape, factor, threshold, dt, reset=reset_value):
    return norse.LIFBoxCell(
        LIFBoxParameters(
            tau_mem_inv=full(shape, factor / dt),
            v_leak=full(shape, 0),
            v_th=full(shape, threshold),
            v_reset=full(shape, 0),
            reset_method=reset,
        ),
        dt=dt,
    )


def iaf(shape, threshold):
    return norse.IAFCell(IAFParameters(v_th=full(shape, threshold), v_reset=full(shape, 0)))


def run(net, x):
    """Output of every stateful cell, (n_samples, n_steps, *shape)."""
    cells = [m for m in net if isinstance(m, SNNCell)]
    record, state = [[] for _ in cells], None
    for cell, steps in zip(cells, record, strict=True):
        cell.register_forward_hook(lambda _, __, out, steps=steps: steps.append(out[0].numpy()))
    with torch.no_grad():
        for t in range(x.shape[1]):
            _, state = net(torch.tensor(x[:, t], dtype=torch.float32), state)
    return [np.stack(steps, 1) for steps in record]


def case(name, net, x, notes, *, dt=DYADIC, reset="zero", sample=None):
    def decode(node):
        if isinstance(node, nir.LI):
            return Neuron(leak=snap(1 - dt * dt / node.tau), gain=snap(node.r * dt * dt / node.tau))
        common = {"threshold": snap(node.v_threshold), "comparator": ">", "reset": reset}
        if isinstance(node, nir.IF):
            return Neuron(gain=snap(node.r), **common)
        if isinstance(node, nir.LIF):
            return Neuron(leak=snap(1 - dt * dt / node.tau), gain=snap(node.r * dt * dt / node.tau), **common)
        return Neuron(
            leak=snap(1 - dt * dt / node.tau_mem),
            gain=snap(node.r * dt * dt / node.tau_mem),
            current_decay=snap(1 - dt * dt / node.tau_syn),
            current_gain=snap(node.w_in),
            **common,
        )

    sample = torch.zeros(x.shape[2:]) if sample is None else sample
    with torch.no_grad():
        graph = to_nir(net, sample, dt=dt)
    if any(isinstance(node, nir.Conv2d) for node in graph.nodes.values()):
        graph.infer_types()  # fills in Conv2d.input_shape: nir.write refuses the None that the exporter leaves
    header = {
        "version": version("norse"),
        "torch": torch.__version__,
        "reset": reset,
        "reset_timing": "same step",
        "comparator": ">",
        "dt": dt,
        "decay_rule": RULE,
        "update_order": ORDER,
        "notes": notes,
    }
    outputs = run(net, x)
    readout = outputs.pop() if isinstance(net[-1], norse.LIBoxCell) else None
    save("norse", name, graph, x, outputs, decode, header, readout=readout)


def main():
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # nirtorch.extract_nir_graph
    torch.set_num_threads(1)
    rng = np.random.default_rng(3)

    x = spikes_in(rng, 8, 10, (20,), 0.3)
    readout = norse.LIBoxCell(LIBoxParameters(tau_mem_inv=full(10, 0.5 / DEFAULT), v_leak=full(10, 0)), dt=DEFAULT)
    net = norse.SequentialState(
        dense(rng, 20, 24, -0.5, 0.75),
        lif_box(24, 0.5, 1.0, DEFAULT),
        dense(rng, 24, 16, -0.25, 0.375, bias=False),
        iaf(16, 1.0),
        dense(rng, 16, 10, -0.5, 0.5),
        readout,
    )
    case(
        "dense",
        net,
        x,
        "LIFBoxCell, IAFCell, and LIBoxCell as a readout (nir.LI). A layer without bias gets a bias of zeros.",
        dt=DEFAULT,
    )

    net = norse.SequentialState(dense(rng, 20, 24, -0.5, 0.75), lif_box(24, 0.5, 0.75, DYADIC, reset_subtract))
    case(
        "subtract",
        net,
        x,
        "reset_method=reset_subtract; the file is the same as with a reset to zero.",
        reset="subtract",
    )

    parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(0.5 / DYADIC), v_th=torch.tensor(0.875))
    net = norse.SequentialState(dense(rng, 20, 24, -0.5, 0.75), norse.LIFBoxCell(parameters, dt=DYADIC))
    case(
        "scalar",
        net,
        x,
        "Scalar (0-d) neuron parameters, as Norse has them by default, and a batch axis of 1 in the "
        "shapes of Input and Output, because to_nir was given a batched sample. nir.write can only write 0-d arrays "
        "with compression=None.",
        sample=torch.zeros(1, 20),
    )

    x = spikes_in(rng, 8, 8, (20,), 0.3)
    parameters = LIFParameters(
        tau_syn_inv=full(24, 0.5 / DYADIC),
        tau_mem_inv=full(24, 0.25 / DYADIC),
        v_leak=full(24, 0),
        v_th=full(24, 0.5),
        v_reset=full(24, 0),
    )
    net = norse.SequentialState(dense(rng, 20, 24, -0.375, 0.5), norse.LIFCell(parameters, dt=DYADIC))
    case("cuba", net, x, "LIFCell. w_in is missing in the exporter's call and becomes 1.")

    x = spikes_in(rng, 8, 10, (2, 7, 9), 0.2)
    net = norse.SequentialState(
        conv(rng, 2, 4, -0.25, 0.5, stride=2, padding=1),
        iaf((4, 4, 5), 1.0),
        conv(rng, 4, 6, -0.25, 0.375),
        iaf((6, 2, 3), 1.0),
    )
    case("conv", net, x, "No flattening and no pooling: Norse's exporter has neither. Output is (6, 2, 3).")


if __name__ == "__main__":
    main()
