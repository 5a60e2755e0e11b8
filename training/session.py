"""What a stage needs from the run around it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .augment import augment
from .data import Dataset
from .progress import Progress, ProgressCallback
from .recipe import Recipe
from .resume import StateStore
from .seeds import numpy_rng, torch_rng
from .team import Team

HELD_BYTES = 2 << 30  # of training images, kept on a GPU rather than sent to it batch by batch


@dataclass(kw_only=True)
class Session:
    """Final. The recipe, the data, and where progress, state and the log go.

    store: None keeps no state, so the run cannot be resumed. history: one record per finished epoch, complete in the
    team's first process.
    """

    recipe: Recipe
    train: Dataset
    validation: Dataset
    progress: ProgressCallback | None = None
    store: StateStore | None = None
    log_path: Path | None = None
    team: Team = field(default_factory=Team)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Of this process."""
        return self.team.device

    @cached_property
    def mean_colour(self) -> Tensor:
        """(channels,) mean of the training images, in [0, 1]."""
        return torch.tensor(self.train.x.mean((0, 2, 3)) / 255, dtype=torch.float32, device=self.device)

    @cached_property
    def _held(self) -> tuple[Tensor, Tensor] | None:
        """All training images, uint8, and labels on the device, if it is worth it."""
        if not _is_held(self.device, self.train.x.nbytes):
            return None
        return torch.tensor(self.train.x, device=self.device), torch.tensor(self.train.y, device=self.device)

    def n_batches(self, batch_size: int) -> int:
        """Batches per epoch, all of nearly the same size."""
        return max(1, -(-self.train.n_samples // batch_size))

    def batches(
        self, stage: str, epoch: int, batch_size: int, *, first: int = 0, cutout: int = 0, shared: bool = False
    ) -> Iterator[tuple[int, Tensor, Tensor, torch.Generator]]:
        """(number, (batch, C, H, W) augmented images in [0, 1], labels, generator) from batch `first` on.

        cutout: side of the square that is cut out, 0 for none; it gets the colour that normalising takes to 0. Order,
        augmentation and the generator are functions of the seed, stage, epoch and batch alone.
        shared: True gives this process's share of each batch: all processes together see what one alone would see.
        Each then has a generator of its own.
        """
        order = numpy_rng(self.recipe.seed, stage, "order", epoch).permutation(self.train.n_samples)
        parts = np.array_split(order, self.n_batches(batch_size))
        for number in range(first, len(parts)):
            generator = torch_rng(self.recipe.seed, stage, "batch", epoch, number)
            x, y = self._images(parts[number])
            data = self.recipe.data
            augmented = augment(
                x, data.augment, pad=data.pad, cutout=cutout, fill=self.mean_colour, generator=generator
            )
            if shared and self.team.size > 1:
                generator = torch_rng(self.recipe.seed, stage, "share", epoch, number, self.team.rank)
                mine = self.team.share(len(y))
                augmented, y = augmented[mine], y[mine]
            yield number, augmented, y, generator

    def _images(self, which: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(batch, C, H, W) float32 in [0, 1], and labels."""
        if self._held is None:
            x = torch.tensor(self.train.x[which], device=self.device)
            return x.float() / 255, torch.tensor(self.train.y[which], device=self.device)
        images, labels = self._held
        indices = torch.from_numpy(which).to(self.device)
        return images[indices].float() / 255, labels[indices]

    def report(self, progress: Progress) -> None:
        """Tell the caller, if he wants to know."""
        if self.progress is not None:
            self.progress(progress)


def _is_held(device: torch.device, n_bytes: int) -> bool:
    return device.type == "cuda" and n_bytes <= HELD_BYTES
