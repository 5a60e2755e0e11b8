"""gossamer compile."""

import numpy as np
import pytest

import gossamer as api


def test_compile_writes_a_graph_and_prints_its_table(gossamer, files):
    answer = gossamer("compile", files / "net.safetensors", "-o", "g")
    assert answer.status == 0
    assert "conv1" in answer.out
    assert "5,808" in answer.out
    assert "wrote g" in answer.err
    assert "\x1b" not in answer.out + answer.err
    assert api.load_graph("g").n_synapses("conv1") == 5808


def test_compile_prints_one_json_object(gossamer, files):
    answer = gossamer("compile", files / "net.safetensors", "-o", "g", "--weight-bits", 8, "--per", "channel", "--json")
    assert answer.status == 0
    facts = answer.json
    assert facts["arithmetic"] == "int"
    assert [p["name"] for p in facts["populations"]] == ["in", "conv1", "conv2", "out"]
    assert facts["populations"][1]["memory_bytes"]["unrolled"] > facts["populations"][1]["memory_bytes"]["stored"]
    assert facts["sha256"] == api.load_graph("g").metadata["sha256"]


def test_python_and_command_line_compile_the_same(gossamer, files):
    gossamer("compile", files / "net.safetensors", "-o", "g", "--unroll")
    graph = api.compile(files / "net.safetensors", unroll=True)
    for ours, theirs in zip(api.load_graph("g").projections, graph.projections, strict=True):
        np.testing.assert_array_equal(ours.weights, theirs.weights)


def test_what_a_nir_file_leaves_open_is_asked_for_and_then_taken(gossamer, judges):
    file = judges / "norse_conv.nir"
    refused = gossamer("compile", file, "-o", "g")
    assert refused.status == 2
    assert "GSM-303" in refused.err
    assert "--framework" in refused.err
    assert gossamer("compile", file, "-o", "g", "--framework", "norse", "--reset", "zero").status == 0


def test_a_time_step_that_the_exporter_took_as_an_argument_is_asked_for(gossamer, judges):
    call = ("compile", judges / "norse_subtract.nir", "-o", "g", "--framework", "norse", "--reset", "subtract")
    refused = gossamer(*call)
    assert refused.status == 2
    assert "GSM-305" in refused.err
    assert "Norse: 1e-3" in refused.err
    assert gossamer(*call, "--dt", "0.0009765625").status == 0


def test_the_same_choices_can_be_stated_one_by_one(gossamer, judges):
    stated = ("--reset", "zero", "--comparator", ">", "--dt", "1e-6", "--nir", "integrator-input=whole")
    gossamer("compile", judges / "norse_conv.nir", "-o", "a", *stated)
    gossamer("compile", judges / "norse_conv.nir", "-o", "b", "--framework", "norse", "--reset", "zero")
    assert gossamer("diff", "a", "b").status == 0


@pytest.mark.parametrize(
    ("option", "code"),
    [
        (("--per", "pixel"), "GSM-702"),
        (("--weight-bits", "1"), "GSM-302"),
        (("--weight-bits", "x"), "GSM-702"),
        (("--reset", "zero"), "GSM-702"),  # a checkpoint has stated it
        (("--input-shape", "3,8"), "GSM-702"),
        (("--nir", "decay"), "GSM-702"),
        (("--coding", "morse"), "GSM-208"),
        (("--no-such-option",), "GSM-702"),
    ],
)
def test_a_wrong_call_is_refused_and_writes_nothing(gossamer, files, tmp_path, option, code):
    answer = gossamer("compile", files / "net.safetensors", "-o", "g", *option)
    assert answer.status == 2
    assert answer.err.startswith(f"error {code}: ")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_refused_before_the_work(gossamer, files):
    answer = gossamer("compile", files / "net.safetensors", "-o", "nowhere/g")
    assert answer.status == 2
    assert "GSM-106" in answer.err
