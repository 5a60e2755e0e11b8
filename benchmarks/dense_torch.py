"""The rival: the same network as dense PyTorch, all steps of a layer in one convolution, its neurons a compiled loop.

float32 and bfloat16 in NCHW or channels-last, and 8-bit integers through oneDNN (channels-last), which sums exactly.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gossamer.compiler import Csr, Population, SharedCsr, SynapticGraph

torch._dynamo.config.recompile_limit = 1_000  # a loop for each shape
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


def fire(
    current: Tensor, v: Tensor, bias: Tensor | None, threshold: Tensor, to_zero: bool, n_steps: int, pools: int,
    out: torch.dtype,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Integrate-and-fire over (n_steps or 1, n, ...) from membranes v on, reset by subtraction or to zero; then `pools`
    times 2x2 OR pooling. Returns spikes and membranes.
    """
    spikes = []
    for t in range(n_steps):
        arrived = current[t if len(current) > 1 else 0]
        v = v + (arrived if bias is None else arrived + bias)
        fired = v >= threshold
        v = torch.where(fired, 0 if to_zero else v - threshold, v)
        for _ in range(pools):
            fired = fired[..., ::2, :] | fired[..., 1::2, :]
            fired = fired[..., ::2] | fired[..., 1::2]
        spikes.append(fired.to(out))
    return torch.stack(spikes), v


def fire_from_zero(current: Tensor, *how: Tensor | bool | int | torch.dtype | None) -> Tensor:
    """As fire, from membranes of 0 on, and nobody asks for what becomes of them."""
    return fire(current, torch.zeros_like(current[0], dtype=torch.float32), *how)[0]


@dataclass
class _Layer:
    """A product, and neurons that fire at a threshold; none in a readout."""

    multiply: Callable[[Tensor], Tensor]
    pool: tuple[int, int]  # of sums, before the product
    bias: Tensor | None
    threshold: Tensor | None
    to_zero: bool
    pools: int = 0  # of spikes, afterwards


