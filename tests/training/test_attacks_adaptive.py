"""The adaptive surrogate has its formula and forgets, and its attack finds what a fixed surrogate hides."""

from dataclasses import replace
from math import pi, tan

import numpy as np
import pytest
import torch
from networks import small_convolutional

from gossamer.training import (
    AdaptiveSurrogate,
    Surrogate,
    TorchNetwork,
    TrainingError,
    evaluate_attack,
    fgsm,
    pgd,
    sa_pgd,
    search_sharpness,
    using_surrogate,
)
from gossamer.training.attacks.sa_pgd import _halvings


def test_the_slope_is_that_of_the_formula_over_several_passes():
    rng = np.random.default_rng(0)
    surrogate, sharpness = AdaptiveSurrogate(0.4), 0.4
    mean, deviation, a = np.ones((3, 5)), np.zeros((3, 5)), 2 * tan(pi * sharpness) / pi
    for _ in range(4):
        u = rng.normal(size=(3, 5))
        mean = 0.9 * mean + 0.1 * abs(u)
        deviation = 0.9 * deviation + 0.1 * abs(abs(u) - mean)
        alpha = a / (mean + 1.5 * deviation + 1e-4)
        expected = alpha / 2 / (1 + (pi / 2 * alpha * u) ** 2)
        given = torch.tensor(u)
        np.testing.assert_allclose(surrogate.derivative(given, "p", 2).numpy(), expected, rtol=1e-6)
        assert (given.numpy() == u).all()


def test_populations_steps_and_batches_have_means_of_their_own():
    u, far = torch.full((2, 3), 0.1), torch.full((2, 3), 5.0)
    fresh = AdaptiveSurrogate().derivative(u, "p", 0)
    surrogate = AdaptiveSurrogate()
    surrogate.derivative(far, "p", 1)
    surrogate.derivative(far, "q", 0)
    surrogate.derivative(torch.full((4, 3), 5.0), "p", 0)
    assert torch.equal(surrogate.derivative(u, "p", 0), fresh)
    assert not torch.equal(surrogate.derivative(u, "p", 1), fresh)
    surrogate.reset()
    assert torch.equal(surrogate.derivative(u, "p", 1), fresh)


@pytest.mark.parametrize("sharpness", [0.0, 0.5, float("nan")])
def test_a_sharpness_out_of_range_is_refused(sharpness):
    with pytest.raises(TrainingError, match="sharpness"):
        AdaptiveSurrogate(sharpness)


def test_the_step_is_halved_at_the_checkpoints():
    assert sorted(_halvings(100))[:8] == [22, 41, 57, 70, 80, 87, 93, 99]
    assert min(_halvings(1)) == 1


def test_on_a_two_class_linear_model_it_ends_in_the_best_corner(generator):
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 2)
    x = 0.3 + 0.4 * torch.rand(20, 6, generator=generator)
    y = torch.arange(20) % 2
    away = (layer.weight[1] - layer.weight[0]).detach().sign() * (1 - 2 * y)[:, None]
    adversarial = sa_pgd(layer, x, y, eps=0.05, n_steps=30, generator=generator)
    fooled = layer(x + 0.05 * away).argmax(1) != y
    torch.testing.assert_close(adversarial[~fooled], (x + 0.05 * away)[~fooled])  # the largest loss of the ball
    assert (layer(adversarial).argmax(1) != y)[fooled].all()


def test_it_sees_through_a_surrogate_that_hides_the_gradient(generator):
    hidden = TorchNetwork(small_convolutional(), surrogate=Surrogate(name="rectangular", width=1e-4)).eval()
    x = torch.rand(30, 3, 8, 8, generator=generator)
    y = hidden(x).argmax(1)
    options = {"eps": 0.1, "n_steps": 20}
    with torch.no_grad():
        n_plain = int((hidden(pgd(hidden, x, y, generator=generator, **options)).argmax(1) != y).sum())
        n_adaptive = int((hidden(sa_pgd(hidden, x, y, generator=generator, **options)).argmax(1) != y).sum())
    assert n_adaptive > n_plain + 5
    assert hidden.surrogate == Surrogate(name="rectangular", width=1e-4)


def test_every_batch_of_an_evaluation_begins_anew(noise_images):
    """In one batch or in several of one image, FGSM takes one gradient of each image: the first."""
    model = TorchNetwork(small_convolutional())
    surrogate = AdaptiveSurrogate()
    whole, single = (
        evaluate_attack(model, noise_images, fgsm, eps=0.05, surrogate=surrogate, batch_size=n) for n in (23, 1)
    )
    assert whole == single
    assert not surrogate._means


def test_without_a_sharpness_the_models_own_surrogate_is_used(generator):
    model = TorchNetwork(small_convolutional())
    x, y = torch.rand(4, 3, 8, 8, generator=generator), torch.arange(4)

    def attacked(sharpness, surrogate=None):
        with using_surrogate(model, surrogate):
            return sa_pgd(model, x, y, eps=0.1, n_steps=5, sharpness=sharpness, generator=torch.Generator())

    flat = Surrogate(name="straight-through")
    assert torch.equal(attacked(0.4), attacked(0.4, flat))
    assert not torch.equal(attacked(None), attacked(None, flat))


def test_a_search_keeps_the_sharpness_that_fools_most(noise_images):
    model = TorchNetwork(small_convolutional()).eval()
    with torch.no_grad():
        y = model(torch.tensor(noise_images.x).float() / 255).argmax(1).numpy()
    data = replace(noise_images, y=y)
    report = search_sharpness(model, data, eps=0.03, n_searches=3, n_steps=4)
    assert 0.35 < report.sharpness < 0.49
    assert report.best.adversarial_accuracy == min(report.tried.values()) == report.tried[report.sharpness]
    assert report.best.options["sharpness"] == report.sharpness
    alone = evaluate_attack(model, data, sa_pgd, eps=0.03, n_steps=4, sharpness=report.sharpness)
    assert alone == report.best
    assert 4 <= len(report.tried) <= 6
    with pytest.raises(TrainingError, match="n_searches"):
        search_sharpness(model, data, eps=0.03, n_searches=0)
