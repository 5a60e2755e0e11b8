"""Thresholds for a converted network, from what its neurons receive."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..compiler import Network
from .convert import Reset, to_spiking
from .errors import TrainingError
from .torch_network import TorchNetwork


def calibrate_thresholds(
    network: Network,
    batches: Sequence[Tensor],
    *,
    n_steps: int = 100,
    percentile: float = 99.7,
    scale: float = 0.3,
    reset: Reset = "zero",
    leak: float = 1.0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """One threshold for each ReLU population, front to back.

    The network runs as a spiking one for many steps. A population's threshold is the percentile of all that its
    neurons receive (all steps, samples and neurons of a batch), the maximum over batches; it is installed before the
    next population is measured. At the end all are multiplied by `scale`. Batch norm uses each batch's statistics.

    Args:
        network: Artificial.
        batches: (batch, *shape) images in [0, 1], augmented and shuffled; on `device`.
        n_steps: Steps of the measurement; not the T with which the network is used.
        percentile: In (0, 100].
        scale: lambda.
        reset, leak: Of the neurons.
        device: Where to run.
        progress: Called with (batches done, batches) over all populations.
    Returns: {population: threshold}.
    Raises: TrainingError: GSM-607 if a population receives nothing positive; GSM-608 if nothing is to be converted.
    Source: Özdenizci & Legenstein 2024 (code); after Lu & Sengupta 2020.
    """
    names = [p.name for p in network.populations if p.kind == "relu"]
    model = TorchNetwork(to_spiking(network, dict.fromkeys(names, 1.0), n_steps=n_steps, reset=reset, leak=leak))
    model.to(device).eval()
    for norm in model.batch_norms():
        norm.statistics = "batch"
    modules = {p.like.name: p for p in model.populations_in_order()}
    thresholds: dict[str, float] = {}
    names.sort(key=model.order.index)
    for i, name in enumerate(names):
        largest = -np.inf
        for j, x in enumerate(batches):
            with torch.no_grad():
                current = model.current(x, name, n_steps)
            largest = max(largest, float(np.percentile(current.cpu().numpy(), percentile)))
            if progress is not None:
                progress(i * len(batches) + j + 1, len(names) * len(batches))
        if not largest > 0:
            raise TrainingError(
                "GSM-607",
                "calibration found no threshold",
                where=f"population {name!r}",
                found=f"percentile {percentile} of its input is {largest:.4g}",
                expected="> 0",
                remedy="train the artificial network longer, or prune less: this layer is dead",
            )
        modules[name].get_buffer("threshold").fill_(largest)
        thresholds[name] = scale * largest
    return thresholds
