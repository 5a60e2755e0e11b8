"""The ensemble of estimators: no part is stronger than the whole, and every number is a count of samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import small_convolutional

from gossamer.compiler import InputCoding
from gossamer.training import (
    ESTIMATORS,
    Bpda,
    Surrogate,
    TorchNetwork,
    TrainingError,
    apgd_ce,
    convnet,
    evaluate_attack,
    evaluate_ensemble,
    fgsm,
    pgd,
    sa_pgd,
)

EPS = 0.03


@pytest.fixture(scope="module")
def model():
    return TorchNetwork(small_convolutional(), surrogate=Surrogate(name="arctan"))


@pytest.fixture
def learned(model, noise_images):
    """Images of which the model gets all but three right."""
    with torch.no_grad():
        y = model.eval()(torch.tensor(noise_images.x).float() / 255).argmax(1).numpy()
    y[:3] = (y[:3] + 1) % 10
    return replace(noise_images, y=y)


@pytest.fixture
def report(model, learned):
    return evaluate_ensemble(model, learned, pgd, eps=EPS, n_steps=3, batch_size=8, every=True)


def test_there_are_the_nineteen_of_the_source():
    """Özdenizci & Legenstein 2024: PCW, exponential, rectangular, straight-through, BPTR, ReLU."""
    at = torch.tensor([-0.3, 0.1])
    size = at.abs()
    expected = [(g - size).clamp_min(0) / g**2 for g in (1, 2, 3, 0.5, 0.25)]
    expected += [a * torch.exp(-b * size) for a in (0.3, 1) for b in (0.5, 1, 2)]
    expected += [(size < g / 2).float() / g for g in (0.25, 0.5, 1, 2, 4)]
    expected += [torch.ones(2)]
    assert len(ESTIMATORS) == 19
    for (name, surrogate), slope in zip(list(ESTIMATORS.items())[:17], expected, strict=True):
        torch.testing.assert_close(surrogate.derivative(at, "", 0), slope, msg=name)
    assert list(ESTIMATORS)[17:] == ["rate", "artificial"]


def test_the_whole_is_no_more_robust_than_any_part(report, learned):
    assert report.clean_accuracy == 20 / 23
    assert list(report.estimators) == list(ESTIMATORS)
    accuracies = [e.adversarial_accuracy for e in report.estimators.values()]
    assert all(report.adversarial_accuracy <= a <= report.clean_accuracy for a in accuracies)
    assert report.adversarial_accuracy < min(accuracies)  # on these samples, they fool different ones
    assert len(set(accuracies)) > 2
    assert report.adversarial_accuracy == sum(report.robust) / 23
    assert report.options["n_steps"] == 3
    assert report.options["step_size"] == pytest.approx(2.5 * EPS / 3)


def test_every_sample_has_the_first_that_fooled_the_model(report):
    for correct, robust, by in zip(report.correct, report.robust, report.fooled_by, strict=True):
        assert (by is not None) == (correct and not robust)
    names = list(ESTIMATORS)
    firsts = [report.fooled_by.count(name) for name in names]
    assert all(n <= report.estimators[name].n_fooled for n, name in zip(firsts, names, strict=True))
    assert firsts[0] == report.estimators[names[0]].n_fooled
    assert sum(firsts) == sum(report.correct) - sum(report.robust)
    assert all(e.n_attacked == 20 for e in report.estimators.values())
    assert all(e.robust_share == pytest.approx(1 - e.n_fooled / 20) for e in report.estimators.values())


def test_what_has_fallen_is_not_attacked_again(model, learned):
    told = []
    report = evaluate_ensemble(
        model, learned, pgd, eps=EPS, n_steps=3, batch_size=8, progress=lambda *done: told.append(done)
    )
    standing = 20
    for estimator in report.estimators.values():
        assert estimator.n_attacked == standing
        standing -= estimator.n_fooled
        assert (estimator.adversarial_accuracy is not None) == (estimator.n_attacked == 20)
    assert standing == sum(report.robust) < 20
    assert told == sorted(told)
    assert told[-1] == (19 * 23, 19 * 23)
    again = evaluate_ensemble(model, learned, pgd, eps=EPS, n_steps=3, batch_size=8)
    assert again == report


def test_a_part_is_what_the_attack_with_that_surrogate_is(model, learned):
    """FGSM draws nothing, so both must agree sample for sample."""
    report = evaluate_ensemble(model, learned, fgsm, eps=EPS, every=True)
    for name in ("triangle 1", "exponential 0.3, 2", "rectangular 4", "straight-through", "rate"):
        alone = evaluate_attack(model, learned, fgsm, eps=EPS, surrogate=ESTIMATORS[name])
        assert report.estimators[name].adversarial_accuracy == alone.adversarial_accuracy
        by = np.array(report.fooled_by) == name
        assert not np.array(alone.robust)[by].any()


def test_more_estimators_find_no_less(model, learned):
    plain = evaluate_ensemble(model, learned, fgsm, eps=EPS)
    extended = evaluate_ensemble(model, learned, fgsm, eps=EPS, extended=True)
    assert list(extended.estimators)[19:] == ["own", "adaptive"]
    assert extended.adversarial_accuracy <= plain.adversarial_accuracy
    usual = TorchNetwork(small_convolutional())
    assert list(evaluate_ensemble(usual, learned, fgsm, eps=EPS, extended=True).estimators)[19:] == ["adaptive"]


def test_the_model_is_left_as_it_was(model, learned):
    model.train()
    own = model.surrogate
    evaluate_ensemble(model, learned, fgsm, eps=EPS)
    assert model.training
    assert model.surrogate is own
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("attack", "options"), [(apgd_ce, {"n_steps": 2}), (sa_pgd, {"n_steps": 2})])
def test_other_attacks_are_run_through_the_estimators_too(attack, options, model, learned):
    report = evaluate_ensemble(model, learned, attack, eps=EPS, **options)
    assert len({e.n_fooled for e in report.estimators.values()}) > 1
    assert report.options.get("sharpness") is None


def test_a_network_with_another_coding_is_judged_through_bpda(learned):
    model = TorchNetwork(replace(small_convolutional(), coding=InputCoding(kind="rate")))
    report = evaluate_ensemble(model, learned, fgsm, eps=0.3, bpda=Bpda())
    assert report.adversarial_accuracy <= report.clean_accuracy
    assert model.bpda is None


def test_what_has_no_surrogate_is_refused(learned):
    artificial = TorchNetwork(convnet((3, 8, 8), 10, seed=1, mean=[0] * 3, std=[1] * 3, channels=(4,)))
    for model in (torch.nn.Linear(2, 2), artificial):
        with pytest.raises(TrainingError, match="GSM-608"):
            evaluate_ensemble(model, learned, fgsm, eps=EPS)
