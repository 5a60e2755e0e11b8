"""Augmentation of image batches, from a generator, so that a resumed run sees the same pictures.

What is drawn is drawn on the CPU, and coordinates are computed there: every device sees the same pictures.
"""

from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Literal["none", "crop", "crop-flip", "resized-crop-flip"]

AREA = (0.08, 1.0)  # share of the picture
RATIO = (3 / 4, 4 / 3)  # width / height
TRIES = 10


def augment(
    x: Tensor,
    kind: Augmentation,
    *,
    pad: int,
    generator: torch.Generator,
    cutout: int = 0,
    fill: Tensor | None = None,
) -> Tensor:
    """Move or zoom each image, mirror every second one on average, and cover a square of it.

    Args:
        x: (batch, channels, height, width).
        kind: "none"; "crop" moves by up to `pad` pixels (zeros come in); "crop-flip" moves and mirrors left to right;
            "resized-crop-flip" takes a part of 8 to 100 % of the area, 3/4 to 4/3 times as wide as high, enlarges it
            to the whole (bilinear), and mirrors.
        pad: Pixels, >= 0.
        generator: On the CPU.
        cutout: Pixels of a square's side; its middle is anywhere in the picture, and what is outside is lost. 0: none.
        fill: (channels,) the square's colour: the mean that the network takes away, so that it sees 0 there. None: 0.
    Returns: A tensor of x's shape; x itself if there is nothing to do.
    Sources: DeVries & Taylor 2017 (cutout); Szegedy et al. 2015 (areas and ratios).
    """
    if kind == "resized-crop-flip":
        x = _resized_crop(x, generator)
    elif kind != "none":
        x = _crop(x, pad, generator, mirror=kind == "crop-flip")
    return _cover(x, cutout, fill, generator) if cutout else x


def _crop(x: Tensor, pad: int, generator: torch.Generator, *, mirror: bool) -> Tensor:
    n, _, height, width = x.shape
    offsets = torch.randint(0, 2 * pad + 1, (2, n), generator=generator)
    rows, columns = offsets[0, :, None] + torch.arange(height), offsets[1, :, None] + torch.arange(width)
    if mirror:
        (columns,) = _mirrored(generator, columns)
    return _at(F.pad(x, (pad, pad, pad, pad)), rows.to(x.device), columns.to(x.device))


def _resized_crop(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image's part, enlarged as `torch.nn.functional.interpolate(mode="bilinear")` does."""
    n, _, height, width = x.shape
    top, left, part_height, part_width = _parts(n, height, width, generator)
    low_y, high_y, weight_y = _between(top, part_height, height)
    low_x, high_x, weight_x = _mirrored(generator, *_between(left, part_width, width))
    rows = (1 - weight_y).to(x)[:, None, :, None], weight_y.to(x)[:, None, :, None]
    columns = (1 - weight_x).to(x)[:, None, None, :], weight_x.to(x)[:, None, None, :]
    y = torch.zeros_like(x)
    for row_weight, row in zip(rows, (low_y, high_y), strict=True):
        for column_weight, column in zip(columns, (low_x, high_x), strict=True):
            y += row_weight * column_weight * _at(x, row.to(x.device), column.to(x.device))
    return y


def _parts(n: int, height: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width of a part of each image: the first of ten draws that fits; else the whole, cut to
    the nearest ratio."""
    areas = torch.empty((n, TRIES), dtype=torch.float64).uniform_(*AREA, generator=generator) * height * width
    logs = torch.empty((n, TRIES), dtype=torch.float64).uniform_(log(RATIO[0]), log(RATIO[1]), generator=generator)
    widths, heights = (areas * logs.exp()).sqrt().round().long(), (areas / logs.exp()).sqrt().round().long()
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = fits.int().argmax(1, keepdim=True)  # the first 1
    some = fits.any(1)
    part_width = torch.where(some, widths.gather(1, first)[:, 0], max(1, min(width, round(height * RATIO[1]))))
    part_height = torch.where(some, heights.gather(1, first)[:, 0], max(1, min(height, round(width / RATIO[0]))))
    where = torch.rand((2, n), dtype=torch.float64, generator=generator)
    where = torch.where(some, where, 0.5)
    top = (where[0] * (height - part_height + some)).floor().long().minimum(height - part_height)
    left = (where[1] * (width - part_width + some)).floor().long().minimum(width - part_width)
    return top, left, part_height, part_width


def _between(start: Tensor, size: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, length): for each pixel of the enlarged axis the two of the part between which it lies, and the second's
    weight."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) * (size[:, None] / length) - 0.5
    place = place.clamp_min(0)
    low = place.floor().long()
    high = torch.minimum(low + 1, size[:, None] - 1)
    return start[:, None] + low, start[:, None] + high, place - low


def _mirrored(generator: torch.Generator, *columns: Tensor) -> list[Tensor]:
    """(batch, width) each, turned round for every second image on average."""
    chosen = torch.rand(len(columns[0]), generator=generator) < 0.5
    return [torch.where(chosen[:, None], c.flip(1), c) for c in columns]


def _at(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(batch, channels, n_rows, n_columns): x at each image's rows and columns."""
    sample = torch.arange(x.shape[0], device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _cover(x: Tensor, size: int, fill: Tensor | None, generator: torch.Generator) -> Tensor:
    n, channels, height, width = x.shape
    inside = []
    for length in (height, width):
        start = torch.randint(0, length, (n, 1), generator=generator) - size // 2
        place = torch.arange(length)
        inside.append(((place >= start) & (place < start + size)).to(x.device))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    colour = x.new_zeros(channels) if fill is None else fill.to(x)
    return torch.where(square, colour[:, None, None], x)
