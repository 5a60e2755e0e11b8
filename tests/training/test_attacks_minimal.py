"""Smallest changes: those of a linear network are known, and a curve is what is counted from them."""

from math import inf

import numpy as np
import pytest
import torch
from networks import joined, small_convolutional

from gossamer.compiler import Dense
from gossamer.training import (
    Dataset,
    MinimalReport,
    TorchNetwork,
    TrainingError,
    evaluate_attack,
    fab,
    fab_t,
    fgsm,
    minimal_eps,
    pgd,
    rfgsm,
    robustness_curve,
)

WEIGHT = np.random.default_rng(0).normal(0, 1, (2, 12)).astype(np.float32)
WEIGHT -= WEIGHT.mean(1, keepdims=True)  # a grey image lies on the border


@pytest.fixture(scope="module")
def linear():
    """A linear network of two classes in the IR, and greyish images, some of them on the wrong side."""
    network = joined([Dense(weight=WEIGHT)], (1, 3, 4), (2,), kind="readout")
    x = np.random.default_rng(1).integers(100, 156, (40, 1, 3, 4), np.uint8)
    logits = (x.reshape(40, 12) / 255) @ WEIGHT.T
    y = logits.argmax(1)
    y[:4] = 1 - y[:4]
    data = Dataset(name="grey", x=x, y=y, n_classes=2, split="test", class_names=("a", "b"))
    margin = np.where(y == 0, 1, -1) * (logits[:, 0] - logits[:, 1])
    return TorchNetwork(network), data, margin


def in_closed_form(margin, norm):
    """|margin| / |w|_1 for the largest norm, |margin| / |w|_2 for the Euclidean one; 0 on the wrong side."""
    difference = WEIGHT[0] - WEIGHT[1]
    return np.maximum(margin, 0) / np.linalg.norm(difference, 1 if norm == "linf" else 2)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("attack", "n_bisections"), [(fgsm, 12), (pgd, 12), (fab, 0), (fab_t, 0)])
def test_a_linear_networks_distances_have_their_closed_form(attack, n_bisections, norm, linear):
    model, data, margin = linear
    expected = in_closed_form(margin, norm)
    options = {"step_size": 1.0} if (attack, norm) == (pgd, "l2") else {}
    report = minimal_eps(model, data, attack, norm=norm, max_eps=0.3, n_bisections=n_bisections, **options)
    distances = np.array(report.distances)
    assert (distances[:4] == 0).all()
    assert (distances >= expected - 1e-6).all()
    fab_overshoots = 1.06  # eta = 1.05
    tolerance = 0.3 / 2**12 + 1e-5 if n_bisections else (fab_overshoots - 1) * expected + 1e-5
    assert (distances <= expected + tolerance).all()
    assert report.clean_accuracy == 0.9
    assert report.options["norm"] == norm


def test_what_does_not_fall_at_the_largest_eps_is_infinite(linear):
    model, data, margin = linear
    expected = in_closed_form(margin, "linf")
    max_eps = float(np.median(expected[4:]))
    told = []
    report = minimal_eps(
        model, data, fgsm, max_eps=max_eps, n_bisections=5, batch_size=7, progress=lambda *done: told.append(done)
    )
    infinite = np.isinf(report.distances)
    assert 0 < infinite.sum() < 36
    assert (infinite == (expected > max_eps)).all()
    assert told[-1][0] == told[-1][1] == 36 + 5 * (36 - infinite.sum())


def test_the_batch_size_changes_nothing_where_nothing_is_drawn(linear):
    model, data, _ = linear
    a, b = (minimal_eps(model, data, fgsm, max_eps=0.2, n_bisections=4, batch_size=n) for n in (3, 64))
    assert a == b


def test_a_curve_counts_what_is_still_standing():
    report = MinimalReport(norm="linf", max_eps=0.5, distances=(0.0, 0.1, 0.25, inf), options={})
    assert robustness_curve(report, [0, 0.05, 0.1, 0.2, 0.25, 0.5]) == (0.75, 0.75, 0.5, 0.5, 0.25, 0.25)
    assert report.clean_accuracy == 0.75
    assert report.median == 0.25
    with pytest.raises(TrainingError, match="GSM-608"):
        robustness_curve(report, [0.6])


def test_a_curve_agrees_with_attacks_of_fixed_size_on_a_spiking_network(noise_images):
    model = TorchNetwork(small_convolutional()).train()
    with torch.no_grad():
        y = model.eval()(torch.tensor(noise_images.x).float() / 255).argmax(1).numpy()
    data = Dataset(**{**vars(noise_images), "y": y})
    model.train()
    report = minimal_eps(model, data, pgd, max_eps=0.2, n_bisections=6, n_steps=5)
    assert model.training
    assert report.options["step_size"] is None
    curve = robustness_curve(report, [0, 0.05, 0.2])
    fixed = [evaluate_attack(model, data, pgd, eps=eps, n_steps=5).adversarial_accuracy for eps in (0.05, 0.2)]
    assert curve[0] == 1
    assert curve[1] <= fixed[0] + 2 / 23  # both are random, and the smaller distances count too
    assert abs(curve[2] - fixed[1]) <= 2 / 23
    assert curve[0] > curve[1] > curve[2]


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (fgsm, {"max_eps": 0.0}),
        (fgsm, {"max_eps": 0.1, "n_bisections": 31}),
        (fgsm, {"max_eps": 0.1, "seed": -1}),
        (rfgsm, {"max_eps": 0.1, "norm": "l2"}),
    ],
)
def test_options_out_of_range_are_refused(attack, options, linear):
    with pytest.raises(TrainingError, match="GSM-608"):
        minimal_eps(linear[0], linear[1], attack, **options)
