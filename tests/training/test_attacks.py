"""Attacks stay where they may go, find what they look for, and leave the model as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import small_convolutional

from gossamer.compiler import InputCoding
from gossamer.training import (
    ATTACKS,
    Dataset,
    Surrogate,
    TorchNetwork,
    TrainingError,
    convnet,
    evaluate_attack,
    fgsm,
    pgd,
    rfgsm,
    using_surrogate,
)

EPS = 0.06


@pytest.fixture(scope="module", params=["ann", "snn"])
def model(request):
    torch.manual_seed(0)
    if request.param == "snn":
        return TorchNetwork(small_convolutional()).train()
    return TorchNetwork(convnet((3, 8, 8), 10, seed=1, mean=[0.5] * 3, std=[0.3] * 3, channels=(4, "A"))).train()


@pytest.fixture(scope="module")
def batch():
    x = torch.rand((40, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    x[0], x[1] = 0, 1  # corners of the cube of pixels
    return x, torch.arange(40) % 10


def a_linear_model(n_classes=3):
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, n_classes)
    return torch.nn.Sequential(torch.nn.Flatten(), layer), layer


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_an_attack_stays_in_the_ball_and_in_the_range_of_pixels(name, loss, model, batch, generator):
    x, y = batch
    adversarial = ATTACKS[name](model, x, y, eps=EPS, loss=loss, generator=generator)
    assert adversarial.shape == x.shape
    assert (adversarial - x).abs().max() <= EPS + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert not adversarial.requires_grad


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_raises_the_loss_more_than_noise_does(name, model, batch, generator):
    x, y = batch

    def loss(images):
        model.eval()
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(model(images), y).item()

    adversarial = ATTACKS[name](model, x, y, eps=EPS, loss="ce", generator=generator)
    noisy = (x + EPS * (2 * torch.rand(x.shape, generator=generator) - 1).sign()).clamp(0, 1)
    assert loss(adversarial) > max(loss(x), loss(noisy))


def test_more_steps_find_more(batch, generator):
    x, y = batch
    model = TorchNetwork(convnet((3, 8, 8), 10, seed=1, mean=[0.5] * 3, std=[0.3] * 3, channels=(8,))).eval()
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(model(pgd(model, x, y, eps=0.2, n_steps=n, generator=generator)), y)
            for n in (1, 20)
        ]
    assert losses[1] > losses[0]


def test_fgsm_on_a_linear_model_has_its_closed_form():
    model, layer = a_linear_model()
    x, y = torch.rand(50, 1, 2, 3), torch.arange(50) % 3
    probability = torch.softmax(layer(x.flatten(1)), 1).detach()
    gradient = (probability - torch.nn.functional.one_hot(y, 3)) @ layer.weight.detach()
    expected = (x + EPS * gradient.sign().reshape(x.shape)).clamp(0, 1)
    torch.testing.assert_close(fgsm(model, x, y, eps=EPS), expected)


def test_pgd_on_a_two_class_linear_model_ends_in_the_best_corner(generator):
    """For two classes the worst x' in the ball is known: eps sign(w_other - w_true)."""
    model, layer = a_linear_model(n_classes=2)
    x, y = 0.3 + 0.4 * torch.rand(50, 1, 2, 3), torch.arange(50) % 2
    away = (layer.weight[1] - layer.weight[0]).detach().sign() * (1 - 2 * y)[:, None]
    expected = x + EPS * away.reshape(x.shape)
    torch.testing.assert_close(pgd(model, x, y, eps=EPS, n_steps=10, generator=generator), expected)


def test_rfgsm_moves_by_alpha_then_by_the_rest(generator):
    model, _ = a_linear_model(n_classes=2)
    x, y = torch.full((20, 1, 2, 3), 0.5), torch.zeros(20, dtype=torch.long)
    moved = (rfgsm(model, x, y, eps=0.1, alpha=0.03, loss="ce", generator=generator) - x).abs()
    # A pixel went +-0.03 at random and then 0.07 uphill: either 0.10 or 0.04 away.
    assert torch.isclose(moved, torch.tensor(0.1)).any()
    assert torch.isclose(moved, torch.tensor(0.04)).any()
    assert (torch.isclose(moved, torch.tensor(0.1)) | torch.isclose(moved, torch.tensor(0.04))).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_the_model_as_it_was(name, model, batch, generator):
    x, y = batch
    model.train()
    model.batch_norms()[0].requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ATTACKS[name](model, x, y, eps=EPS, generator=generator)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    frozen = {id(p) for p in model.batch_norms()[0].parameters()}
    assert all(p.requires_grad != (id(p) in frozen) for p in model.parameters())
    model.batch_norms()[0].requires_grad_(True)


