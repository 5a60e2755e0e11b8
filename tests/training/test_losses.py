"""Robust losses against their formulas, written out with softmax and logarithm."""

import pytest
import torch

from gossamer.training import TorchNetwork, cross_entropy, mart, mlp, pgd_at, rfgsm, trades
from gossamer.training.losses import kl_divergence


def direct(model, x, adversarial, y, beta):
    p, q = torch.softmax(model(x), 1), torch.softmax(model(adversarial), 1)
    natural = -torch.log(p[torch.arange(len(y)), y]).mean()
    robust = (p * (torch.log(p) - torch.log(q))).sum() / len(y)
    return natural + beta * robust


@pytest.fixture
def model():
    return TorchNetwork(mlp((1, 3, 3), 4, seed=0, mean=[0.5], std=[0.25], hidden=(8,)))


@pytest.fixture
def batch(generator):
    return torch.rand((12, 1, 3, 3), generator=generator), torch.arange(12) % 4


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_is_its_formula_with_gradients_into_both_predictions(beta, model, batch, generator):
    x, y = batch
    shifted = (x + 0.2).clamp(0, 1)
    loss, logits = trades(model, x, y, beta=beta, attack=lambda m, x, y, g: shifted, generator=generator)
    expected = direct(model, x, shifted, y, beta)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits, model(x))
    weights = [p for p in model.parameters() if p.requires_grad]
    torch.testing.assert_close(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), atol=1e-6, rtol=1e-4
    )


def test_adversarial_training_is_the_cross_entropy_of_what_the_attack_finds(model, batch, generator):
    x, y = batch
    shifted = (x + 0.2).clamp(0, 1)
    loss, logits = pgd_at(model, x, y, attack=lambda m, x, y, g: shifted, generator=generator)
    torch.testing.assert_close(logits, model(shifted))
    torch.testing.assert_close(loss, cross_entropy(model, shifted, y)[0])


@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_mart_is_its_formula_sample_by_sample(beta, model, batch, generator):
    x, y = batch
    shifted = (x + 0.2).clamp(0, 1)
    loss, logits = mart(model, x, y, beta=beta, attack=lambda m, x, y, g: shifted, generator=generator)
    p, q = torch.softmax(model(x), 1), torch.softmax(model(shifted), 1)
    expected = 0.0
    for i, label in enumerate(y.tolist()):
        others = max(q[i, k] for k in range(4) if k != label)
        expected = expected - torch.log(q[i, label]) - torch.log(1 - others)
        expected = expected + beta * (p[i] * torch.log(p[i] / q[i])).sum() * (1 - p[i, label])
    expected = expected / len(y)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits, model(x))
    weights = [w for w in model.parameters() if w.requires_grad]
    torch.testing.assert_close(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), atol=1e-6, rtol=1e-4
    )


def test_the_clean_prediction_is_not_detached_in_the_robust_part(model, batch):
    x, _ = batch
    reference = model(x)
    kl_divergence(reference, model((x + 0.2).clamp(0, 1)).detach()).backward()
    assert any((p.grad != 0).any() for p in model.parameters() if p.grad is not None)


def test_the_attack_is_made_in_eval_mode_and_the_loss_in_train_mode(model, batch, generator):
    x, y = batch
    modes = []
    model.batch_norms()[0].register_forward_hook(lambda module, *_: modes.append(module.training))
    trades(
        model.train(), x, y, beta=1.0, generator=generator,
        attack=lambda m, x, y, g: rfgsm(m, x, y, eps=0.1, loss="kl", generator=g),
    )  # fmt: skip
    assert modes == [False, False, True, True]


def test_cross_entropy_returns_loss_and_logits(model, batch):
    x, y = batch
    loss, logits = cross_entropy(model, x, y)
    torch.testing.assert_close(loss, -torch.log_softmax(logits, 1)[torch.arange(12), y].mean())


def test_divergence_from_itself_is_zero_and_else_positive():
    logits = torch.tensor([[1.0, 2.0, -1.0]])
    assert kl_divergence(logits, logits).item() == 0
    assert kl_divergence(logits, -logits).item() > 0
