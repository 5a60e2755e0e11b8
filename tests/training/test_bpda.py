"""A gradient through input codings that have none: forward nothing changes, backward it is what was said."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from networks import joined, small_convolutional

from gossamer.compiler import Dense, InputCoding
from gossamer.simulator import encode as simulator_encode
from gossamer.training import ATTACKS, Bpda, TorchNetwork, TrainingError, evaluate_attack, fgsm, pgd, using_bpda
from gossamer.training.attacks.gradient import expected_gradient
from gossamer.training.encode import encode

CODINGS = {
    "rate": InputCoding(kind="rate", seed=3),
    "phase": InputCoding(kind="phase", phases=4),
    "weighted": InputCoding(kind="phase", phases=4, weighted=True),
    "latency": InputCoding(kind="latency"),
}


def values(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", CODINGS)
def test_steps_are_those_of_the_simulator(name):
    x = values(5, 2, 3)
    x[0, 0, 0], x[0, 0, 1] = 0, 1
    steps = encode(x.clone().requires_grad_(True), CODINGS[name], 6, bpda=Bpda(draw=4)).detach()
    for i in range(5):  # the same draw for every image: that of the simulator's sample number 4
        expected, _ = simulator_encode(x[i : i + 1].numpy(), CODINGS[name], (2, 3), 6, first_sample=4)
        np.testing.assert_array_equal(steps[:, i].reshape(6, -1).numpy(), expected[0])


def slope_at(x, coding, n_steps, bpda=None):
    """d s[t] / d x of a single value."""
    pixel = torch.tensor([[x]], requires_grad=True)
    steps = encode(pixel, coding, n_steps, bpda=bpda or Bpda())
    return [torch.autograd.grad(steps[t].sum(), pixel, retain_graph=True)[0].item() for t in range(n_steps)]


def test_a_rate_and_a_bit_pass_the_gradient_and_a_weight_scales_it():
    assert slope_at(0.3, CODINGS["rate"], 3) == [1, 1, 1]
    assert slope_at(0.3, CODINGS["phase"], 6) == [1, 1, 1, 1, 1, 1]
    assert slope_at(0.3, CODINGS["phase"], 6, Bpda(phase="weighted")) == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 2, 1 / 4]
    assert slope_at(0.3, CODINGS["weighted"], 4) == [1 / 2, 1 / 4, 1 / 8, 1 / 16]
    assert slope_at(0.3, CODINGS["weighted"], 3, Bpda(phase="weighted")) == [1 / 4, 1 / 16, 1 / 64]


def shared_between_steps(x, n_steps):
    """The spike's one, shared linearly between the two steps that enclose its time."""
    return np.maximum(0, 1 - abs(np.arange(n_steps) - (1 - x) * (n_steps - 1)))


@pytest.mark.parametrize("x", [0.0625, 0.3, 0.5, 0.75, 0.9])  # 0.5 and 0.75 fall on a step
def test_the_slope_of_latency_is_that_of_a_shared_spike(x):
    h = 1e-4
    central = (shared_between_steps(x + h, 5) - shared_between_steps(x - h, 5)) / (2 * h)
    np.testing.assert_allclose(slope_at(x, CODINGS["latency"], 5), central, atol=1e-2)


def test_darkest_and_brightest_pixels_have_a_slope_too():
    assert slope_at(0.0, CODINGS["latency"], 5) == [0, 0, 0, 2, 0]
    assert slope_at(1.0, CODINGS["latency"], 5) == [0, -2, 0, 0, 0]
    assert slope_at(0.3, CODINGS["latency"], 1) == [0]


