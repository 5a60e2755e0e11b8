"""Augmentation of image batches, from a generator, so that a resumed run sees the same pictures."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Literal["none", "crop", "crop-flip"]


def augment(x: Tensor, kind: Augmentation, *, pad: int, generator: torch.Generator) -> Tensor:
    """Move each image by up to `pad` pixels (zeros come in), and mirror every second one on average.

    Args:
        x: (batch, channels, height, width).
        kind: "none" returns x; "crop" moves; "crop-flip" moves and mirrors left to right.
        pad: Pixels, >= 0.
        generator: On the CPU.
    Returns: A tensor of x's shape.
    """
    if kind == "none":
        return x
    n, channels, height, width = x.shape
    offsets = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(x.device)
    rows = offsets[0, :, None] + torch.arange(height, device=x.device)
    columns = offsets[1, :, None] + torch.arange(width, device=x.device)
    if kind == "crop-flip":
        mirrored = torch.rand(n, generator=generator).to(x.device) < 0.5
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    sample = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(channels, device=x.device)[None, :, None, None]
    padded = F.pad(x, (pad, pad, pad, pad))
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
