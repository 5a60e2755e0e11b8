"""A compiled graph as a model: it answers as the simulator does, and can only be asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blind_search import blind_search
from networks import refusal, small_convolutional

from gossamer import GossamerError, attack, compile, simulate, transfer
from gossamer.compiled_model import compiled_model
from gossamer.compiler import InputCoding
from gossamer.training import ATTACKS, Dataset, TorchNetwork, TrainingError, evaluate_attack, pgd

EPS = 0.2


@pytest.fixture
def square(monkeypatch):
    monkeypatch.setitem(ATTACKS, "square", blind_search)


@pytest.fixture(scope="module")
def dataset():
    """Noise, with the labels that the network gives to it."""
    x = np.random.default_rng(3).integers(0, 256, (24, 3, 8, 8), np.uint8)
    with torch.no_grad():
        y = TorchNetwork(small_convolutional()).eval()(torch.tensor(x) / 255).argmax(1).numpy()
    return Dataset(name="noise", x=x, y=y, n_classes=10, split="test", class_names=tuple("abcdefghij"))


@pytest.mark.parametrize("engine", ["auto", "event", "bits"])
@pytest.mark.parametrize("weight_bits", [None, 8])
def test_it_answers_as_the_simulator_does(dataset, weight_bits, engine):
    graph = compile(small_convolutional(), weight_bits=weight_bits)
    x = dataset.images()
    logits = compiled_model(graph, engine=engine, threads=1)(torch.from_numpy(x))
    assert logits.dtype == torch.float32
    np.testing.assert_array_equal(logits.numpy(), simulate(graph, x).logits)
    other = compiled_model(graph, engine=engine, n_steps=3)(torch.from_numpy(x))
    np.testing.assert_array_equal(other.numpy(), simulate(graph, x, n_steps=3).logits)


def test_a_gradient_is_refused_and_says_what_to_do_instead(dataset):
    model = compiled_model(compile(small_convolutional(), weight_bits=8))
    with pytest.raises(TrainingError, match="square, or transfer"):
        evaluate_attack(model, dataset, pgd, eps=EPS)


def test_a_stream_is_refused():
    graph = compile(replace(small_convolutional(), reset_between_samples=False))
    refusal(lambda: compiled_model(graph), "GSM-702", error=GossamerError)


def test_every_call_with_rate_coding_draws_the_same_spikes(dataset):
    model = compiled_model(compile(replace(small_convolutional(), coding=InputCoding(kind="rate"))))
    x = torch.from_numpy(dataset.images())
    assert torch.equal(model(x), model(x))


@pytest.mark.usefixtures("square")
def test_asking_a_graph_finds_what_it_finds_in_the_network_it_was_compiled_from(dataset, files):
    """In float32 the graph is the network: the same search fools both."""
    options = {"attack": "square", "eps": EPS, "n_queries": 30}
    of_file = attack(files / "net.graph", dataset, **options)
    of_graph = attack(compile(small_convolutional()), dataset, **options)
    of_network = attack(small_convolutional(), dataset, **options)
    assert of_file == of_graph == of_network
    assert of_file.adversarial_accuracy < of_file.clean_accuracy == 1


def test_what_fools_the_float_network_is_shown_to_the_integers_that_ship(dataset, files):
    report = transfer(files / "net8.graph", [files / "net.safetensors"], dataset, eps=EPS, n_steps=5)
    white = attack(files / "net.safetensors", dataset, eps=EPS, n_steps=5)
    (source,) = report.at_source
    assert source == str(files / "net.safetensors")
    assert report.at_source[source] == white.adversarial_accuracy
    assert report.parts[source] == report.adversarial_accuracy < report.clean_accuracy
    run = simulate(compile(small_convolutional(), weight_bits=8), dataset.images(), dataset.y)
    assert report.clean_accuracy == pytest.approx(run.accuracy)


def test_sources_of_one_name_are_kept_apart(dataset):
    networks = [small_convolutional(), small_convolutional(seed=1), small_convolutional(seed=2)]
    report = transfer(networks[0], networks, dataset, attack="fgsm", eps=EPS)
    assert list(report.parts) == ["small", "small#2", "small#3"]
    assert report.adversarial_accuracy <= min(report.parts.values())
    assert report.parts["small"] == attack(networks[0], dataset, attack="fgsm", eps=EPS).adversarial_accuracy


@pytest.mark.parametrize(
    ("name", "options"), [("magic", {}), ("fgsm", {"n_steps": 3}), ("pgd", {"alpha": 0.1}), ("pgd", {"generator": 1})]
)
def test_an_attack_or_option_that_is_not_there_is_refused(dataset, name, options):
    refusal(lambda: attack(small_convolutional(), dataset, attack=name, **options), "GSM-702", error=GossamerError)
