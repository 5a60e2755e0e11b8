"""compare_spikes: how many differ, and where first."""

import numpy as np
import pytest

from gossamer.compiler import canonicalize, quantize, to_synaptic_graph
from gossamer.simulator import Divergence, SimulationError, compare_spikes, run_reference, simulate


def spikes():
    """Two populations, 3 samples x 4 steps."""
    return {"a": np.zeros((3, 4, 2, 2, 2), np.int32), "b": np.zeros((3, 4, 5), np.int32)}


def test_equal_executions_are_equal():
    found = compare_spikes(spikes(), spikes())
    assert found.equal
    assert found.first is None
    assert found.n_compared == 3 * 4 * (8 + 5)
    assert found.share_different == 0


def test_the_first_divergence_is_the_earliest_step_then_the_earliest_population():
    ours, theirs = spikes(), spikes()
    theirs["a"][0, 3, 0, 0, 0] = 1  # an earlier population, but later
    theirs["b"][2, 1, 4] = 2
    theirs["b"][1, 1, 3] = 1
    found = compare_spikes(ours, theirs, first_sample=100)
    assert not found.equal
    assert found.n_different == 3
    assert found.first == Divergence(population="b", sample=101, step=1, neuron=3, a=0, b=1)
    assert str(found.first) == "population 'b', sample 101, step 1, neuron 3: 0 and 1"


def test_of_one_step_the_earlier_population_comes_first():
    ours, theirs = spikes(), spikes()
    theirs["a"][2, 1, 1, 1, 1] = 1
    theirs["b"][0, 1, 0] = 1
    assert compare_spikes(ours, theirs).first.population == "a"


def test_number_types_do_not_matter():
    theirs = {name: array.astype(np.float64) for name, array in spikes().items()}
    assert compare_spikes(spikes(), theirs).equal


def test_flat_and_shaped_spikes_compare():
    theirs = {name: array.reshape(3, 4, -1) for name, array in spikes().items()}
    assert compare_spikes(spikes(), theirs).equal


@pytest.mark.parametrize("change", [{"c": np.zeros((3, 4, 1))}, {"b": np.zeros((3, 5, 5))}, {"b": np.zeros((3, 4, 4))}])
def test_what_cannot_be_compared_is_refused(change):
    with pytest.raises(SimulationError, match="GSM-405"):
        compare_spikes(spikes(), spikes() | change)


def test_engine_and_reference_agree_and_a_changed_threshold_is_found(small_network):
    network = quantize(canonicalize(small_network), weight_bits=8)
    x = np.random.default_rng(0).random((5, *network.input.shape), np.float32)
    run = simulate(to_synaptic_graph(network), x, record=("in", "conv1", "conv2"))
    trace = run_reference(network, x)
    reference = {name: trace.spikes[name] for name in run.spikes}
    assert compare_spikes(run.spikes, reference).equal
    reference["conv1"] = 1 - reference["conv1"]
    found = compare_spikes(run.spikes, reference)
    assert found.n_different == reference["conv1"].size
    assert found.first.population == "conv1"
