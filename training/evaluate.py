"""Accuracy on a data set."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .data import Dataset


def batches(dataset: Dataset, batch_size: int, device: torch.device | str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
    """((batch, C, H, W) float32 in [0, 1], (batch,) int64 labels), in the data set's order."""
    for start in range(0, dataset.n_samples, batch_size):
        x = torch.tensor(dataset.x[start : start + batch_size], device=device)
        yield x.float() / 255, torch.tensor(dataset.y[start : start + batch_size], device=device)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's arrays lie; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def accuracy(model: nn.Module, dataset: Dataset, *, batch_size: int = 256) -> float:
    """Share of the data set that the model classifies correctly, in eval mode; the mode is left as it was."""
    was_training = model.training
    model.eval()
    n_correct = 0
    with torch.no_grad():
        for x, y in batches(dataset, batch_size, device_of(model)):
            n_correct += int((model(x).argmax(1) == y).sum())
    model.train(was_training)
    return n_correct / dataset.n_samples
