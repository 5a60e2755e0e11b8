"""The audit lets honest gradients pass and finds gradients that were hidden in each known way."""

import sys

import pytest
import torch
import torch.nn.functional as F
from blind_search import blind_search
from torch import nn

from gossamer.training import (
    BlackBox,
    Surrogate,
    TorchNetwork,
    TrainingError,
    audit,
    evaluate_attack,
    fgsm,
    load_dataset,
    mlp,
    pgd,
    to_spiking,
)

OPTIONS = {"eps": 0.1, "steps": (5, 10, 20), "n_samples": 100, "black_box": blind_search}


class Defended(nn.Module):
    """A network behind something that happens to its images or its logits."""

    def __init__(self, network, *, before=lambda x: x, after=lambda logits: logits):
        super().__init__()
        self.network = network
        self.before, self.after = before, after

    def forward(self, x):
        return self.after(self.network(self.before(x)))


HIDDEN = {
    "logits so large that the softmax saturates": {"after": lambda logits: 1e4 * logits},
    "pixels rounded to eight levels": {"before": lambda x: (8 * x).round() / 8},
    "a ripple that shatters the gradient": {"before": lambda x: x + 0.02 * torch.sin(3000 * x)},
    "noise in every forward pass": {"before": lambda x: x + 0.1 * torch.randn_like(x)},
    "no gradient at all": {"after": lambda logits: logits.detach()},
}


def trained(network, *, epochs, lr=0.1):
    """On the digits, by cross-entropy."""
    digits, draw = load_dataset("digits", "train"), torch.Generator().manual_seed(0)
    x, y = torch.tensor(digits.images()), torch.tensor(digits.y)
    model = TorchNetwork(network).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=draw).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def honest():
    return trained(mlp((1, 8, 8), 10, seed=0, mean=[0.3], std=[0.35], hidden=(64,)), epochs=10)


@pytest.fixture(scope="module")
def spiking(honest):
    return trained(to_spiking(honest.to_network(), {"fc1": 1.0}, n_steps=4), epochs=5, lr=0.05)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", "test")


def failed(report):
    return {finding.check for finding in report.findings if not finding.passed}


def test_honest_networks_pass(honest, spiking, digits):
    for model in (honest, spiking):
        other = TorchNetwork(mlp((1, 8, 8), 10, seed=1, mean=[0.3], std=[0.35], hidden=(64,)))
        report = audit(model, digits, sources={"untrained": other}, **OPTIONS)
        assert failed(report) == set(), report
        assert report.passed
        checks = [finding.check for finding in report.findings]
        assert checks == [
            "deterministic", "gradient", "iterative", "steps", "noise", "black box", "transfer", "growth",
        ]  # fmt: skip
        assert report.not_checked == {}
        assert report.clean_accuracy > 0.9
        assert report.n_samples == 100


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("logits so large that the softmax saturates", {"gradient", "black box", "growth"}),
        ("pixels rounded to eight levels", {"gradient", "black box", "growth"}),
        ("a ripple that shatters the gradient", {"black box", "growth"}),
        ("noise in every forward pass", {"deterministic"}),
        ("no gradient at all", {"gradient"}),
    ],
)
def test_every_way_to_hide_a_gradient_is_found(honest, digits, how, found):
    report = audit(Defended(honest, **HIDDEN[how]), digits, **OPTIONS)
    assert not report.passed
    assert failed(report) >= found
    assert report.clean_accuracy > 0.9


def test_a_saturated_softmax_is_told_from_a_gradient_that_is_not_there(honest, digits):
    saturated, rounded = (
        audit(Defended(honest, **HIDDEN[how]), digits, **OPTIONS).findings[1]
        for how in ("logits so large that the softmax saturates", "pixels rounded to eight levels")
    )
    assert saturated.evidence["share_saturated"] > 0.9
    assert "climb a margin" in saturated.text
    assert rounded.evidence["share_exactly_zero"] == 1
    assert rounded.evidence["share_saturated"] == 0
    assert rounded.evidence["share_of_zero_entries"] == 1


def test_a_surrogate_that_no_spike_comes_near_is_found_by_transfer_from_a_better_one(spiking, digits):
    narrow = TorchNetwork(spiking.to_network(), surrogate=Surrogate(name="rectangular", width=0.02))
    report = audit(narrow, digits, sources={"triangle": spiking}, **OPTIONS)
    assert "transfer" in failed(report)


