"""Attacks stay where they may go, find what they look for, and leave the model as it was."""

from dataclasses import replace
from inspect import signature

import pytest
import torch
from networks import small_convolutional

from gossamer.compiler import InputCoding
from gossamer.training import (
    ATTACKS,
    Surrogate,
    TorchNetwork,
    TrainingError,
    apgd_ce,
    convnet,
    evaluate_attack,
    fab_t,
    fgsm,
    mi_fgsm,
    pgd,
    rfgsm,
    sa_pgd,
    square,
    using_surrogate,
)
from gossamer.training.attacks.gradient import direction, start_in_ball

EPS = 0.06
MARGIN = ("fab", "fab-t", "square", "apgd-dlr", "apgd-t")  # they change the class, or raise another loss than this


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


def run(name, model, x, y, *, eps=EPS, **options):
    """The attack, with a tenth of its usual steps where they are many, and those of the options that it takes."""
    taken = signature(ATTACKS[name]).parameters
    few = {"n_steps": 10, "n_queries": 100}
    return ATTACKS[name](model, x, y, eps=eps, **{k: v for k, v in (few | options).items() if k in taken})


def variants(**options):
    """(name, options) of every attack and every value of these options that it takes."""
    for name, attack in ATTACKS.items():
        for option, values in options.items():
            if option in signature(attack).parameters:
                yield from ((name, {option: value}) for value in values)
        if not set(options) & set(signature(attack).parameters):
            yield name, {}


def length(change, norm):
    return change.abs().amax() if norm == "linf" else change.flatten(1).norm(dim=1).amax()


@pytest.mark.parametrize(("name", "options"), list(variants(norm=["linf", "l2"], loss=["ce", "kl"])))
def test_an_attack_stays_in_the_ball_and_in_the_range_of_pixels(name, options, model, batch, generator):
    x, y = batch
    norm = options.get("norm", "linf")
    eps = EPS if norm == "linf" else 1.5
    adversarial = run(name, model, x, y, eps=eps, generator=generator, **options)
    assert adversarial.shape == x.shape
    assert length(adversarial - x, norm) <= eps * (1 + 1e-5)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert not adversarial.requires_grad


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in MARGIN])
def test_an_attack_raises_the_loss_more_than_noise_does(name, model, batch, generator):
    x, y = batch

    def loss(images):
        model.eval()
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(model(images), y).item()

    y = model.eval()(x).argmax(1)  # some attack only what is classified correctly
    adversarial = run(name, model, x, y, loss="ce", generator=generator)
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


def test_the_best_of_the_way_fools_no_less_than_its_end(batch):
    model, (x, _) = TorchNetwork(small_convolutional()).eval(), batch
    with torch.no_grad():
        y = model(x).argmax(1)
        last, best = (
            model(pgd(model, x, y, eps=0.03, n_steps=10, keep_best=keep, generator=torch.Generator())).argmax(1) != y
            for keep in (False, True)
        )
    assert (best | ~last).all()  # the same steps: what the end fools, the best of them does
    assert best.sum() > last.sum()


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


@pytest.mark.parametrize("attack", [fgsm, mi_fgsm, pgd])
def test_l2_attacks_on_a_two_class_linear_model_end_at_the_best_point_of_the_ball(attack, generator):
    model, layer = a_linear_model(n_classes=2)
    x, y = 0.4 + 0.2 * torch.rand(50, 1, 2, 3), torch.arange(50) % 2
    away = (layer.weight[1] - layer.weight[0]).detach() * (1 - 2 * y)[:, None]
    expected = x + 0.3 * (away / away.norm(dim=1, keepdim=True)).reshape(x.shape)
    steps = {"n_steps": 40, "step_size": 1.0} if attack is pgd else {}
    adversarial = attack(model, x, y, eps=0.3, norm="l2", generator=generator, **steps)
    torch.testing.assert_close(adversarial, expected, atol=2e-4, rtol=0)


def test_an_l2_step_has_the_direction_of_a_gradient_whose_squares_vanish():
    gradient = torch.tensor([[3e-30, -4e-30], [0.0, 0.0], [1e30, 0.0]])
    torch.testing.assert_close(direction(gradient, "l2"), torch.tensor([[0.6, -0.8], [0.0, 0.0], [1.0, 0.0]]))


