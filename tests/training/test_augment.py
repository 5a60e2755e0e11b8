"""Augmentation: what moves, what comes in, and that it can be repeated."""

import math

import pytest
import torch

from gossamer.training.augment import augment


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def all_moves(image, pad, *, mirrored):
    """Every crop of the padded picture, by slicing."""
    padded = torch.nn.functional.pad(image, (pad,) * 4)
    h, w = image.shape[-2:]
    pictures = [padded[..., y : y + h, x : x + w] for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
    return pictures + ([p.flip(-1) for p in pictures] if mirrored else [])


@pytest.mark.parametrize(("kind", "n_distinct"), [("crop", 9), ("crop-flip", 18)])
def test_every_picture_is_one_of_the_possible_moves_and_all_occur(kind, n_distinct):
    image = torch.arange(1.0, 31.0).reshape(2, 3, 5)
    moved = augment(image.expand(400, 2, 3, 5), kind, pad=1, generator=seeded(0))
    possible = torch.stack(all_moves(image, 1, mirrored=kind == "crop-flip"))
    matches = (moved[:, None] == possible[None]).flatten(2).all(2)
    assert (matches.sum(1) == 1).all()
    assert (matches.sum(0) > 5).all()
    assert matches.shape[1] == n_distinct


def test_crops_are_what_they_were():
    """Recipes name them: the same seed gives the same pictures in every version."""
    image = torch.arange(20.0).reshape(1, 1, 4, 5).expand(6, 1, 4, 5)
    moved = augment(image, "crop-flip", pad=2, generator=seeded(5))
    by_hand = []
    generator = seeded(5)
    offsets = torch.randint(0, 5, (2, 6), generator=generator)
    mirrored = torch.rand(6, generator=generator) < 0.5
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
    for i in range(6):
        y, x = offsets[:, i].tolist()
        part = padded[i, :, y : y + 4, x : x + 5]
        by_hand.append(part.flip(-1) if mirrored[i] else part)
    assert torch.equal(moved, torch.stack(by_hand))


def test_none_changes_nothing():
    x = torch.rand(4, 1, 3, 3)
    assert augment(x, "none", pad=2, generator=seeded(0)) is x


def test_the_same_generator_moves_alike():
    x = torch.rand(64, 1, 5, 5)
    a, b, c = (augment(x, "crop", pad=2, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def parts_by_hand(n, height, width, generator):
    """Szegedy et al.'s crop as it is commonly written, image by image, from the same draws."""
    areas = torch.empty((n, 10), dtype=torch.float64).uniform_(0.08, 1.0, generator=generator)
    logs = torch.empty((n, 10), dtype=torch.float64).uniform_(math.log(3 / 4), math.log(4 / 3), generator=generator)
    places = torch.rand((2, n), dtype=torch.float64, generator=generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    for i in range(n):
        for area, log_ratio in zip(areas[i].tolist(), logs[i].tolist(), strict=True):
            ratio = math.exp(log_ratio)
            w = round(math.sqrt(area * height * width * ratio))
            h = round(math.sqrt(area * height * width / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = int(places[0, i] * (height - h + 1)), int(places[1, i] * (width - w + 1))
                break
        else:
            w, h = width, height
            if width / height < 3 / 4:
                h = round(width / (3 / 4))
            elif width / height > 4 / 3:
                w = round(height * (4 / 3))
            top, left = (height - h) // 2, (width - w) // 2
        yield top, left, h, w, bool(mirrored[i])


@pytest.mark.parametrize(("height", "width"), [(12, 12), (9, 13), (3, 40), (40, 3), (1, 1)])
def test_a_resized_crop_is_an_enlarged_part(height, width):
    x = torch.rand(50, 2, height, width, generator=seeded(3))
    found = augment(x, "resized-crop-flip", pad=0, generator=seeded(7))
    assert found.dtype == x.dtype
    for i, (top, left, h, w, mirrored) in enumerate(parts_by_hand(50, height, width, seeded(7))):
        part = x[i : i + 1, :, top : top + h, left : left + w]
        expected = torch.nn.functional.interpolate(part, (height, width), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(found[i], expected.flip(-1) if mirrored else expected, atol=1e-6, rtol=1e-5)


def test_resized_crops_have_every_size():
    x = torch.linspace(0, 1, 64).expand(500, 1, 64, 64)
    spread = augment(x, "resized-crop-flip", pad=0, generator=seeded(0)).amax((1, 2, 3)) - augment(
        x, "resized-crop-flip", pad=0, generator=seeded(0)
    ).amin((1, 2, 3))
    assert 0.2 < spread.min() < 0.4, "8 % of the area, four thirds as high as wide: a quarter of the width"
    assert spread.max() > 0.95


@pytest.mark.parametrize("size", [1, 4, 5, 30])
@pytest.mark.parametrize("fill", [None, [0.25, 0.5]])
def test_cutout_covers_one_square_with_one_colour(size, fill):
    x = 1 + torch.rand(300, 2, 9, 12)
    colour = torch.zeros(2) if fill is None else torch.tensor(fill)
    covered = augment(x, "none", pad=0, cutout=size, fill=None if fill is None else colour, generator=seeded(1))
    generator = seeded(1)
    rows, columns = (torch.randint(0, n, (300, 1), generator=generator)[:, 0].tolist() for n in (9, 12))
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        expected = x[i].clone()
        top, left = row - size // 2, column - size // 2
        expected[:, max(top, 0) : top + size, max(left, 0) : left + size] = colour[:, None, None]
        assert torch.equal(covered[i], expected)
    assert {*rows} == {*range(9)}
    assert {*columns} == {*range(12)}
    assert x.min() >= 1, "what it is given is left alone"


def test_cutout_follows_the_moves_and_leaves_them_alike():
    x = 1 + torch.rand(40, 1, 8, 8)
    for kind in ("crop-flip", "resized-crop-flip"):
        moved = augment(x, kind, pad=2, generator=seeded(2))
        covered = augment(x, kind, pad=2, cutout=4, generator=seeded(2))
        square = covered != moved
        assert (covered[square] == 0).all()
        assert square.flatten(1).any(1).float().mean() > 0.8
        assert (square.flatten(1).sum(1) <= 16).all()
