"""Synthetic networks of the sizes that benchmarks are quoted for, thresholds set to a firing rate of 7 %."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from gossamer.compiler import (
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Network,
    Population,
    SynapticGraph,
    canonicalize,
    compile_network,
    gate,
    integrate_and_fire,
    load_checkpoint,
    projection_to_maps,
    quantize,
    to_synaptic_graph,
)
from gossamer.simulator import simulate
from gossamer.training.data import load_dataset

N_STEPS, RATE = 8, 0.07
VGG16 = (64, 64, "P", 128, 128, "P", 256, 256, 256, "P", 512, 512, 512, "P", 512, 512, 512, "P")


@cache
def w1(sparsity: float) -> tuple[SynapticGraph, np.ndarray]:
    """784-4096-4096-10 on 10 % random spikes, and 64 samples of them."""
    rng = np.random.default_rng(1)
    sizes = (784, 4096, 4096, 10)
    populations = [Population(name="in", shape=(784,), kind="input")]
    connections = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        weight = rng.standard_normal((n_out, n_in), np.float32) * (rng.random((n_out, n_in)) >= sparsity)
        connections.append(Connection(source=populations[-1].name, target=f"fc{i}", maps=(Dense(weight=weight),)))
        populations.append(Population(name=f"fc{i}", shape=(n_out,), neuron=integrate_and_fire(1.0)))
    x = (rng.random((64, N_STEPS, 784)) < 0.1).astype(np.uint8)
    network = _network("w1", populations, connections, InputCoding(kind="events"))
    return at_rate(compile_network(network), x[:8]), x


@cache
def w2(sparsity: float) -> tuple[SynapticGraph, np.ndarray]:
    """VGG-16 on 32 x 32 x 3 with max pooling over spikes and a dense first layer, and 64 real-valued samples."""
    x = np.random.default_rng(3).random((64, 3, 32, 32), np.float32)
    return at_rate(compile_network(vgg(VGG16, sparsity)), x[:4]), x


@cache
def trained_mnist(_: float) -> tuple[SynapticGraph, np.ndarray]:
    """examples/mnist-conv.safetensors, 5 % of whose weights are left, and 64 of MNIST's test images."""
    return _example("mnist-conv", "mnist")


@cache
def trained_cifar10(_: float) -> tuple[SynapticGraph, np.ndarray]:
    """examples/cifar10-small.safetensors, 10 % of whose weights are left, and 64 of CIFAR-10's test images."""
    return _example("cifar10-small", "cifar10")


def _example(name: str, data: str) -> tuple[SynapticGraph, np.ndarray]:
    network = load_checkpoint(Path(__file__).parent.parent / "examples" / f"{name}.safetensors")
    return compile_network(network), load_dataset(data, "test").limit(64).images()


