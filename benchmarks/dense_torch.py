"""The rival: the same network as dense PyTorch in float32, all steps merged into one convolution per layer."""

import numpy as np
import torch
import torch.nn.functional as F

from gossamer.compiler import Csr, SharedCsr, SynapticGraph


class DenseTorch:
    """Runs a feed-forward graph of convolutions, max pooling and integrate-and-fire neurons (reset by subtraction)."""

    def __init__(self, graph: SynapticGraph) -> None:
        self.layers = []
        for p in graph.projections:
            target = graph[p.target]
            assert target.neuron is not None
            pools = not target.neuron.leak.all()
            threshold = float(target.neuron.threshold)
            self.layers.append((None if pools else torch.from_numpy(_dense(graph, p)), threshold, p))

    @torch.inference_mode()
    def __call__(self, x: np.ndarray, n_steps: int) -> np.ndarray:
        """(n_samples, n_outputs) spike counts."""
        s = torch.from_numpy(x.astype(np.float32))
        n = len(x)
        s = s.unsqueeze(0).expand(n_steps, *s.shape) if s.ndim == 4 else s.transpose(0, 1)
        for i, (weight, threshold, p) in enumerate(self.layers):
            flat = s.flatten(0, 1) if i or s.ndim != 5 else s[0]  # the first layer sees the same picture in every step
            if weight is None:
                s = F.max_pool2d(flat, 2).unflatten(0, (n_steps, n))
                continue
            if weight.ndim == 4:
                current = F.conv2d(flat, weight, padding=p.padding)
            else:
                current = F.linear(flat.flatten(1), weight)
            s = self._fire(current, threshold, n_steps, n)
        return s.sum(0).flatten(1).numpy()

    @staticmethod
    def _fire(current: torch.Tensor, threshold: float, n_steps: int, n: int) -> torch.Tensor:
        steps = current.unflatten(0, (-1, n))
        v = torch.zeros_like(steps[0])
        spikes = torch.empty((n_steps, *v.shape))
        for t in range(n_steps):
            v += steps[t if len(steps) > 1 else 0]
            torch.ge(v, threshold, out=spikes[t])
            v.sub_(spikes[t], alpha=threshold)
        return spikes


def _dense(graph: SynapticGraph, p: Csr | SharedCsr) -> np.ndarray:
    source, target = graph[p.source], graph[p.target]
    if isinstance(p, SharedCsr):
        weight = np.zeros((target.shape[0], source.shape[0], *p.kernel), np.float32)
        channel = np.repeat(np.arange(source.shape[0]), np.diff(p.row_start))
        weight[p.out_channels, channel, p.ky, p.kx] = p.weights
        return weight
    weight = np.zeros((target.n_neurons, source.n_neurons), np.float32)
    weight[p.targets, np.repeat(np.arange(source.n_neurons), np.diff(p.row_start))] = p.weights
    return weight