def test_the_evidence_is_the_accuracies_of_the_attacks(honest, digits):
    report = audit(honest, digits, seed=7, **OPTIONS)
    few = digits.limit(100)
    finding = {finding.check: finding for finding in report.findings}
    white = evaluate_attack(honest, few, pgd, seed=7, eps=0.1, n_steps=20)
    single = evaluate_attack(honest, few, fgsm, seed=7, eps=0.1)
    blind = evaluate_attack(honest, few, blind_search, seed=7, eps=0.1)
    assert finding["iterative"].evidence["accuracy"] == {
        "PGD": white.adversarial_accuracy,
        "FGSM": single.adversarial_accuracy,
    }
    assert finding["black box"].evidence["accuracy"]["black box"] == blind.adversarial_accuracy
    assert finding["steps"].evidence["accuracy"]["20 steps"] == white.adversarial_accuracy
    assert list(finding["growth"].evidence["accuracy"]) == ["0.1", "0.2", "0.4", "0.8", "1"]
    only_white = sum(a and not b for a, b in zip(white.robust, single.robust, strict=True))
    only_single = sum(b and not a for a, b in zip(white.robust, single.robust, strict=True))
    difference = (only_white - only_single) / 100
    assert finding["iterative"].evidence["difference"] == pytest.approx(difference)
    variance = (only_white + only_single) / 100 - difference**2
    assert finding["iterative"].evidence["tolerance"] == pytest.approx(2 * (variance / 100) ** 0.5)


def test_a_seed_repeats_everything_and_nothing_is_left_changed(honest, digits):
    random = Defended(honest, **HIDDEN["noise in every forward pass"]).train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = audit(random, digits, **OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert audit(random, digits, **OPTIONS) == first
    assert audit(random, digits, seed=1, **OPTIONS).findings != first.findings
    assert random.training
    assert all(p.requires_grad for p in honest.parameters())
    honest.eval()


def test_progress_counts_the_attacks_that_are_made(honest, digits):
    told = []
    audit(honest, digits, progress=lambda *done: told.append(done), **OPTIONS)
    assert told == [(i, 11) for i in range(1, 12)]  # noise, FGSM, 3 x steps, the search, 5 sizes


def test_single_steps_in_the_largest_ball_are_no_longer_than_it(honest, digits):
    report = audit(honest, digits, **{**OPTIONS, "steps": (1, 2)})
    assert report.findings[-1].evidence["accuracy"]["1"] < 0.2


def test_what_is_not_checked_is_said(honest, digits):
    report = audit(honest, digits, **{**OPTIONS, "black_box": None, "n_queries": 0})
    assert set(report.not_checked) == {"black box", "transfer"}
    assert report.passed
    assert report.to_dict()["not_checked"] == report.not_checked
    none = audit(Defended(honest, **HIDDEN["no gradient at all"]), digits, **OPTIONS)
    assert set(none.not_checked) == {"iterative", "steps", "noise", "black box", "transfer", "growth"}


def test_without_another_attack_square_is_asked(honest, digits, monkeypatch):
    asked = []

    def square(model, x, y, *, eps, norm="linf", n_queries=5000, n_restarts=1, generator=None):
        asked.append(n_queries)
        return x

    monkeypatch.setattr(sys.modules["gossamer.training.attacks.audit"], "square", square)
    audit(honest, digits, **{**OPTIONS, "black_box": None, "n_queries": 7})
    assert asked == [7]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"eps": 0.0}, "eps"),
        ({"eps": 8.0}, "eps"),
        ({"steps": (10,)}, "steps"),
        ({"steps": (20, 10)}, "steps"),
        ({"sizes": (0.1,)}, "sizes"),
        ({"n_noise": 0}, "n_noise"),
        ({"n_queries": -1}, "n_queries"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused_by_name(honest, digits, options, where):
    with pytest.raises(TrainingError, match="GSM-608") as caught:
        audit(honest, digits, **{**OPTIONS, **options})
    assert caught.value.where == where


def test_networks_that_cannot_be_audited_are_refused(honest, digits):
    with pytest.raises(TrainingError, match="no sample is classified correctly"):
        audit(Defended(honest, after=lambda logits: -logits), digits.limit(20), **OPTIONS)
    asked = BlackBox(lambda x: honest(torch.from_numpy(x)).detach().numpy(), name="asked")
    with pytest.raises(TrainingError, match="can only be asked"):
        audit(asked, digits, **OPTIONS)
