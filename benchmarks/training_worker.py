"""One framework's side of training.py: builds a network, prints its logits, times a step for each line it reads."""

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.compiler import AveragePool2d, BatchNorm, Connection, Conv2d, Dense, Network, Scale
from gossamer.training import TorchNetwork, convnet, resnet20, to_spiking
from gossamer.training.freed_memory import kept_memory, returned_memory

N_STEPS, THREADS, N_CLASSES = 8, 2, 10
NETWORKS = {
    "conv6": "six 3x3 convolutions, 32, 32, 64, 64, 128, 128 channels, on 3x32x32, 2x2 pooling after every second",
    "dense3": "dense layers of 1024, 1024 and 512 neurons on 784 pixels",
    "resnet20": "ResNet-20 with 16, 32 and 64 channels on 3x32x32, activation after the weighted sum",
}


def network_of(name: str) -> Network:
    """With batch norm after every layer; spiking, reset to zero; the input is not normalised."""
    shape = (1, 28, 28) if name == "dense3" else (3, 32, 32)
    options: dict[str, Any] = {"seed": 0, "mean": [0.0] * shape[0], "std": [1.0] * shape[0]}
    if name == "resnet20":
        ann = resnet20(shape, N_CLASSES, **options)
    elif name == "conv6":
        channels = (32, 32, "A", 64, 64, "A", 128, 128, "A")
        ann = convnet(shape, N_CLASSES, channels=channels, hidden=(), **options)
    else:
        ann = convnet(shape, N_CLASSES, channels=(), hidden=(1024, 1024, 512), **options)
    threshold = 0.25 if name == "resnet20" else 1.0  # else nothing would spike behind its many layers
    return to_spiking(ann, {p.name: threshold for p in ann.populations if p.kind == "relu"}, n_steps=N_STEPS)


Steps = tuple[nn.Module, Callable[[Tensor], Tensor]]


def ours(network: Network, *, low_memory: bool = False) -> Steps:
    """Gossamer."""
    model = TorchNetwork(network, low_memory=low_memory)
    return model, model


class Weighted(nn.Module):
    """A factor that is trained."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def _modules(connection: Connection) -> list[nn.Module]:
    """PyTorch's own layers with a connection's weights."""
    modules: list[nn.Module] = []
    for m in connection.maps:
        match m:
            case Conv2d():
                c_out, c_in, k, _ = m.weight.shape
                layer: nn.Module = nn.Conv2d(c_in, c_out, k, m.stride, m.padding, bias=False)
                layer.weight = nn.Parameter(torch.tensor(m.weight))
                modules.append(layer)
            case Dense():
                layer = nn.Linear(m.weight.shape[1], m.weight.shape[0], bias=m.bias is not None)
                layer.weight = nn.Parameter(torch.tensor(m.weight))
                if m.bias is not None:
                    layer.bias = nn.Parameter(torch.tensor(m.bias))
                modules += [nn.Flatten(), layer]
            case BatchNorm():
                n, is_picture = len(m.gamma), isinstance(modules[-1], nn.Conv2d)
                modules.append(nn.BatchNorm2d(n) if is_picture else nn.BatchNorm1d(n))
            case AveragePool2d():
                modules.append(nn.AvgPool2d(m.kernel, m.stride))
            case Scale() if m.shift is None and m.scale.ndim == 0:
                modules.append(Weighted(float(m.scale)))
            case Scale():
                assert np.all(m.scale == 1), "the normalisation of the pixels, which is none here"
            case _:
                raise SystemExit(f"{m}: not in these networks")
    return modules


# population, its threshold or None if it does not spike, what comes in from where
Layer = tuple[str, float | None, list[tuple[str, nn.Module]]]


def _layers(network: Network, wrap: Callable[[list[nn.Module]], nn.Module]) -> list[Layer]:
    """In the order of computation, without the input."""
    layers: list[Layer] = []
    for p in network.populations:
        into = [(c.source, wrap(_modules(c))) for c in network.connections if c.target == p.name]
        if into:
            layers.append((p.name, None if p.neuron is None else float(p.neuron.threshold), into))
    return layers


def _all_of(layers: list[Layer], neurons: dict[str, nn.Module]) -> nn.ModuleList:
    return nn.ModuleList([*(module for *_, into in layers for _, module in into), *neurons.values()])


def spikingjelly(network: Network, *, tuned: bool) -> Steps:
    """Multi-step. As its tutorials write it, or tuned: what is the same in every step once, and channels last."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    layers = _layers(network, lambda modules: layer.SeqToANNContainer(*modules))
    options = {"v_reset": 0.0, "surrogate_function": surrogate.PiecewiseQuadratic(alpha=1.0), "step_mode": "m"}
    neurons: dict[str, nn.Module] = {
        name: neuron.IFNode(v_threshold=threshold, **options) for name, threshold, _ in layers if threshold is not None
    }
    model = _all_of(layers, neurons)
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    first = network.input.name

    def run(x: Tensor) -> Tensor:
        functional.reset_net(model)
        emitted = {first: x.unsqueeze(0) if tuned else x.unsqueeze(0).repeat(N_STEPS, *[1] * x.ndim)}
        for name, threshold, into in layers:
            current = sum(module(emitted[source]) for source, module in into)
            if len(current) < N_STEPS:
                current = current.expand(N_STEPS, *current.shape[1:])
            emitted[name] = current if threshold is None else neurons[name](current)
        return emitted[network.output].mean(0)

    return model, run


def snntorch(network: Network) -> Steps:
    """A loop over steps, as its tutorials write it; batch norm takes its statistics from each step."""
    import snntorch as snn

    layers = _layers(network, lambda modules: nn.Sequential(*modules))
    options = {"beta": 1.0, "reset_mechanism": "zero", "reset_delay": False, "spike_grad": Triangle.apply}
    neurons: dict[str, nn.Module] = {
        name: snn.Leaky(threshold=threshold, **options) for name, threshold, _ in layers if threshold is not None
    }

    def run(x: Tensor) -> Tensor:
        membranes = {name: leaky.reset_mem() for name, leaky in neurons.items()}
        total = torch.zeros(())
        for _ in range(N_STEPS):
            emitted = {network.input.name: x}
            for name, threshold, into in layers:
                current = sum(module(emitted[source]) for source, module in into)
                emitted[name] = current
                if threshold is not None:
                    emitted[name], membranes[name] = neurons[name](current, membranes[name])
            total = total + emitted[network.output]
        return total / N_STEPS

    return _all_of(layers, neurons), run


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
