"""One framework's side of training.py: builds a network, prints its logits, times a step for each line it reads."""

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.compiler import BatchNorm, Conv2d, Dense, Network
from gossamer.training import TorchNetwork, convnet, to_spiking
from gossamer.training.freed_memory import kept_memory, returned_memory

N_STEPS, THREADS, THRESHOLD, N_CLASSES = 8, 2, 1.0, 10
NETWORKS = {
    "conv6": ("six 3x3 convolutions, 32, 32, 64, 64, 128, 128 channels, on 3x32x32, 2x2 pooling after every second",
              (3, 32, 32), [32, 32, "A", 64, 64, "A", 128, 128, "A"], []),
    "dense3": ("dense layers of 1024, 1024 and 512 neurons on 784 pixels", (1, 28, 28), [], [1024, 1024, 512]),
}  # fmt: skip


def network_of(name: str) -> Network:
    """With batch norm after every layer; spiking, reset to zero; the input is not normalised."""
    _, shape, channels, hidden = NETWORKS[name]
    n = shape[0]
    ann = convnet(shape, N_CLASSES, seed=0, mean=[0.0] * n, std=[1.0] * n, channels=channels, hidden=hidden)
    return to_spiking(ann, {p.name: THRESHOLD for p in ann.populations if p.kind == "relu"}, n_steps=N_STEPS)


Steps = tuple[nn.Module, Callable[[Tensor], Tensor]]


def ours(network: Network, *, low_memory: bool = False) -> Steps:
    """Gossamer."""
    model = TorchNetwork(network, low_memory=low_memory)
    return model, model


def _layers(network: Network) -> list[tuple[nn.Module, bool]]:
    """(layer with the network's weights, does it spike) in order, pooling apart."""
    layers: list[tuple[nn.Module, bool]] = []
    for connection in network.connections:
        for m in connection.maps:
            match m:
                case Conv2d():
                    c_out, c_in, k, _ = m.weight.shape
                    layer: nn.Module = nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=False)
                    layer.weight = nn.Parameter(torch.tensor(m.weight))
                    layers.append((layer, False))
                case Dense():
                    layer = nn.Linear(m.weight.shape[1], m.weight.shape[0], bias=m.bias is not None)
                    layer.weight = nn.Parameter(torch.tensor(m.weight))
                    if m.bias is not None:
                        layer.bias = nn.Parameter(torch.tensor(m.bias))
                    layers += [(nn.Flatten(), False), (layer, False)]
                case BatchNorm():
                    n, is_picture = len(m.gamma), isinstance(layers[-1][0], nn.Conv2d)
                    layers.append((nn.BatchNorm2d(n) if is_picture else nn.BatchNorm1d(n), True))
                case _:
                    if type(m).__name__ == "AveragePool2d":
                        layers.append((nn.AvgPool2d(2), False))
    return layers


def spikingjelly(network: Network, *, tuned: bool) -> Steps:
    """Multi-step. As its tutorials write it, or tuned: what is the same in every step once, and channels last."""
    from spikingjelly.activation_based import base, functional, layer, neuron, surrogate

    parts: list[nn.Module] = []
    for module, spikes in _layers(network):
        parts.append(layer.SeqToANNContainer(module))
        if spikes:
            slope = surrogate.PiecewiseQuadratic(alpha=1.0)
            parts.append(neuron.IFNode(v_threshold=THRESHOLD, v_reset=0.0, surrogate_function=slope))
    model = nn.Sequential(*parts)
    functional.set_step_mode(nn.ModuleList(m for m in parts if isinstance(m, base.StepModule)), "m")
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    first = next(i for i, part in enumerate(parts) if isinstance(part, neuron.IFNode))

    def run(x: Tensor) -> Tensor:
        functional.reset_net(model)
        if not tuned:
            return model(x.unsqueeze(0).repeat(N_STEPS, *[1] * x.ndim)).mean(0)
        current = model[:first](x.unsqueeze(0))
        return model[first:](current.expand(N_STEPS, *current.shape[1:])).mean(0)

    return model, run


def snntorch(network: Network) -> Steps:
    """A loop over steps, as its tutorials write it; batch norm takes its statistics from each step."""
    import snntorch as snn

    layers = _layers(network)
    options = {"beta": 1.0, "threshold": THRESHOLD, "reset_mechanism": "zero", "reset_delay": False}
    neurons = nn.ModuleDict(
        {str(i): snn.Leaky(**options, spike_grad=Triangle.apply) for i, (_, spikes) in enumerate(layers) if spikes}
    )
    model = nn.ModuleList([*(module for module, _ in layers), neurons])

    def run(x: Tensor) -> Tensor:
        membranes = {name: leaky.reset_mem() for name, leaky in neurons.items()}
        total = torch.zeros(())
        for _ in range(N_STEPS):
            signal = x
            for i, (module, spikes) in enumerate(layers):
                signal = module(signal)
                if spikes:
                    signal, membranes[str(i)] = neurons[str(i)](signal, membranes[str(i)])
            total = total + signal
        return total / N_STEPS

    return model, run


class Triangle(torch.autograd.Function):
    """The surrogate of all."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        (u,) = ctx.saved_tensors
        return grad * (1 - u.abs()).clamp(min=0)


RUNNERS: dict[str, tuple[str, Callable[[Network], Steps]]] = {
    "Gossamer": ("gossamer", ours),
    "Gossamer, `low_memory`": ("gossamer", lambda network: ours(network, low_memory=True)),
    "SpikingJelly, multi-step": ("spikingjelly", lambda network: spikingjelly(network, tuned=False)),
    "SpikingJelly, tuned by us": ("spikingjelly", lambda network: spikingjelly(network, tuned=True)),
    "snnTorch": ("snntorch", snntorch),
}


def peak() -> float:
    """Most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Answer line by line."""
    torch.set_num_threads(THREADS)
    name, network_name, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
    network = network_of(network_name)
    model, run = RUNNERS[name][1](network)
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.random((batch, *network.input.shape), np.float32))
    y = torch.tensor(rng.integers(0, N_CLASSES, batch))
    model.eval()
    with torch.no_grad():
        print(json.dumps({"logits": run(x[:8]).flatten().tolist()}), flush=True)
    model.train()
    before = peak()
    memory = nullcontext
    if name.startswith("Gossamer"):  # as `run_recipe` does
        memory = returned_memory if "low_memory" in name else kept_memory
    with memory():
        answer(model, run, x, y, before)


def answer(model: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, before: float) -> None:
    """A step for each line of input."""
    for _ in sys.stdin:
        start = time.perf_counter()
        for p in model.parameters():
            p.grad = None
        F.cross_entropy(run(x), y).backward()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "megabytes": peak() - before}), flush=True)


if __name__ == "__main__":
    main()
