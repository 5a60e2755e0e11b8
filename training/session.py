"""What a stage needs from the run around it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .augment import augment
from .data import Dataset
from .progress import Progress, ProgressCallback
from .recipe import Recipe
from .resume import StateStore
from .seeds import numpy_rng, torch_rng


@dataclass(kw_only=True)
class Session:
    """Final. The recipe, the data, and where progress, state and the log go.

    store: None keeps no state, so the run cannot be resumed. history: one record per finished epoch.
    """

    recipe: Recipe
    train: Dataset
    validation: Dataset
    progress: ProgressCallback | None = None
    store: StateStore | None = None
    log_path: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    history: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def mean_colour(self) -> Tensor:
        """(channels,) mean of the training images, in [0, 1]."""
        return torch.tensor(self.train.x.mean((0, 2, 3)) / 255, dtype=torch.float32, device=self.device)

    def n_batches(self, batch_size: int) -> int:
        """Batches per epoch, all of nearly the same size."""
        return max(1, -(-self.train.n_samples // batch_size))

    def batches(
        self, stage: str, epoch: int, batch_size: int, *, first: int = 0, cutout: int = 0
    ) -> Iterator[tuple[int, Tensor, Tensor, torch.Generator]]:
        """(number, (batch, C, H, W) augmented images in [0, 1], labels, generator) from batch `first` on.

        cutout: side of the square that is cut out, 0 for none; it gets the colour that normalising takes to 0. Order,
        augmentation and the generator are functions of the seed, stage, epoch and batch alone.
        """
        order = numpy_rng(self.recipe.seed, stage, "order", epoch).permutation(self.train.n_samples)
        parts = np.array_split(order, self.n_batches(batch_size))
        for number in range(first, len(parts)):
            generator = torch_rng(self.recipe.seed, stage, "batch", epoch, number)
            x = torch.tensor(self.train.x[parts[number]], device=self.device).float() / 255
            y = torch.tensor(self.train.y[parts[number]], device=self.device)
            data = self.recipe.data
            augmented = augment(
                x, data.augment, pad=data.pad, cutout=cutout, fill=self.mean_colour, generator=generator
            )
            yield number, augmented, y, generator

    def report(self, progress: Progress) -> None:
        """Tell the caller, if he wants to know."""
        if self.progress is not None:
            self.progress(progress)
