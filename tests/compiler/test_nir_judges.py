"""Files that other frameworks wrote, read with the conventions that each of them has: spike for spike."""

import json
from pathlib import Path

import numpy as np
import pytest

from gossamer.compiler import CompileError, canonicalize, to_synaptic_graph
from gossamer.compiler.exchange import framework_choices, from_nir, to_nir
from gossamer.simulator import run_reference, simulate

JUDGES = sorted((Path(__file__).parent.parent / "judges").glob("*.nir"))
FEASIBLE = [file for file in JUDGES if file.stem != "sinabs_multispike"]


def described(file):
    """What the framework did, and the recorded arrays."""
    with np.load(file.with_suffix(".npz")) as arrays:
        return json.loads(file.with_suffix(".json").read_text()), dict(arrays)


def stated(case):
    """What a user has to state, from what the framework's user knows."""
    choices = {"reset": case["reset"]}
    if case["dt"] is not None:
        choices["dt"] = case["dt"]
    if case["framework"] == "snntorch":
        choices["reset_delay"] = case["reset_timing"] != "same step"
    if case["framework"] == "sinabs":
        choices["membrane_input"] = "scaled" if case["norm_input"] else "whole"
        choices["spikes_per_step"] = "several" if case["several_spikes"] else "one"
    return choices


def differences(network, case, arrays):
    """Names of the populations that did other than the framework's."""
    trace = run_reference(network, arrays["x"], arrays["x"].shape[1])
    recorded = [(layer, arrays[layer["npz"]]) for layer in case["layers"]]
    found = [(trace.membranes if "rate" not in layer else trace.spikes)[layer["node"]] for layer, _ in recorded]
    return [
        layer["node"]
        for (layer, expected), actual in zip(recorded, found, strict=True)
        if not np.array_equal(actual, expected.reshape(actual.shape))
    ]


def test_there_are_files_of_four_frameworks():
    assert {file.stem.split("_")[0] for file in JUDGES} == {"snntorch", "spikingjelly", "norse", "sinabs"}
    assert len(JUDGES) >= 21


@pytest.mark.parametrize("file", FEASIBLE, ids=lambda f: f.stem)
def test_a_file_gives_the_spikes_of_the_framework_that_wrote_it(file):
    case, arrays = described(file)
    network = from_nir(file, framework_choices(case["framework"], **stated(case)))
    assert differences(network, case, arrays) == []
    assert [p.name for p in network.populations[1:]] == [layer["node"] for layer in case["layers"]]


@pytest.mark.parametrize("file", FEASIBLE, ids=lambda f: f.stem)
def test_coefficients_are_those_of_the_framework_to_the_last_bit(file):
    case, _ = described(file)
    network = from_nir(file, framework_choices(case["framework"], **stated(case)))
    for layer in case["layers"]:
        neuron = network[layer["node"]].neuron
        for ours, theirs in ((neuron.leak, "leak"), (neuron.current_decay, "current_decay")):
            np.testing.assert_array_equal(np.broadcast_to(ours, layer["shape"]), np.float32(layer[theirs]))
        if "threshold" in layer:
            np.testing.assert_array_equal(
                np.broadcast_to(neuron.threshold, layer["shape"]), np.float32(layer["threshold"]) - layer["rest"]
            )


@pytest.mark.parametrize("file", FEASIBLE, ids=lambda f: f.stem)
def test_the_compiled_graph_of_a_file_gives_the_same_spikes(file):
    case, arrays = described(file)
    network = canonicalize(from_nir(file, framework_choices(case["framework"], **stated(case))))
    activity = simulate(to_synaptic_graph(network), arrays["x"], n_steps=arrays["x"].shape[1], threads=1, record=("*",))
    for layer in case["layers"]:
        if "rate" in layer:
            actual = activity.spikes[layer["node"]]
            np.testing.assert_array_equal(actual, arrays[layer["npz"]].reshape(actual.shape), err_msg=layer["node"])


@pytest.mark.parametrize("file", FEASIBLE, ids=lambda f: f.stem)
def test_a_file_that_went_through_our_own_exporter_gives_the_same_spikes(file):
    case, arrays = described(file)
    network = from_nir(file, framework_choices(case["framework"], **stated(case)))
    if file.stem == "snntorch_if":
        assert (network["1"].neuron.leak == 1).all()  # an LIF with an infinite tau comes back as an IF
    again = from_nir(to_nir(network))
    assert differences(again, case, arrays) == []


@pytest.mark.parametrize("file", FEASIBLE, ids=lambda f: f.stem)
def test_reading_with_another_reset_gives_other_spikes(file):
    case, arrays = described(file)
    wrong = stated(case) | {"reset": {"zero": "subtract", "subtract": "zero"}[case["reset"]], "reset_delay": False}
    if file.stem == "spikingjelly_vreset":
        with pytest.raises(CompileError, match="no v_reset"):
            from_nir(file, framework_choices(case["framework"], **wrong))
        return
    network = from_nir(file, framework_choices(case["framework"], **wrong))
    assert differences(network, case, arrays) != []


@pytest.mark.parametrize("file", FEASIBLE, ids=lambda f: f.stem)
def test_reading_with_the_other_comparator_gives_other_spikes(file):
    case, arrays = described(file)
    wrong = stated(case) | {"comparator": {">": ">=", ">=": ">"}[case["comparator"]]}
    network = from_nir(file, framework_choices(case["framework"], **wrong))
    assert differences(network, case, arrays) != []


@pytest.mark.parametrize("file", JUDGES, ids=lambda f: f.stem)
def test_no_file_is_read_without_the_reset_being_stated(file):
    framework = file.stem.split("_")[0]
    stated = {"dt": 1e-3} if framework == "norse" else {"dt": 1e-4}
    choices = framework_choices(framework, reset=None, membrane_input="scaled", spikes_per_step="one", **stated)
    with pytest.raises(CompileError, match="subtract the threshold, or set v to v_reset") as refusal:
        from_nir(file, choices)
    assert refusal.value.code == "GSM-303"
    assert "--reset" in refusal.value.remedy


def test_several_spikes_in_one_step_are_refused_and_not_read_as_one():
    file = next(f for f in JUDGES if f.stem == "sinabs_multispike")
    case, arrays = described(file)
    with pytest.raises(CompileError) as refusal:
        from_nir(file, framework_choices("sinabs", **stated(case)))
    assert refusal.value.code == "GSM-304"
    with pytest.raises(CompileError) as refusal:
        from_nir(file, framework_choices("sinabs", reset="subtract"))
    assert (refusal.value.code, "spikes-per-step" in refusal.value.remedy) == ("GSM-303", True)
    one = from_nir(file, framework_choices("sinabs", **stated(case) | {"spikes_per_step": "one"}))
    assert differences(one, case, arrays) == ["1"]  # why it is asked
