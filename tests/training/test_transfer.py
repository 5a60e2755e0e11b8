"""Transfer: the accuracy on images that were made elsewhere."""

import numpy as np
import pytest
import torch
from networks import small_convolutional

from gossamer.training import (
    BlackBox,
    Dataset,
    Surrogate,
    TorchNetwork,
    TrainingError,
    evaluate_attack,
    evaluate_transfer,
    fgsm,
    pgd,
)

OPTIONS = {"eps": 0.15, "n_steps": 3}


@pytest.fixture(scope="module")
def dataset():
    """Noise with the labels that the network itself gives to it, but for every fourth: an accuracy of 3/4."""
    x = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8), np.uint8)
    with torch.no_grad():
        y = TorchNetwork(small_convolutional()).eval()(torch.tensor(x) / 255).argmax(1).numpy()
    y = np.where(np.arange(30) % 4 == 3, (y + 1) % 10, y)
    return Dataset(name="noise", x=x, y=y, n_classes=10, split="test", class_names=tuple("abcdefghij"))


@pytest.fixture
def target():
    return TorchNetwork(small_convolutional())


def test_from_itself_it_is_the_white_box_attack(target, dataset):
    white = evaluate_attack(target, dataset, pgd, seed=5, batch_size=8, **OPTIONS)
    report = evaluate_transfer(target, {"itself": target}, dataset, pgd, seed=5, batch_size=8, **OPTIONS)
    assert report.robust == white.robust
    assert report.correct == white.correct
    assert report.options == white.options
    assert report.parts == report.at_source == {"itself": white.adversarial_accuracy}
    assert 0 < report.adversarial_accuracy < report.clean_accuracy == 23 / 30


def test_a_sample_is_robust_if_no_source_fools_the_target(target, dataset):
    sources = {
        "arctan": TorchNetwork(small_convolutional(), surrogate=Surrogate(name="arctan")),
        "other seed": TorchNetwork(small_convolutional(seed=1)),
    }
    told = []
    both = evaluate_transfer(
        target, sources, dataset, pgd, batch_size=12, progress=lambda *done: told.append(done), **OPTIONS
    )
    alone = {
        name: evaluate_transfer(target, {name: source}, dataset, pgd, batch_size=12, **OPTIONS)
        for name, source in sources.items()
    }
    assert both.parts == {name: report.adversarial_accuracy for name, report in alone.items()}
    assert both.robust == tuple(
        a and b for a, b in zip(alone["arctan"].robust, alone["other seed"].robust, strict=True)
    )
    assert both.parts["arctan"] < both.parts["other seed"]  # the weights are known, against a stranger's
    assert told == [(12, 60), (24, 60), (36, 60), (48, 60), (54, 60), (60, 60)]


def test_a_network_that_can_only_be_asked_is_a_target_and_no_source(target, dataset):
    def logits(x):
        with torch.no_grad():
            return TorchNetwork(small_convolutional()).eval()(torch.from_numpy(x)).numpy()

    asked = BlackBox(logits, name="a network")
    white = evaluate_transfer(target, {"float": target}, dataset, pgd, **OPTIONS)
    assert evaluate_transfer(asked, {"float": target}, dataset, pgd, **OPTIONS) == white
    with pytest.raises(TrainingError, match="square, or transfer"):
        evaluate_attack(asked, dataset, fgsm, eps=0.1)


def test_models_are_left_in_their_modes(target, dataset):
    source = TorchNetwork(small_convolutional(seed=1))
    target.train()
    source.eval()
    source.batch_norms()[0].train()
    evaluate_transfer(target, {"other": source}, dataset, fgsm, eps=0.1)
    assert all(module.training for module in target.modules())
    assert [module for module in source.modules() if module.training] == [source.batch_norms()[0]]


@pytest.mark.parametrize(("sources", "seed", "where"), [({}, 0, "sources"), ({"a": None}, -1, "seed")])
def test_a_wrong_call_is_refused(target, dataset, sources, seed, where):
    with pytest.raises(TrainingError, match="GSM-608") as caught:
        evaluate_transfer(target, sources, dataset, fgsm, seed=seed, eps=0.1)
    assert caught.value.where == where
