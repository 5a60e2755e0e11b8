"""What is wrong, ambiguous or unsupported in a NIR file is refused, with the node, a stable code and a remedy."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from gossamer.compiler import CompileError, InputCoding
from gossamer.compiler.exchange import NirChoices, framework_choices, from_nir, to_nir
from gossamer.compiler.exchange import packages as optional

JUDGES = Path(__file__).parent.parent / "judges"
STATED = NirChoices(reset="zero", comparator=">", dt=0.125, integrator_input="scaled")


def full(value, *shape):
    return np.full(shape, value, np.float64)


def lif(n=3, **parameters):
    values = {"tau": 0.25, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | parameters
    return nir.LIF(**{name: np.broadcast_to(np.float64(value), (n,)).copy() for name, value in values.items()})


def graph(nodes, edges=None, shape=(3,)):
    names = ["input", *nodes, "output"]
    everything = {"input": nir.Input(np.array(shape)), **nodes, "output": nir.Output(None)}
    return nir.NIRGraph(everything, list(pairwise(names)) if edges is None else edges, type_check=False)


def refused(what, choices=STATED):
    with pytest.raises(CompileError) as refusal:
        from_nir(what, choices)
    return refusal.value


# Choices that NIR leaves open


@pytest.mark.parametrize(
    ("node", "open_choice", "code", "remedy"),
    [
        (lif(), {"reset": None}, "GSM-303", "--reset"),
        (lif(), {"comparator": None}, "GSM-303", "--comparator"),
        (lif(), {"dt": None}, "GSM-305", "--dt"),
        (lif(), {"membrane_input": None}, "GSM-303", "membrane-input"),
        (lif(), {"spikes_per_step": None}, "GSM-303", "spikes-per-step"),
        (nir.IF(r=full(1, 3), v_threshold=full(1, 3)), {"integrator_input": None}, "GSM-303", "integrator-input"),
        (nir.IF(r=full(1, 3), v_threshold=full(1, 3)), {"dt": None}, "GSM-305", "--dt"),
        (nir.I(r=full(1, 3)), {"integrator_input": None}, "GSM-303", "integrator-input"),
        (nir.LI(tau=full(1, 3), r=full(1, 3), v_leak=full(0, 3)), {"dt": None}, "GSM-305", "--dt"),
        (nir.Threshold(full(1, 3)), {"comparator": None}, "GSM-303", "--comparator"),
        (
            nir.CubaLI(tau_syn=full(1, 3), tau_mem=full(1, 3), r=full(1, 3), v_leak=full(0, 3)),
            {"synapse_input": None}, "GSM-303", "synapse-input",
        ),
    ],
)  # fmt: skip
def test_what_nir_leaves_open_has_to_be_stated(node, open_choice, code, remedy):
    from_nir(graph({"n": node}), STATED)
    error = refused(graph({"n": node}), replace(STATED, **open_choice))
    assert error.code == code
    assert "'n'" in error.where
    assert remedy in error.remedy


def test_an_integrator_whose_input_counts_whole_needs_no_time_step():
    choices = NirChoices(reset="zero", comparator=">", integrator_input="whole")
    assert from_nir(graph({"n": nir.IF(r=full(1, 3), v_threshold=full(1, 3))}), choices).output == "n"


def test_a_coding_that_makes_the_steps_itself_needs_their_number():
    choices = replace(STATED, coding=InputCoding(kind="rate"))
    assert refused(graph({"n": lif()}), choices).code == "GSM-303"
    assert from_nir(graph({"n": lif()}), replace(choices, n_steps=7)).n_steps == 7


@pytest.mark.parametrize(
    "wrong",
    [{"reset": "hard"}, {"comparator": "=>"}, {"decay": "exact"}, {"membrane_input": "half"}, {"reset_delay": 2}],
)
def test_a_choice_that_does_not_exist_is_refused(wrong):
    with pytest.raises(CompileError, match="GSM-303"):
        NirChoices(**wrong)


@pytest.mark.parametrize("dt", [0, -1e-4, float("nan"), float("inf")])
def test_a_time_step_that_is_none_is_refused(dt):
    with pytest.raises(CompileError, match="GSM-305"):
        NirChoices(dt=dt)


def test_an_unknown_framework_or_field_is_refused():
    for call in ({"framework": "brian"}, {"framework": "norse", "rest": "zero"}):
        with pytest.raises(CompileError, match="GSM-303"):
            framework_choices(**call)


def test_the_step_of_norse_is_squared_as_its_exporter_did():
    assert framework_choices("norse").dt is None
    assert framework_choices("norse", dt=0.5).dt == 0.25
    assert framework_choices("snntorch", reset="subtract").reset_delay
    assert not framework_choices("snntorch", reset="zero").reset_delay


# Values


def test_a_step_longer_than_a_time_constant_is_refused():
    error = refused(graph({"n": lif(tau=[0.25, 0.1, 0.5])}))
    assert (error.code, error.where) == ("GSM-305", "NIR node 'n' (LIF)")
    assert "0.1" in error.found


@pytest.mark.parametrize(
    ("nodes", "code", "where"),
    [
        ({"w": nir.Linear(np.array([[1, np.nan, 0]])), "n": lif(1)}, "GSM-202", "'w'"),
        ({"w": nir.Affine(np.eye(3), np.array([0, np.inf, 0])), "n": lif()}, "GSM-202", "'w'"),
        ({"w": nir.Linear(np.eye(3) * 1e300), "n": lif()}, "GSM-202", "'w'"),
        ({"n": lif(v_threshold=np.nan)}, "GSM-202", "'n'"),
        ({"n": lif(tau=np.nan)}, "GSM-202", "'n'"),
        ({"n": lif(v_leak=np.inf)}, "GSM-202", "'n'"),
        ({"n": lif(v_threshold=0.0)}, "GSM-203", "'n'"),
        ({"n": lif(v_reset=2.0)}, "GSM-203", "'n'"),
        ({"n": lif(tau=-1.0)}, "GSM-203", "'n'"),
        ({"n": lif(tau=np.inf)}, "GSM-304", "'n'"),
        ({"n": lif(r=np.inf)}, "GSM-304", "'n'"),
        ({"wait": nir.Delay(full(-0.125, 3)), "n": lif()}, "GSM-203", "'wait'"),
        ({"wait": nir.Delay(full(0.2, 3)), "n": lif()}, "GSM-305", "'wait'"),
    ],
)
def test_values_that_are_no_parameters_are_refused_by_node(nodes, code, where):
    error = refused(graph(nodes))
    assert error.code == code
    assert where in error.where


def test_subtraction_with_a_reset_voltage_is_refused():
    error = refused(graph({"n": lif(v_reset=-0.25)}), replace(STATED, reset="subtract"))
    assert (error.code, "--reset zero" in error.remedy) == ("GSM-304", True)


def test_a_delay_needs_a_time_step():
    nodes = {"wait": nir.Delay(full(0.125, 3)), "gate": nir.Threshold(full(1, 3))}
    assert refused(graph(nodes), NirChoices(comparator=">")).code == "GSM-305"


# Shapes


def convolution(**fields):
    values = {"input_shape": None, "weight": np.ones((2, 1, 3, 3)), "bias": np.zeros(2), "stride": 1, "padding": 0,
              "dilation": 1, "groups": 1} | fields  # fmt: skip
    return nir.Conv2d(**values)


@pytest.mark.parametrize(
    ("nodes", "shape", "node"),
    [
        ({"w": nir.Linear(np.ones((3, 4)))}, (3,), "w"),
        ({"w": nir.Linear(np.ones((2, 3, 4)))}, (2, 4), "w"),
        ({"w": nir.Affine(np.ones((3, 3)), np.ones(2))}, (3,), "w"),
        ({"n": lif(4)}, (3,), "n"),
        ({"c": convolution()}, (3,), "c"),
        ({"c": convolution()}, (2, 8, 8), "c"),
        ({"c": convolution()}, (1, 2, 2), "c"),
        ({"c": convolution(groups=2)}, (1, 8, 8), "c"),
        ({"c": convolution(stride=(1, 2, 3))}, (1, 8, 8), "c"),
        ({"c": convolution(stride=1.5)}, (1, 8, 8), "c"),
        ({"c": convolution(stride=2, padding="same")}, (1, 8, 8), "c"),
        ({"c": convolution(weight=np.ones((2, 1, 2, 2)), dilation=(1 << 29) + 1, padding="same")}, (1, 8, 8), "c"),
        ({"c": convolution(padding=1 << 29), "n": lif()}, (1, 8, 8), "n"),
        ({"c": convolution(weight=np.ones((2, 1, 3)))}, (1, 8, 8), "c"),
        ({"p": nir.SumPool2d(np.array(9), np.array(1), np.array(0))}, (1, 8, 8), "p"),
        ({"p": nir.AvgPool2d(np.array(2), np.array(2), np.array(2))}, (1, 8, 8), "p"),
        ({"s": nir.Scale(np.ones(4))}, (3,), "s"),
        ({"d": nir.Delay(full(0.125, 4)), "n": lif()}, (3,), "d"),
        ({"w": nir.Linear(np.array([["a", "b", "c"]]))}, (3,), "w"),
        ({"w": nir.Linear(np.eye(3) * 1j)}, (3,), "w"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_node(nodes, shape, node):
    error = refused(graph(nodes, shape=shape))
    assert error.code == "GSM-307"
    assert f"'{node}'" in error.where


def test_parameters_of_different_shapes_are_refused():
    node = lif()
    node.tau = full(0.25, 2)
    error = refused(graph({"n": node}))
    assert (error.code, error.where) == ("GSM-307", "NIR node 'n' (LIF)")


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0,), (1.5,), (), (np.nan,), (np.inf,)])
def test_an_input_that_is_no_sample_is_refused_until_its_shape_is_stated(shape):
    nodes = {"w": nir.Linear(np.ones((3, 120))), "n": lif()}
    error = refused(graph(nodes, shape=shape))
    assert (error.code, error.where) == ("GSM-307", "NIR node 'input' (Input)")
    assert "input-shape" in error.remedy
    assert from_nir(graph(nodes, shape=shape), replace(STATED, input_shape=(120,))).input.shape == (120,)


# Graphs


def inner(**more):
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([3]))}
    return nir.NIRGraph(ends | {"n": lif()} | more, [("input", "n"), ("n", "output")], type_check=False)


@pytest.mark.parametrize(
    ("nodes", "edges", "code", "found"),
    [
        ({"a": lif(), "b": lif()}, [("input", "a"), ("a", "output")], "GSM-306", "'b'"),
        ({"a": lif(), "w": nir.Linear(np.eye(3))}, [("input", "a"), ("a", "output")], "GSM-306", "'w'"),
        ({"a": lif()}, [("input", "a"), ("a", "nowhere")], "GSM-306", "nowhere"),
        ({"a": lif()}, [("input", "a"), ("input", "a"), ("a", "output")], "GSM-306", "'input' -> 'a'"),
        ({"a": lif()}, [("input", "a"), ("a", "input"), ("a", "output")], "GSM-306", "'input'"),
        ({"a": lif()}, [("a", "output")], "GSM-306", "'a'"),
        ({"a": lif(), "b": lif()}, [("input", "a"), ("a", "output"), ("output", "b")], "GSM-306", "'output'"),
        ({"a": lif()}, [("input", "a")], "GSM-306", "'output'"),
        (
            {"a": nir.Linear(np.eye(3)), "b": nir.Linear(np.eye(3))},
            [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")], "GSM-306", "loop",
        ),
        ({"a": lif(), "also": nir.Output(None)}, [("input", "a"), ("a", "output"), ("a", "also")], "GSM-303", "also"),
        (
            {"a": lif(), "in2": nir.Input(np.array([3]))},
            [("input", "a"), ("in2", "a"), ("a", "output")], "GSM-304", "in2",
        ),
        ({"g": inner(more=nir.Input(np.array([3])))}, None, "GSM-304", "'g'"),
        ({"g": inner(), "g.n": lif()}, None, "GSM-306", "g.n"),
        ({"m": nir.I(r=full(1, 3)), "n": lif()}, None, "GSM-304", "'m'"),
        (
            {"m": nir.I(r=full(1, 3)), "t": nir.Threshold(full(1, 3)), "w": nir.Linear(np.eye(3))},
            [("input", "m"), ("m", "t"), ("input", "w"), ("w", "t"), ("t", "output")], "GSM-304", "'m'",
        ),
        ({"m": nir.I(r=full(1, 3)), "w": nir.Linear(np.eye(3))}, None, "GSM-304", "'m'"),
        ({"a": nir.Affine(np.eye(3), np.ones(3)), "d": nir.Delay(full(0.125, 3)), "n": lif()}, None, "GSM-304", "'d'"),
    ],
)  # fmt: skip
def test_graphs_that_are_no_networks_are_refused(nodes, edges, code, found):
    error = refused(graph(nodes, edges))
    assert error.code == code
    assert found in str(error)


def test_delays_between_weights_are_refused_where_one_synapse_would_need_two():
    delay, weights = nir.Delay(np.array([0, 0.125, 0])), nir.Linear(np.ones((3, 3)))
    from_nir(graph({"a": nir.Linear(np.eye(3)), "d": delay, "b": weights}), STATED)
    error = refused(graph({"a": weights, "d": delay, "b": weights}))
    assert (error.code, error.where) == ("GSM-304", "NIR node 'd' (Delay)")


def test_a_graph_without_ends_or_with_two_ends_is_refused():
    no_input = nir.NIRGraph({"n": lif(), "output": nir.Output(None)}, [("n", "output")], type_check=False)
    assert (refused(no_input).code, "Input" in str(refused(no_input))) == ("GSM-306", True)
    nodes = {"input": nir.Input(np.array([3])), "a": lif(), "b": lif()}
    two = nir.NIRGraph(nodes, [("input", "a"), ("input", "b")], type_check=False)
    assert (refused(two).code, "a, b" in str(refused(two))) == ("GSM-306", True)
    assert refused(lif()).code == "GSM-306"


def test_a_kind_of_node_that_is_not_supported_is_named_with_those_that_are():
    class Resonator(nir.NIRNode):
        def __init__(self):
            self.metadata = {}

    error = refused(graph({"r": Resonator()}))
    assert (error.code, error.where, error.found) == ("GSM-304", "NIR node 'r'", "Resonator")
    for kind in ("LIF", "CubaLIF", "Conv1d", "Threshold", "NIRGraph"):
        assert kind in error.expected


def test_millions_of_ways_through_stateless_nodes_are_refused():
    nodes, edges, last = {}, [], "input"
    for i in range(30):
        for side in "ab":
            nodes[f"{side}{i}"] = nir.Scale(np.ones(3))
            edges.append((last, f"{side}{i}"))
        nodes[f"c{i}"] = nir.Scale(np.ones(3))
        edges += [(f"a{i}", f"c{i}"), (f"b{i}", f"c{i}")]
        last = f"c{i}"
    error = refused(graph(nodes, [*edges, (last, "output")]))
    assert (error.code, error.where) == ("GSM-304", "NIR node 'input' (Input)")


# Files


@pytest.fixture
def file(tmp_path):
    """A .nir file of one neuron population, and what reads it."""
    path = tmp_path / "one.nir"
    named = graph({"w": nir.Linear(np.eye(3)), "n": lif()})
    named.nodes["output"] = nir.Output(np.array([3]))
    nir.write(path, named)
    from_nir(path, STATED)
    return path


def nodes_of(file):
    return file["node"]["nodes"]


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refused(tmp_path / "none.nir").code == "GSM-101"
    assert refused(tmp_path).code == "GSM-101"


def test_a_foreign_file_is_told_from_a_damaged_one(tmp_path, file):
    text, net, cut = tmp_path / "text.nir", tmp_path / "lava.net", tmp_path / "cut.nir"
    text.write_text("not HDF5")
    with h5py.File(net, "w") as f:
        f.create_group("layer")
    cut.write_bytes(file.read_bytes()[:-1000])
    assert [refused(f).code for f in (text, net, cut)] == ["GSM-102", "GSM-102", "GSM-104"]
    assert all(str(f) in refused(f).where for f in (text, net, cut))


def test_a_file_of_a_newer_nir_is_refused(file):
    with h5py.File(file, "r+") as f:
        del f["version"]
        f["version"] = "2.0.0"
    assert (refused(file).code, refused(file).found) == ("GSM-103", "2.0.0")


def test_a_node_without_a_field_or_a_type_is_named(file):
    with h5py.File(file, "r+") as f:
        del nodes_of(f)["n"]["tau"]
    assert (refused(file).code, refused(file).where, refused(file).expected) == ("GSM-105", "NIR node 'n' (LIF)", "tau")
    with h5py.File(file, "r+") as f:
        del nodes_of(f)["n"]["type"]
    assert (refused(file).code, refused(file).where) == ("GSM-105", "NIR node 'n'")


def test_a_field_of_another_kind_is_refused(file):
    for value in ("text", [["a"]]):
        with h5py.File(file, "r+") as f:
            del nodes_of(f)["n"]["tau"]
            nodes_of(f)["n"]["tau"] = value
        assert refused(file).code == "GSM-307"


def test_a_file_that_refers_to_another_is_refused(file, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["tau"] = np.ones(3)
    with h5py.File(file, "r+") as f:
        del nodes_of(f)["n"]["tau"]
        nodes_of(f)["n"]["tau"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "tau")
    assert (refused(file).code, "another file" in str(refused(file))) == ("GSM-104", True)


def test_groups_that_hold_themselves_are_refused(file):
    with h5py.File(file, "r+") as f:
        nodes_of(f)["n"]["again"] = nodes_of(f)["n"]
    assert refused(file).code == "GSM-104"


def test_arrays_that_unpack_to_more_than_memory_are_refused(file):
    with h5py.File(file, "r+") as f:
        del nodes_of(f)["w"]["weight"]
        options = {"chunks": (1, 1 << 16), "dtype": "f4", "compression": "gzip"}
        nodes_of(f)["w"].create_dataset("weight", shape=(3, 1 << 33), **options)
    assert file.stat().st_size < 100_000
    assert (refused(file).code, "too large" in str(refused(file))) == ("GSM-104", True)


@pytest.mark.parametrize("name", ["snntorch_recurrent.nir", "snntorch_if.nir"])
def test_no_damaged_byte_raises_anything_but_our_error_or_takes_for_ever(tmp_path, name):
    data = (JUDGES / name).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.nir"
    codes = set()
    for _ in range(200):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 20)):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            from_nir(path, framework_choices("snntorch", reset="subtract"))
        except CompileError as error:
            codes.add(error.code)
    assert "GSM-104" in codes


def test_strings_whose_length_or_place_is_damaged_are_refused(file):
    data = file.read_bytes()
    with h5py.File(file) as f:
        reference = f["version"].id.get_offset()
    collection = int.from_bytes(data[reference + 4 : reference + 12], "little")
    first = collection + 16
    assert data[first + 16 : first + 16 + len(nir.version)].decode() == nir.version
    for place, value in (
        (reference, (1 << 31).to_bytes(4, "little")),  # the length: HDF5 would allocate it
        (reference + 4, (1 << 40).to_bytes(8, "little")),  # the address
        (reference + 12, (9999).to_bytes(4, "little")),  # the index
        (collection, b"LOCG"),
        (collection + 8, (0).to_bytes(8, "little")),
        (first, (0).to_bytes(2, "little")),  # free space of no size: HDF5 would never end
        (first + 8, (1 << 50).to_bytes(8, "little")),
        (first + 16, b"\xff"),
    ):
        file.write_bytes(data[:place] + value + data[place + len(value) :])
        assert refused(file).code == "GSM-104", place


def test_damaged_or_newer_metadata_of_our_own_are_refused():
    ours = to_nir(from_nir(graph({"n": lif()}), STATED))
    for text, code in (("{", "GSM-105"), ("[]", "GSM-105"), (json.dumps({"version": 99}), "GSM-103")):
        ours.nodes["n"].metadata["gossamer"] = text
        error = refused(ours, NirChoices())
        assert (error.code, "'n'" in error.where) == (code, True)


@pytest.mark.parametrize("damage", [{"gossamer_v_init": np.ones(7)}, {"gossamer_v_init": "text"}, {"dt": "text"}])
def test_metadata_that_fit_no_neuron_are_refused(damage):
    ours = to_nir(from_nir(graph({"n": lif()}), STATED))
    metadata = ours.nodes["n"].metadata
    ours.metadata.clear()
    if "dt" in damage:
        metadata["gossamer"] = json.dumps(json.loads(metadata["gossamer"]) | damage)
    else:
        metadata.update(damage)
    error = refused(ours, NirChoices())
    assert (error.code, "'n'" in error.where) == ("GSM-105", True)


@pytest.mark.parametrize("damage", [{"coding": 3}, {"coding": {"what": 1}}, {"dt": "text"}, {"output": None, "dt": []}])
def test_metadata_of_the_graph_that_fit_no_network_are_refused(damage):
    ours = to_nir(from_nir(graph({"n": lif()}), STATED))
    ours.metadata["gossamer"] = json.dumps(json.loads(ours.metadata["gossamer"]) | damage)
    assert refused(ours, NirChoices()).code == "GSM-105"


def test_contradicting_what_our_own_file_states_is_refused():
    ours = to_nir(from_nir(graph({"n": lif()}), STATED))
    assert from_nir(ours, NirChoices(reset="zero")).output == "n"
    for wrong in ({"reset": "subtract"}, {"comparator": ">="}, {"dt": 1e-3}):
        error = refused(ours, NirChoices(**wrong))
        assert (error.code, "'n'" in error.where) == ("GSM-303", True)


# Packages


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(optional, "import_module", missing)
    for call in (lambda: from_nir("any.nir", STATED), lambda: to_nir(from_nir(graph({"n": lif()}), STATED))):
        with pytest.raises(CompileError, match="gossamer\\[nir\\]") as refusal:
            call()
        assert refusal.value.code == "GSM-701"


def test_neither_package_is_imported_before_a_file_is_read():
    code = "import sys, gossamer.compiler.exchange; print(sorted({'nir', 'h5py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