def test_a_random_start_is_uniform_in_the_l2_ball(generator):
    """The share within radius r of the ball of radius 1 in d dimensions is r^d."""
    x = torch.full((20_000, 3), 0.5)
    start = start_in_ball(x, 0.4, "l2", generator) - x
    radius = start.norm(dim=1) / 0.4
    assert radius.max() <= 1 + 1e-5
    for r in (0.5, 0.8):
        assert (radius <= r).float().mean().item() == pytest.approx(r**3, abs=0.012)
    assert start.mean(0).abs().max() < 0.005


def test_momentum_follows_its_equation():
    model, layer = a_linear_model()
    x, y = 0.3 + 0.4 * torch.rand(5, 1, 2, 3), torch.arange(5) % 3
    adversarial, momentum = x, torch.zeros_like(x)
    for _ in range(4):
        probability = torch.softmax(layer(adversarial.flatten(1)), 1).detach()
        gradient = ((probability - torch.nn.functional.one_hot(y, 3)) @ layer.weight.detach()).reshape(x.shape)
        momentum = 0.7 * momentum + gradient / gradient.abs().sum((1, 2, 3), keepdim=True)
        adversarial = (adversarial + 0.05 * momentum.sign()).clamp(x - 0.2, x + 0.2).clamp(0, 1)
    torch.testing.assert_close(mi_fgsm(model, x, y, eps=0.2, n_steps=4, decay=0.7), adversarial)


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
    state = torch.get_rng_state()
    run(name, model, x, y, generator=generator)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(m.training for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    frozen = {id(p) for p in model.batch_norms()[0].parameters()}
    assert all(p.requires_grad != (id(p) in frozen) for p in model.parameters())
    model.batch_norms()[0].requires_grad_(True)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_generator_gives_the_same_attack(name, model, batch):
    x, y = batch
    y = model.eval()(x).argmax(1)
    a, b, c = (run(name, model, x, y, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(a, b)
    if name not in ("fgsm", "mi-fgsm", "fab", "fab-t"):  # nothing in them is random
        assert not torch.equal(a, c)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_takes_one_image_and_images_that_are_already_misclassified(name, model, batch, generator):
    x, y = batch
    wrong = (model.eval()(x).argmax(1) + 1) % 10
    assert run(name, model, x[:1], y[:1], generator=generator).shape == x[:1].shape
    assert length(run(name, model, x, wrong, generator=generator) - x, "linf") <= EPS * (1 + 1e-5)


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in ("apgd-t", "square")])
def test_an_attack_takes_three_classes_and_flat_images(name, generator):
    model, _ = a_linear_model()
    x = torch.rand(7, 6, generator=generator)
    y = model(x).argmax(1)
    assert length(run(name, model, x, y, generator=generator) - x, "linf") <= EPS * (1 + 1e-5)


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
        (fgsm, {"eps": 0.1, "norm": "l1"}, "norm"),
        (pgd, {"eps": 2.5, "norm": "l2"}, "eps"),  # six pixels: no change is longer than sqrt(6)
        (mi_fgsm, {"eps": 0.1, "decay": 1.5}, "decay"),
        (fgsm, {"eps": 0.1, "eot": 0}, "eot"),
        (sa_pgd, {"eps": 0.1, "n_steps": 0}, "n_steps"),
        (apgd_ce, {"eps": 0.1, "n_restarts": 0}, "n_restarts"),
        (fab_t, {"eps": 0.1, "n_target_classes": 0}, "n_target_classes"),
        (square, {"eps": 0.1, "n_queries": 0}, "n_queries"),
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
    with pytest.raises(TrainingError, match=r"no gradient reaches the pixels.*using_bpda"):
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


def test_accuracy_under_attack_counts_samples_that_are_right_twice(noise_images):
    model, dataset, told = TorchNetwork(small_convolutional()).train(), noise_images, []
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


def test_an_attack_of_no_size_changes_no_accuracy(noise_images):
    report = evaluate_attack(TorchNetwork(small_convolutional()), noise_images, fgsm, eps=0.0)
    assert report.correct == report.robust
