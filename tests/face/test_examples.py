"""The trained networks that are kept in examples/, on real test images."""

from pathlib import Path

import pytest

import gossamer
from gossamer.checks import integers_agree

pytestmark = pytest.mark.data

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def mnist():
    return gossamer.load_checkpoint(EXAMPLES / "mnist-conv.safetensors")


@pytest.fixture(scope="module")
def cifar10():
    return gossamer.load_checkpoint(EXAMPLES / "cifar10-small.safetensors")


def test_the_table_in_results_still_holds(mnist, data_root):
    test = gossamer.load_dataset("mnist", "test", root=data_root)
    in_float, in_8_bits = runs(mnist, test)
    assert in_float.accuracy == pytest.approx(0.9872, abs=5e-4)  # sums may be rounded otherwise on another machine
    assert in_8_bits.accuracy == 0.9859
    assert round(in_8_bits.total.synaptic_ops / 10_000) == 541_659


def test_cifar10_is_recognised_as_when_it_was_trained(cifar10, data_root):
    test = gossamer.load_dataset("cifar10", "test", root=data_root).limit(500)
    in_float, in_8_bits = runs(cifar10, test)
    assert in_float.accuracy == pytest.approx(0.496, abs=0.01)
    assert in_8_bits.accuracy == 0.502


def runs(network, data):
    return (gossamer.simulate(gossamer.compile(network, weight_bits=bits), data.images(), data.y) for bits in (None, 8))


def test_on_real_images_every_executor_gives_the_same_spikes(mnist, data_root):
    x = gossamer.load_dataset("mnist", "test", root=data_root).limit(48).images()
    for check in integers_agree(mnist, x):
        assert check.passed, check.text
        assert "8,779,776 neuron-steps" in check.text  # 48 samples, 8 steps, 22,864 neurons that emit


def test_on_pictures_in_colour_too(cifar10, data_root):
    x = gossamer.load_dataset("cifar10", "test", root=data_root).limit(8).images()
    for check in integers_agree(cifar10, x):
        assert check.passed, check.text
