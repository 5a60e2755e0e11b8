"""The sum of two branches in one operation, held against PyTorch's batch norm, products and sum, in float64."""

import pytest
import torch
import torch.nn.functional as F

from gossamer.training.fused_sum import Branch, can_sum, fused_sum
from gossamer.training.lanes import Norm

CHANNELS = 5
FACTORS = {"none": None, "number": (), "channels": (CHANNELS, 1, 1)}


def signal(generator, shape=(3, 4, CHANNELS, 2, 3)):
    return torch.randn((*shape[:2], *shape[3:], shape[2]), generator=generator).movedim(-1, 2)


class Side:
    """A branch: its tensors, and what PyTorch makes of them."""

    def __init__(self, generator, *, is_normed, factor, mode):
        self.x, self.mode = signal(generator).requires_grad_(), mode
        self.gamma = (torch.rand(CHANNELS, generator=generator) + 0.5).requires_grad_() if is_normed else None
        self.beta = torch.randn(CHANNELS, generator=generator).requires_grad_() if is_normed else None
        self.mean = torch.randn(CHANNELS, generator=generator)
        self.variance = torch.rand(CHANNELS, generator=generator) + 0.5
        shape = FACTORS[factor]
        self.factor = None if shape is None else torch.randn(shape, generator=generator).requires_grad_()

    @property
    def parameters(self):
        return [t for t in (self.x, self.gamma, self.beta, self.factor) if t is not None]

    def apart(self):
        y, moved = self.x.double(), (self.mean.double(), self.variance.double())
        if self.gamma is not None:
            running = (None, None) if self.mode == "batch" else moved
            y = F.batch_norm(
                y.flatten(0, 1), *running, self.gamma.double(), self.beta.double(), self.mode != "eval", 0.1, 1e-5
            ).unflatten(0, y.shape[:2])
        return (y if self.factor is None else y * self.factor.double()), moved

    def branch(self):
        norm = None
        if self.gamma is not None:
            norm = Norm(
                gamma=self.gamma, beta=self.beta, mean=self.mean.clone(), variance=self.variance.clone(), eps=1e-5,
                momentum=0.1 if self.mode == "train" else 0.0, by_batch=self.mode != "eval",
            )  # fmt: skip
        return Branch(x=self.x, norm=norm, factor=self.factor)


@pytest.mark.parametrize("mode", ["train", "eval", "batch"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((True, "number"), (False, "number")),
        ((True, "number"), (True, "number")),
        ((True, "none"), (False, "none")),
        ((False, "channels"), (True, "channels")),
        ((False, "number"), (False, "none")),
    ],
)
def test_values_statistics_and_gradients_are_those_of_the_parts(first, second, mode):
    generator = torch.Generator().manual_seed(1)
    sides = [Side(generator, is_normed=n, factor=f, mode=mode) for n, f in (first, second)]
    wrt = [t for side in sides for t in side.parameters]
    (a, moved_a), (b, moved_b) = (side.apart() for side in sides)
    weight = signal(generator).double()
    expected = torch.autograd.grad(((a + b) * weight).sum(), wrt)
    branches = [side.branch() for side in sides]
    assert can_sum(branches)
    total = fused_sum(branches)
    found = torch.autograd.grad((total * weight.float()).sum(), wrt)
    torch.testing.assert_close(total.double(), a + b, rtol=1e-5, atol=1e-5)
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    for side, branch, moved in zip(sides, branches, (moved_a, moved_b), strict=True):
        if branch.norm is not None:
            kept = (side.mean, side.variance) if mode != "train" else (moved[0].float(), moved[1].float())
            torch.testing.assert_close((branch.norm.mean, branch.norm.variance), kept)


@pytest.mark.parametrize("wanted", range(4))
def test_a_gradient_is_the_same_whatever_else_is_asked_for(wanted):
    generator = torch.Generator().manual_seed(2)
    sides = [Side(generator, is_normed=True, factor="number", mode="train") for _ in range(2)]
    wrt = [t for side in sides for t in side.parameters]
    all_of_them = torch.autograd.grad((fused_sum([s.branch() for s in sides]) ** 2).sum(), wrt)
    for i, t in enumerate(wrt):
        t.requires_grad_(i == wanted)
    alone = torch.autograd.grad((fused_sum([s.branch() for s in sides]) ** 2).sum(), wrt[wanted])[0]
    torch.testing.assert_close(alone, all_of_them[wanted], rtol=1e-6, atol=1e-6)


def test_what_it_cannot_do_it_says():
    generator = torch.Generator().manual_seed(3)
    x = Branch(x=signal(generator), norm=None, factor=None)
    assert can_sum([x, x])
    assert not can_sum([x])
    assert not can_sum([x, Branch(x=x.x[:1], norm=None, factor=None)]), "other steps"
    assert not can_sum([x, Branch(x=x.x.double(), norm=None, factor=None)])
    assert not can_sum([x, Branch(x=x.x.contiguous(), norm=None, factor=None)]), "pixels fastest"
    assert not can_sum([x, Branch(x=x.x, norm=None, factor=torch.ones(CHANNELS, 2, 3))]), "a factor for each neuron"
