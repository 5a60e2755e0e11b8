"""AutoAttack's attacks are the kept package's, bit for bit, and leave no trace."""

import random
import sys
from dataclasses import replace

import pytest
import torch
from networks import small_convolutional
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack

from gossamer.compiler import InputCoding
from gossamer.training import (
    TorchNetwork,
    TrainingError,
    apgd_ce,
    apgd_dlr,
    apgd_t,
    convnet,
    evaluate_attack,
    fab,
    fab_t,
    square,
)
from gossamer.training.attacks.auto import package_seed

NORMS = {"linf": ("Linf", 0.03), "l2": ("L2", 0.5)}
STEPS = {"n_steps": 6, "n_restarts": 2}
ITERATIONS = {"n_iter": 6, "n_restarts": 2}
PAIRS = {
    "apgd-ce": (apgd_ce, STEPS, APGDAttack, {**ITERATIONS, "loss": "ce"}),
    "apgd-dlr": (apgd_dlr, STEPS, APGDAttack, {**ITERATIONS, "loss": "dlr"}),
    "apgd-t": (apgd_t, STEPS, APGDAttack_targeted, {**ITERATIONS, "n_target_classes": 9}),
    "fab": (fab, STEPS, FABAttack_PT, ITERATIONS),
    "fab-t": (
        fab_t,
        {**STEPS, "n_target_classes": 3},
        FABAttack_PT,
        {**ITERATIONS, "targeted": True, "n_target_classes": 3},
    ),
    "square": (square, {"n_queries": 60}, SquareAttack, {"n_queries": 60, "resc_schedule": False}),
}


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=["ann", "snn"])
def model(request):
    if request.param == "snn":
        return TorchNetwork(small_convolutional()).eval().requires_grad_(False)
    network = convnet((3, 8, 8), 10, seed=1, mean=[0.5] * 3, std=[0.3] * 3, channels=(4, "A"))
    return TorchNetwork(network).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch(model):
    """Twelve images, the last two misclassified."""
    x = torch.rand((12, 3, 8, 8), generator=generator(1))
    y = model(x).argmax(1)
    y[10:] = (y[10:] + 1) % 10
    return x, y


@pytest.mark.filterwarnings("ignore:there are .* points with zero gradient")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PAIRS)
def test_images_are_bit_equal_to_the_packages(name, norm, model, batch):
    attack, ours, package_class, theirs = PAIRS[name]
    (x, y), (package_norm, eps) = batch, NORMS[norm]
    images = attack(model, x, y, eps=eps, norm=norm, generator=generator(), **ours)
    with torch.random.fork_rng(devices=[]):
        direct = package_class(model, norm=package_norm, eps=eps, seed=package_seed(generator()), **theirs)
        expected = direct.perturb(x.clone(), y)
    assert torch.equal(images, expected)
    assert torch.equal(images[10:], x[10:])
    assert not torch.equal(images, x)


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_returned_changed_fools_the_model(name, model, batch):
    attack, ours, _, _ = PAIRS[name]
    x, y = batch
    images = attack(model, x, y, eps=0.05, generator=generator(), **ours)
    changed = (images != x).flatten(1).any(1)
    assert changed.any()
    assert (model(images).argmax(1) != y)[changed].all()


@pytest.mark.parametrize("name", PAIRS)
def test_global_randomness_modes_and_parameters_stay_as_they_were(name, capsys, caplog):
    attack, ours, _, _ = PAIRS[name]
    model = TorchNetwork(small_convolutional()).train()
    x = torch.rand((3, 3, 8, 8), generator=generator(1))
    y = model.eval()(x).argmax(1)
    model.train()
    states = torch.get_rng_state(), random.getstate()
    attack(model, x, y, eps=0.05, generator=generator(), **ours)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("n", [0, 1])
def test_none_or_one_image(name, n, model, batch):
    attack, ours, _, _ = PAIRS[name]
    x, y = batch[0][:n], batch[1][:n]
    assert attack(model, x, y, eps=0.05, generator=generator(), **ours).shape == x.shape


def test_without_a_gradient_an_attack_with_gradients_refuses_and_square_finds(small_network):
    model = TorchNetwork(replace(small_network, coding=InputCoding(kind="phase")))
    x = torch.rand((20, 3, 8, 8), generator=generator(1))
    y = model(x).argmax(1)
    for attack in (apgd_ce, fab):
        with pytest.raises(TrainingError, match="no gradient reaches the pixels"):
            attack(model, x, y, eps=0.2)
    assert (model(square(model, x, y, eps=0.2, n_queries=50)).argmax(1) != y).any()


@pytest.mark.parametrize(("attack", "n_classes"), [(apgd_dlr, 2), (apgd_t, 3)])
def test_too_few_classes_are_refused(attack, n_classes):
    with pytest.raises(TrainingError, match=r"GSM-608.*too few classes"):
        attack(torch.nn.Linear(6, n_classes), torch.rand(4, 6), torch.zeros(4, dtype=torch.long), eps=0.1)


def test_squares_need_images():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 4))
    y = torch.zeros(2, dtype=torch.long)
    with pytest.raises(TrainingError, match="squares do not fit"):
        square(model, torch.rand(2, 16), y, eps=0.1)
    with pytest.raises(TrainingError, match="at least 5 x 5"):
        square(model, torch.rand(2, 1, 4, 4), y, eps=0.1, norm="l2")


def test_a_missing_package_is_named_with_its_extra(monkeypatch, batch, model):
    monkeypatch.setitem(sys.modules, "pyautoattack.autopgd_base", None)
    with pytest.raises(TrainingError, match=r"GSM-701.*gossamer\[attack\]"):
        apgd_ce(model, *batch, eps=0.1)


def test_evaluation_states_the_options(noise_images):
    model = TorchNetwork(small_convolutional())
    report = evaluate_attack(model, noise_images, apgd_t, eps=0.05, n_steps=3, n_target_classes=2)
    assert report.options == {
        "eps": 0.05, "norm": "linf", "n_steps": 3, "n_restarts": 1, "n_target_classes": 2, "eot": 1,
    }  # fmt: skip
    assert report.adversarial_accuracy <= report.clean_accuracy