class DenseTorch:
    """Runs a feed-forward graph of convolutions or dense layers, OR or sum pooling, and integrate-and-fire neurons.

    Args:
        graph: A workload; of integers for kind "int8".
        kind: "float32", "bfloat16" or "int8".
        layout: "nchw" or "nhwc", of pictures.
        order: "layers", all steps of one after the other, or "steps", all layers of one after the other.
        at_once: Samples; None are all.
    The neurons' loop is compiled where there is a C++ compiler.
    """

    def __init__(
        self,
        graph: SynapticGraph,
        kind: str = "float32",
        layout: str = "nchw",
        order: str = "layers",
        at_once: int | None = None,
    ) -> None:
        self.order, self.at_once = order, at_once
        self.kind, self.layout = kind, LAYOUTS[layout]
        self.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.uint8}[kind]
        compiled = partial(torch.compile, dynamic=False) if shutil.which("g++") else lambda f: f
        self.fire, self.fire_from_zero = compiled(fire), compiled(fire_from_zero)
        self.levels = graph.coding.levels if graph.arithmetic == "int" and graph.coding.kind == "direct" else 1
        self.layers: list[_Layer] = []
        for p in graph.projections:
            target = graph[p.target]
            if target.neuron is not None and not target.neuron.leak.all():  # a maximum: pooled where it is emitted
                self.layers[-1].pools += 1
                continue
            # A threshold is a tensor, or each value would be compiled for.
            neuron = target.neuron
            self.layers.append(
                _Layer(
                    multiply=self._multiply(graph, p),
                    pool=p.pool,
                    bias=_bias(target) if target.bias.any() else None,
                    threshold=None if neuron is None else torch.tensor(float(neuron.threshold)),
                    to_zero=neuron is not None and neuron.reset == "zero",
                )
            )
        self.unit = np.broadcast_to(graph[graph.output].unit, graph[graph.output].shape).reshape(-1)

    def __call__(self, x: np.ndarray, n_steps: int) -> np.ndarray:
        """(n_samples, n_outputs) spike counts, or what a readout sees, as a mean over steps."""
        n = self.at_once or len(x)
        return np.concatenate([self._run(x[i : i + n], n_steps) for i in range(0, len(x), n)])

    @torch.inference_mode()
    def _run(self, x: np.ndarray, n_steps: int) -> np.ndarray:
        s = torch.from_numpy(x)
        if self.levels > 1:
            s = torch.round(s.double() * self.levels)
        s = s.to(self.dtype)
        s = s[None] if s.ndim in (2, 4) else s.transpose(0, 1)  # a picture is the same in every step
        if self.order == "layers":
            total = self._forward(self._current(0, s), n_steps)
        else:
            membranes: dict[int, Tensor] = {}
            constant = self._current(0, s) if len(s) == 1 else None
            steps = (self._current(0, s[t : t + 1]) if constant is None else constant for t in range(n_steps))
            total = sum(self._forward(current, 1, membranes) for current in steps)
        if self.layers[-1].threshold is None:
            return (total.double().div(n_steps).flatten(1).numpy() * self.unit).astype(np.float32)
        return total.flatten(1).float().numpy()

    def _forward(self, current: Tensor, n_steps: int, membranes: dict[int, Tensor] | None = None) -> Tensor:
        """What the last layer emits over so many steps, from the first layer's current on.

        membranes: of the steps before, by layer; None if there are none, before or after.
        """
        s = current
        for i, layer in enumerate(self.layers):
            current = self._current(i, s) if i else s
            if layer.threshold is None:
                seen = current if layer.bias is None else current + layer.bias
                return seen.double().sum(0) * (n_steps // len(seen))
            how = (layer.bias, layer.threshold, layer.to_zero, n_steps, layer.pools, self.dtype)
            if membranes is None:
                s = self.fire_from_zero(current, *how)
            else:
                v = membranes[i] if i in membranes else torch.zeros_like(current[0], dtype=torch.float32)
                s, membranes[i] = self.fire(current, v, *how)
        return s.sum(0, dtype=torch.float32)

    def _current(self, i: int, s: Tensor) -> Tensor:
        """What arrives at a layer in each step of s."""
        layer, flat = self.layers[i], s.flatten(0, 1)
        if layer.pool != (1, 1):
            flat = sum(flat[..., y :: layer.pool[0], x :: layer.pool[1]] for y, x in np.ndindex(*layer.pool))
        flat = flat.contiguous(memory_format=self.layout) if flat.ndim == 4 else flat.contiguous()
        return layer.multiply(flat).unflatten(0, (len(s), -1))

    def _multiply(self, graph: SynapticGraph, p: Csr | SharedCsr) -> Callable[[Tensor], Tensor]:
        weight = torch.from_numpy(dense_weight(graph, p))
        padding = list(p.padding) if isinstance(p, SharedCsr) else []
        if self.kind == "int8":
            return self._in_int8(weight.to(torch.int8), padding, graph[p.source].shape)
        weight = weight.to(self.dtype)
        if weight.ndim == 4:
            weight = weight.contiguous(memory_format=self.layout)
            return lambda s: F.conv2d(s, weight, padding=padding)
        return lambda s: F.linear(s.flatten(1), weight)

    @staticmethod
    def _in_int8(weight: Tensor, padding: list[int], source: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        ones, zeros, ops = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int64), torch.ops.onednn
        if weight.ndim == 4:
            packed = ops.qconv_prepack(weight, ones, 1.0, 0, [1, 1], padding, [1, 1], 1, None)
            geometry = ([1, 1], padding, [1, 1], 1)
            return lambda s: ops.qconv2d_pointwise(
                s, 1.0, 0, packed, ones, zeros, None, *geometry, 1.0, 0, torch.float32, "none", [], ""
            )
        packed = ops.qlinear_prepack(weight, None)
        return lambda s: ops.qlinear_pointwise(
            s.flatten(1), 1.0, 0, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )


def _bias(target: Population) -> Tensor:
    """One for each neuron, or for each channel if they are the same."""
    whole = torch.from_numpy(np.broadcast_to(target.bias, target.shape).astype(np.float32))
    first = whole[:, :1, :1] if whole.ndim == 3 else whole
    return first if (whole == first).all() else whole


def dense_weight(graph: SynapticGraph, p: Csr | SharedCsr) -> np.ndarray:
    """A projection's weights with all their zeros, as PyTorch takes them."""
    source, target = graph[p.source], graph[p.target]
    if isinstance(p, SharedCsr):
        weight = np.zeros((target.shape[0], source.shape[0], *p.kernel), np.float32)
        channel = np.repeat(np.arange(source.shape[0]), np.diff(p.row_start))
        weight[p.out_channels, channel, p.ky, p.kx] = p.weights
        return weight
    n_rows = len(p.row_start) - 1  # one for each neuron, or for each pixel that is pooled
    weight = np.zeros((target.n_neurons, n_rows), np.float32)
    weight[p.targets, np.repeat(np.arange(n_rows), np.diff(p.row_start))] = p.weights
    return weight
