"""From an artificial network to a spiking one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..compiler import Conv2d, Dense, Network, Neuron
from .errors import TrainingError
from .torch_network import TorchNetwork

Reset = Literal["zero", "subtract"]


def to_spiking(
    network: Network,
    thresholds: Mapping[str, float],
    *,
    n_steps: int = 8,
    reset: Reset = "zero",
    leak: float = 1.0,
) -> Network:
    """Every ReLU population becomes integrate-and-fire; weights, masks and batch norm stay as they are. Lossy.

    Spikes are 0 or 1, not scaled by the threshold: the batch norm that follows absorbs the difference once its
    statistics are estimated anew (`reestimate_batch_norm`). Inputs are coded directly, and the readout averages over
    the steps.

    Args:
        network: With ReLU populations.
        thresholds: Of every ReLU population, > 0.
        n_steps: T.
        reset: "zero" or "subtract".
        leak: 1 is IF, less is LIF.
    Raises: TrainingError: GSM-608 if a population has no threshold, or nothing is there to convert.
    """
    relu = [p.name for p in network.populations if p.kind == "relu"]
    missing = sorted(set(relu) - set(thresholds))
    if missing or not relu:
        raise TrainingError(
            "GSM-608",
            "cannot convert the network",
            where=network.name,
            found=f"no threshold for {', '.join(missing)}" if missing else "no ReLU population",
            expected="an artificial network and a threshold for each ReLU population",
        )
    populations = [
        replace(p, kind="spiking", neuron=_neuron(thresholds[p.name], leak, reset)) if p.kind == "relu" else p
        for p in network.populations
    ]
    return replace(network, populations=tuple(populations), n_steps=n_steps)


def add_biases(network: Network) -> Network:
    """A bias of 0 for every dense and convolution map that has none, the readout's included. Exact.

    They are there to be trained. Before batch norm a bias does nothing but move the running mean, and gets no gradient;
    it counts where there is no batch norm, as after a VGG's dense layers.

    Args:
        network: Float32.
    Raises: TrainingError: GSM-608 for a network of integers, which is not trained.
    Source: Özdenizci & Legenstein 2024 (code: --use_bias).
    """
    if network.arithmetic != "float32":
        raise TrainingError(
            "GSM-608", "cannot add biases", where=network.name, found=network.arithmetic, expected="a float32 network",
            remedy="add them before the network is quantized",
        )  # fmt: skip
    connections = [
        replace(
            c,
            maps=tuple(
                replace(m, bias=np.zeros(m.weight.shape[0], np.float32))
                if isinstance(m, (Dense, Conv2d)) and m.bias is None
                else m
                for m in c.maps
            ),
        )
        for c in network.connections
    ]
    return replace(network, connections=tuple(connections))


def reestimate_batch_norm(
    model: TorchNetwork, batches: Sequence[Tensor], *, progress: Callable[[int, int], None] | None = None
) -> None:
    """Replace batch norm's running statistics by their mean over `batches`, each normalised by its own.

    After conversion the running statistics are those of the artificial network, and mean nothing.

    Args:
        model: Changed in place; its mode is left as it was.
        batches: (batch, *shape) images in [0, 1], at least one.
        progress: Called with (batches done, batches).
    Source: Özdenizci & Legenstein 2024 (code) drop the statistics too, but relearn them only in fine-tuning.
    """
    was_training = model.training
    model.train()
    with torch.no_grad():
        for i, x in enumerate(batches):
            for norm in model.batch_norms():
                norm.momentum = 1 / (i + 1)
            model(x)
            if progress is not None:
                progress(i + 1, len(batches))
    for norm in model.batch_norms():
        norm.momentum = 0.1
    model.train(was_training)


def _neuron(threshold: float, leak: float, reset: Reset) -> Neuron:
    return Neuron(threshold=np.asarray(threshold, np.float32), leak=np.asarray(leak, np.float32), reset=reset)
