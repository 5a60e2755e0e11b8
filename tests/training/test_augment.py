"""Augmentation: what moves, what comes in, and that it can be repeated."""

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


def test_none_changes_nothing():
    x = torch.rand(4, 1, 3, 3)
    assert augment(x, "none", pad=2, generator=seeded(0)) is x


def test_the_same_generator_moves_alike():
    x = torch.rand(64, 1, 5, 5)
    a, b, c = (augment(x, "crop", pad=2, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
