"""How active each population is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .torch_network import TorchNetwork


@dataclass(frozen=True, kw_only=True)
class Firing:
    """Of one population, over neurons, steps and images.

    rate: the share that is not 0: spikes per neuron and step; of ReLUs, the share of positive activations.
    mean: what is emitted on average; of spikes, the rate again.
    """

    rate: float
    mean: float


def firing_rates(model: TorchNetwork, batches: Iterable[Tensor], *, n_steps: int | None = None) -> dict[str, Firing]:
    """How active each population is on these images, in evaluation mode; the mode is left as it was.

    Args:
        model: Artificial or spiking.
        batches: (batch, *shape) values in [0, 1], or as `TorchNetwork.forward` takes them; on the model's device.
        n_steps: T; the network's own if None.
    Returns: {population: Firing} for every spiking, ReLU and join population, in the network's order; empty without
        batches.
    """
    sums: dict[str, tuple[int, int, float]] = {}  # emitted, not 0, their sum

    def add(module: Any, _: object, emitted: Tensor) -> None:
        before = sums.get(module.like.name, (0, 0, 0.0))
        now = emitted.numel(), int(emitted.count_nonzero()), float(emitted.sum(dtype=torch.float64))
        sums[module.like.name] = before[0] + now[0], before[1] + now[1], before[2] + now[2]

    emitting = [p for p in model.populations_in_order() if p.like.kind in ("spiking", "relu", "join")]
    handles = [p.register_forward_hook(add) for p in emitting]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for x in batches:
                model(x, n_steps)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    order = [p.like.name for p in emitting if p.like.name in sums]
    return {name: Firing(rate=sums[name][1] / sums[name][0], mean=sums[name][2] / sums[name][0]) for name in order}