def vgg(sizes: Sequence[int | str], sparsity: float) -> Network:
    """3 x 3 convolutions on 32 x 32 x 3, "P" for max pooling over spikes, and ten outputs; the first layer is dense."""
    rng = np.random.default_rng(2)
    populations = [Population(name="in", shape=(3, 32, 32), kind="input")]
    connections = []
    for size in (*sizes, "out"):
        channels, height, width = populations[-1].shape
        name = f"layer{len(populations)}"
        if size == "P":
            window = Conv2d(weight=np.ones((channels, 1, 2, 2), np.float32), stride=(2, 2), groups=channels)
            populations.append(Population(name=name, shape=(channels, height // 2, width // 2), neuron=gate()))
            connections.append(Connection(source=populations[-2].name, target=name, maps=(window,)))
            continue
        n_out, kernel = (10, 1) if size == "out" else (int(size), 3)
        weight = rng.standard_normal((n_out, channels, kernel, kernel)) * (2 / (kernel**2 * channels)) ** 0.5
        if channels > 3:
            weight *= rng.random(weight.shape) >= sparsity
        populations.append(Population(name=name, shape=(n_out, height, width), neuron=integrate_and_fire(1.0)))
        convolution = Conv2d(weight=weight, padding=(kernel // 2, kernel // 2))
        connections.append(Connection(source=populations[-2].name, target=name, maps=(convolution,)))
    return _network("vgg", populations, connections, InputCoding())


def resnet20(sparsity: float) -> Network:
    """ResNet-20 on 32 x 32 x 3; shortcuts are convolutions of 1 x 1 into membranes, and the first layer is dense."""
    rng = np.random.default_rng(5)
    populations = [Population(name="in", shape=(3, 32, 32), kind="input")]
    connections = []

    def convolve(source: Population, target: str, n_out: int, kernel: int, stride: int) -> None:
        n_in = source.shape[0]
        weight = rng.standard_normal((n_out, n_in, kernel, kernel)) * (2 / (kernel**2 * n_in)) ** 0.5
        if kernel == 3 and n_in > 3:
            weight *= rng.random(weight.shape) >= sparsity
        map_ = Conv2d(weight=weight, stride=(stride, stride), padding=(kernel // 2, kernel // 2))
        connections.append(Connection(source=source.name, target=target, maps=(map_,)))

    def layer(n_out: int, stride: int, shortcut: Population | None = None) -> None:
        source, name = populations[-1], f"layer{len(populations)}"
        size = source.shape[1] // stride
        convolve(source, name, n_out, 3, stride)
        if shortcut is not None:
            convolve(shortcut, name, n_out, 1, shortcut.shape[1] // size)
        populations.append(Population(name=name, shape=(n_out, size, size), neuron=integrate_and_fire(1.0)))

    layer(16, 1)
    for n_out in (16, 16, 16, 32, 32, 32, 64, 64, 64):
        before = populations[-1]
        layer(n_out, n_out // before.shape[0])
        layer(n_out, 1, shortcut=before)
    weight = rng.standard_normal((10, 64 * 8 * 8)) * (2 / (64 * 8 * 8)) ** 0.5
    connections.append(Connection(source=populations[-1].name, target="out", maps=(Dense(weight=weight),)))
    populations.append(Population(name="out", shape=(10,), neuron=integrate_and_fire(1.0)))
    return _network("resnet20", populations, connections, InputCoding())


def at_rate(graph: SynapticGraph, x: np.ndarray) -> SynapticGraph:
    """The graph with each integrating population's threshold bisected until it fires at RATE, front to back."""
    for i, population in enumerate(graph.populations):
        if population.neuron is None or not population.neuron.leak.all():
            continue
        low, high = 1e-4, 100.0
        for _ in range(12):
            threshold = (low * high) ** 0.5
            changed = replace(population, neuron=integrate_and_fire(threshold))
            populations = (*graph.populations[:i], changed, *graph.populations[i + 1 :])
            graph = replace(graph, populations=populations)
            rate = simulate(_up_to(graph, i), x).spike_rate(population.name)
            low, high = (threshold, high) if rate > RATE else (low, threshold)
    return graph


@cache
def quantized(make: Callable[[float], tuple[SynapticGraph, np.ndarray]], sparsity: float) -> SynapticGraph:
    """A workload in 8-bit integers."""
    return to_synaptic_graph(quantize(canonicalize(network_of(make(sparsity)[0]))))


def network_of(graph: SynapticGraph) -> Network:
    """The network that a graph was compiled from, in canonical form."""
    connections = tuple(
        Connection(
            source=q.source,
            target=q.target,
            maps=projection_to_maps(q, graph[q.source].shape, graph[q.target].shape),
            delay=q.delay,
        )
        for q in graph.projections
    )
    return Network(
        name=graph.name,
        populations=graph.populations,
        connections=connections,
        output=graph.output,
        n_steps=graph.n_steps,
        coding=graph.coding,
        arithmetic=graph.arithmetic,
    )


def _up_to(graph: SynapticGraph, last: int) -> SynapticGraph:
    populations = graph.populations[: last + 1]
    names = {p.name for p in populations}
    projections = tuple(q for q in graph.projections if q.target in names)
    return replace(graph, populations=populations, projections=projections, output=populations[-1].name)


def _network(name: str, populations: list[Population], connections: list[Connection], coding: InputCoding) -> Network:
    return Network(
        name=name,
        populations=tuple(populations),
        connections=tuple(connections),
        output=populations[-1].name,
        n_steps=N_STEPS,
        coding=coding,
    )
