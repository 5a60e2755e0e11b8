"""Thresholds for a converted network, from what its neurons receive."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..compiler import Network
from .convert import Reset, to_spiking
from .errors import TrainingError
from .front_to_back import FrontToBack
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
    neurons receive, by all connections together (all steps, samples and neurons of a batch), the maximum over batches;
    it is installed before the next population is measured. At the end all are multiplied by `scale`. Batch norm uses
    each batch's statistics.

    Every batch passes through the network once. What populations emit is held as bits on `device`, for all batches,
    until nobody needs it: steps x images x neurons / 8 bytes for each of the one or two populations in use; of a stage
    with a running sum, for all. Of VGG-16 on 32x32 pixels, with 11 batches of 64 images and 100 steps, that is 0.6 GB
    for each of the first two populations, and less behind. One batch's currents and spikes are float32, 1.7 GB each
    there, and maps and percentiles take copies. Currents of up to 1 GiB in all batches are kept until their population
    fires, the rest is computed again.

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
    measured = {p.name for p in network.populations if p.kind == "relu"}
    model = TorchNetwork(to_spiking(network, dict.fromkeys(measured, 1.0), n_steps=n_steps, reset=reset, leak=leak))
    model.to(device).eval()
    for norm in model.batch_norms():
        norm.statistics = "batch"
    run = FrontToBack(model, batches, n_steps, measured)
    thresholds: dict[str, float] = {}
    with torch.no_grad():
        for name in run.order:
            if name in measured:
                largest = -np.inf
                for j, current in enumerate(run.currents(name)):
                    largest = max(largest, float(np.percentile(current.cpu().numpy(), percentile)))
                    if progress is not None:
                        progress(len(thresholds) * len(batches) + j + 1, len(measured) * len(batches))
                _check(name, largest, percentile)
                model.population(name).get_buffer("threshold").fill_(largest)
                thresholds[name] = scale * largest
            run.fire(name)
    return thresholds


def _check(name: str, threshold: float, percentile: float) -> None:
    if not threshold > 0:
        raise TrainingError(
            "GSM-607",
            "calibration found no threshold",
            where=f"population {name!r}",
            found=f"percentile {percentile} of its input is {threshold:.4g}",
            expected="> 0",
            remedy="train the artificial network longer, or prune less: this layer is dead",
        )
