"""The trained MNIST network that is kept in examples/, on the real test images."""

from pathlib import Path

import pytest

import gossamer
from gossamer.checks import integers_agree

pytestmark = pytest.mark.data

CHECKPOINT = Path(__file__).parents[2] / "examples" / "mnist-conv.safetensors"


@pytest.fixture(scope="module")
def network():
    return gossamer.load_checkpoint(CHECKPOINT)


def test_the_table_in_results_still_holds(network, data_root):
    test = gossamer.load_dataset("mnist", "test", root=data_root)
    in_float, in_8_bits = (
        gossamer.simulate(gossamer.compile(network, weight_bits=bits), test.images(), test.y) for bits in (None, 8)
    )
    assert in_float.accuracy == pytest.approx(0.9872, abs=5e-4)  # sums may be rounded otherwise on another machine
    assert in_8_bits.accuracy == 0.9859
    assert round(in_8_bits.total.synaptic_ops / 10_000) == 541_659


def test_on_real_images_every_executor_gives_the_same_spikes(network, data_root):
    x = gossamer.load_dataset("mnist", "test", root=data_root).limit(48).images()
    for check in integers_agree(network, x):
        assert check.passed, check.text
        assert "8,779,776 neuron-steps" in check.text  # 48 samples, 8 steps, 22,864 neurons that emit