@pytest.mark.parametrize("name", CODINGS)
def test_an_attack_through_the_coding_finds_what_fgsm_refuses_to_look_for(name, noise_images):
    model = TorchNetwork(replace(small_convolutional(), coding=CODINGS[name])).eval()
    with pytest.raises(TrainingError, match="GSM-608"):
        evaluate_attack(model, noise_images, fgsm, eps=0.1)
    bpda = Bpda()
    with using_bpda(model, bpda), torch.no_grad():
        y = model(torch.tensor(noise_images.x).float() / 255).argmax(1)
    learned = replace(noise_images, y=y.numpy())
    report = evaluate_attack(model, learned, fgsm, eps=0.3, bpda=bpda)
    random = evaluate_attack(model, learned, uniform_noise, eps=0.3, bpda=bpda)
    assert report.clean_accuracy == 1
    assert report.adversarial_accuracy < 0.8
    assert report.adversarial_accuracy < random.adversarial_accuracy
    assert model.bpda is None


def uniform_noise(model, x, y, *, eps, generator):
    return (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)


def test_a_model_without_an_input_coding_is_refused():
    with pytest.raises(TrainingError, match="GSM-608"), using_bpda(torch.nn.Linear(2, 2), Bpda()):
        pass


@pytest.mark.parametrize("options", [{"phase": "none"}, {"draw": -1}])
def test_bad_options_are_refused(options):
    with pytest.raises(TrainingError, match="GSM-608"):
        Bpda(**options)


def a_linear_readout_of_random_spikes():
    weight = np.random.default_rng(0).normal(0, 2, (2, 3)).astype(np.float32)
    network = joined([Dense(weight=weight)], (3,), (2,), kind="readout", n_steps=2, coding=InputCoding(kind="rate"))
    return TorchNetwork(network).requires_grad_(False), torch.tensor(weight)


def test_the_expected_gradient_converges_to_the_expectation_over_all_draws():
    model, weight = a_linear_readout_of_random_spikes()
    x, y = torch.tensor([[0.2, 0.5, 0.9]]), torch.tensor([1])
    exact = torch.zeros(3)
    for bits in product((0.0, 1.0), repeat=6):
        spikes = torch.tensor(bits).reshape(2, 3)
        chance = torch.where(spikes == 1, x, 1 - x).prod()
        probability = torch.softmax(spikes.mean(0) @ weight.T, 0)
        exact += chance * ((probability - torch.tensor([0.0, 1.0])) @ weight)

    def error(eot, seed):
        estimate, _ = expected_gradient(model, x, y, "ce", eot=eot, generator=torch.Generator().manual_seed(seed))
        return (estimate[0] - exact).square().sum().item()

    with using_bpda(model, Bpda()):
        few, many = (np.mean([error(eot, seed) for seed in range(8)]) for eot in (4, 400))
    assert many < few / 25  # the variance of a mean of 100 times as many
    assert many < 1e-3 * exact.square().sum().item() + 1e-3


def test_each_draw_is_another_and_a_network_that_draws_nothing_is_asked_once():
    model, _ = a_linear_readout_of_random_spikes()
    asked = []
    model.register_forward_hook(lambda *_: asked.append(model.bpda))
    x, y = values(4, 3), torch.tensor([0, 1, 0, 1])
    with using_bpda(model, Bpda(draw=7)):
        pgd(model, x, y, eps=0.1, n_steps=2, eot=3, generator=torch.Generator())
        assert model.bpda == Bpda(draw=7)
        ATTACKS["apgd-ce"](model, x, y, eps=0.1, n_steps=2, eot=3, generator=torch.Generator().manual_seed(1))
    assert len({b.draw for b in asked[:6]}) == 6
    assert len({b.draw for b in asked}) == 6 + 9 + 1  # APGD takes a gradient more than it has steps
    still = TorchNetwork(replace(small_convolutional(), coding=CODINGS["phase"]))
    still.register_forward_hook(lambda *_: asked.append(None))
    del asked[:]
    with using_bpda(still, Bpda()):
        fgsm(still, values(2, 3, 8, 8), torch.tensor([0, 1]), eps=0.1, eot=5)
    assert len(asked) == 1