def test_the_same_generator_gives_the_same_attack(model, batch):
    x, y = batch
    a, b, c = (
        pgd(model, x, y, eps=EPS, n_steps=2, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("attack", "options", "field"),
    [
        (fgsm, {"eps": -0.1}, "eps"),
        (fgsm, {"eps": float("nan")}, "eps"),
        (pgd, {"eps": 1.5}, "eps"),
        (pgd, {"eps": 0.1, "n_steps": 0}, "n_steps"),
        (pgd, {"eps": 0.1, "step_size": -1.0}, "step_size"),
        (rfgsm, {"eps": 0.1, "alpha": 0.2}, "alpha"),
        (fgsm, {"eps": 0.1, "loss": "mse"}, "loss"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(attack, options, field):
    model, _ = a_linear_model()
    with pytest.raises(TrainingError, match="GSM-608") as caught:
        attack(model, torch.rand(4, 1, 2, 3), torch.zeros(4, dtype=torch.long), **options)
    assert caught.value.where == field


@pytest.mark.parametrize("x", [torch.full((4, 6), 1.1), torch.full((4, 6), float("nan")), torch.full((3, 6), 0.5)])
def test_bad_images_are_refused(x):
    model, _ = a_linear_model()
    with pytest.raises(TrainingError, match="GSM-608"):
        fgsm(model, x, torch.zeros(4, dtype=torch.long), eps=0.1)


def test_a_network_without_a_gradient_to_the_pixels_is_refused(batch):
    x, y = batch
    network = replace(small_convolutional(), coding=InputCoding(kind="phase"))
    with pytest.raises(TrainingError, match="no gradient reaches the pixels"):
        fgsm(TorchNetwork(network), x, y, eps=0.1)


def test_another_surrogate_is_used_for_the_block_alone(batch):
    model, (x, y) = TorchNetwork(small_convolutional()), batch
    own = model.surrogate
    with using_surrogate(model, Surrogate(name="arctan")):
        assert model.surrogate.name == "arctan"
        other = fgsm(model, x, y, eps=EPS)
    assert model.surrogate is own
    assert not torch.equal(other, fgsm(model, x, y, eps=EPS))
    with pytest.raises(TrainingError, match="GSM-608"), using_surrogate(torch.nn.Linear(2, 2), own):
        pass


def a_dataset(n=23):
    rng = np.random.default_rng(0)
    return Dataset(
        name="noise",
        x=rng.integers(0, 256, (n, 3, 8, 8), np.uint8),
        y=np.arange(n, dtype=np.int64) % 10,
        n_classes=10,
        split="test",
        class_names=tuple("abcdefghij"),
    )


def test_accuracy_under_attack_counts_samples_that_are_right_twice():
    model, dataset, told = TorchNetwork(small_convolutional()).train(), a_dataset(), []
    report = evaluate_attack(
        model, dataset, pgd, eps=0.3, n_steps=3, batch_size=10, progress=lambda *done: told.append(done)
    )
    again = evaluate_attack(model, dataset, pgd, eps=0.3, n_steps=3, batch_size=10)
    assert report == again
    assert told == [(10, 23), (20, 23), (23, 23)]
    assert report.n_samples == len(report.correct) == 23
    assert all(c or not r for c, r in zip(report.correct, report.robust, strict=True))
    assert report.adversarial_accuracy == sum(report.robust) / 23 <= report.clean_accuracy == sum(report.correct) / 23
    assert model.training


def test_an_attack_of_no_size_changes_no_accuracy():
    report = evaluate_attack(TorchNetwork(small_convolutional()), a_dataset(), fgsm, eps=0.0)
    assert report.correct == report.robust
