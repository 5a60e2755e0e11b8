"""What torch makes of a network, for comparison with other executors: NumPy in, NumPy out."""

import torch

from ..compiler import Array, Network
from .torch_network import TorchNetwork


def record_spikes(network: Network, x: Array) -> tuple[dict[str, Array], Array]:
    """Run a network in evaluation mode and keep what every population emits.

    Args:
        network: Acyclic; integers are evaluated exactly.
        x: (n_samples, *input shape), as `TorchNetwork.forward` takes it.
    Returns: ({population: (n_samples, T, *shape)} for all but readouts, (n_samples, n_outputs) float32 logits).
    Raises: TrainingError: GSM-608 for a network with a cycle, or samples that do not fit it.
    """
    model = TorchNetwork(network).eval()
    with torch.no_grad():
        logits, spikes = model(torch.from_numpy(x), record=True)
    return {name: s.numpy().swapaxes(0, 1) for name, s in spikes.items()}, logits.numpy()
