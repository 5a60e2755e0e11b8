"""The pieces of which the model builders make an artificial network in the IR."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Literal

import numpy as np

from ...compiler import (
    AveragePool2d,
    BatchNorm,
    CompileError,
    Connection,
    Conv2d,
    Dense,
    Map,
    Network,
    Population,
    Scale,
    Shape,
)

PopulationKind = Literal["relu", "join", "readout"]


@dataclass(kw_only=True)
class Builder:
    """Final. Strings ReLU populations together, or joins them; weights are He-normal (variance 2 / fan-in) from `rng`.

    waiting: maps that the next connection begins with.
    Source: He et al. 2015.
    """

    input_shape: Shape
    rng: np.random.Generator
    batch_norm: bool = True
    populations: list[Population] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    waiting: list[Map] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.populations.append(Population(name="input", shape=self.input_shape, kind="input"))

    @property
    def shape(self) -> Shape:
        """What the next map gets."""
        shape = self.populations[-1].shape
        for m in self.waiting:
            shape = m.output_shape(shape)
        return shape

    def normalise(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """(x - mean) / std per channel, as the first map: pixels stay in [0, 1] outside of the network."""
        scale = 1 / np.asarray(std, np.float32)
        self.waiting.append(Scale(scale=scale, shift=-np.asarray(mean, np.float32) * scale))

    def kernels(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> Conv2d:
        """A convolution without bias; with stride 1 it keeps height and width."""
        weight = self._weights((n_out, n_in, kernel, kernel))
        return Conv2d(weight=weight, stride=(stride, stride), padding=(kernel // 2, kernel // 2))

    def norm(self, n_channels: int) -> BatchNorm:
        """Batch norm that is the identity until it has seen something."""
        zeros, ones = np.zeros(n_channels, np.float32), np.ones(n_channels, np.float32)
        return BatchNorm(mean=zeros, variance=ones, gamma=ones, beta=zeros)

    def convolution(self, name: str, n_channels: int, kernel: int, stride: int = 1) -> None:
        """A convolution without bias, then batch norm, then ReLU."""
        self.waiting.append(self.kernels(self.shape[0], n_channels, kernel, stride))
        self._close(name, "relu")

    def add(self, name: str, paths: Sequence[tuple[str, Sequence[Map]]], *, kind: PopulationKind = "relu") -> None:
        """A population that sums what arrives by several (source, maps)."""
        shapes = {p.name: p.shape for p in self.populations}
        connections = [Connection(source=source, target=name, maps=tuple(maps)) for source, maps in paths]
        self.populations.append(
            Population(name=name, shape=connections[0].output_shape(shapes[paths[0][0]]), kind=kind)
        )
        self.connections += connections

    def pool_everything(self) -> None:
        """Average over the whole picture, after the activation."""
        if len(self.shape) != 3:
            raise CompileError("GSM-201", "only pictures can be pooled", found=self.shape)
        _, height, width = self.shape
        self.waiting.append(AveragePool2d(kernel=(height, width), stride=(height, width)))

    def activation(self, name: str) -> None:
        """Batch norm, then ReLU, of what comes by now."""
        self._close(name, "relu")

    def dense(self, name: str, n: int) -> None:
        """A fully connected layer without bias, then batch norm, then ReLU."""
        self.waiting.append(Dense(weight=self._weights((n, prod(self.shape)))))
        self._close(name, "relu")

    def read_out(self, n_classes: int) -> None:
        """The last layer: logits, with a bias (of 0; Özdenizci & Legenstein 2024 have none before conversion)."""
        weight = self._weights((n_classes, prod(self.shape))) / np.float32(sqrt(2))
        self.waiting.append(Dense(weight=weight, bias=np.zeros(n_classes, np.float32)))
        self._close("logits", "readout")

    def network(self, name: str) -> Network:
        """The finished network."""
        return Network(
            name=name,
            populations=tuple(self.populations),
            connections=tuple(self.connections),
            output=self.populations[-1].name,
            n_steps=1,
        )

    def _weights(self, shape: Shape) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return self.rng.standard_normal(shape, np.float32) * np.float32(sqrt(2 / prod(shape[1:])))

    def _close(self, name: str, kind: PopulationKind) -> None:
        source, shape = self.populations[-1].name, self.shape
        if kind == "relu" and self.batch_norm:
            self.waiting.append(self.norm(shape[0]))
        self.populations.append(Population(name=name, shape=shape, kind=kind))
        self.connections.append(Connection(source=source, target=name, maps=tuple(self.waiting)))
        self.waiting.clear()
