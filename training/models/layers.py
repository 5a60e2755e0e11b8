"""The pieces of which the model builders make an artificial network in the IR."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod, sqrt

import numpy as np

from ...compiler import BatchNorm, Connection, Conv2d, Dense, Map, Network, Population, Scale, Shape


@dataclass(kw_only=True)
class Builder:
    """Final. Strings ReLU populations together; weights are He-normal (variance 2 / fan-in) from `rng`.

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

    def convolution(self, name: str, n_channels: int, kernel: int) -> None:
        """A convolution that keeps height and width, without bias, then batch norm, then ReLU."""
        n_in = self.shape[0]
        weight = self._weights((n_channels, n_in, kernel, kernel))
        self.waiting.append(Conv2d(weight=weight, padding=(kernel // 2, kernel // 2)))
        self._close(name, "relu")

    def dense(self, name: str, n: int) -> None:
        """A fully connected layer without bias, then batch norm, then ReLU."""
        self.waiting.append(Dense(weight=self._weights((n, prod(self.shape)))))
        self._close(name, "relu")

    def read_out(self, n_classes: int) -> None:
        """The last layer: logits, with a bias."""
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

    def _close(self, name: str, kind: str) -> None:
        source, shape = self.populations[-1].name, self.shape
        if kind == "relu" and self.batch_norm:
            zeros, ones = np.zeros(shape[0], np.float32), np.ones(shape[0], np.float32)
            self.waiting.append(BatchNorm(mean=zeros, variance=ones, gamma=ones, beta=zeros))
        self.populations.append(Population(name=name, shape=shape, kind="relu" if kind == "relu" else "readout"))
        self.connections.append(Connection(source=source, target=name, maps=tuple(self.waiting)))
        self.waiting.clear()
