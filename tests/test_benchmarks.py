"""What the benchmarks hand to a rival that is not installed here: its files say what our graph and our chip say."""

import json

import numpy as np
import pytest
from sanafe_compare import with_delays
from sanafe_files import architecture, write_network

from gossamer.compiler import Connection, Dense, InputCoding, Network, Population, compile_network, integrate_and_fire
from gossamer.hwmodels import chip_and_prices


@pytest.fixture
def graph():
    rng = np.random.default_rng(5)
    populations = [Population(name="in", shape=(3,), kind="input")]
    connections = []
    for source, target, n_in, n_out in (("in", "a", 3, 4), ("a", "b", 4, 2)):
        weight = rng.standard_normal((n_out, n_in)) * (rng.random((n_out, n_in)) < 0.5)
        populations.append(Population(name=target, shape=(n_out,), neuron=integrate_and_fire(1.0)))
        connections.append(Connection(source=source, target=target, maps=(Dense(weight=weight),)))
    network = Network(
        name="chain",
        populations=tuple(populations),
        connections=tuple(connections),
        output="b",
        n_steps=6,
        coding=InputCoding(kind="events"),
    )
    return compile_network(network, weight_bits=8)


def test_a_network_file_holds_the_graph(graph, tmp_path):
    delayed, x = with_delays(graph), np.eye(3, dtype=np.uint8)[None]
    write_network(tmp_path, delayed, x)
    with np.load(tmp_path / "network.npz") as arrays:
        assert arrays["names"].tolist() == ["in", "a", "b"]
        assert arrays["sizes"].tolist() == [3, 4, 2]
        np.testing.assert_array_equal(arrays["x"], x)
        for p in graph.projections:
            np.testing.assert_array_equal(arrays[f"starts.{p.target}"], p.row_start)
            np.testing.assert_array_equal(arrays[f"targets.{p.target}"], p.targets)
            np.testing.assert_array_equal(arrays[f"weights.{p.target}"], p.weights)
            assert arrays[f"threshold.{p.target}"] == graph[p.target].neuron.threshold
    assert delayed.n_steps == graph.n_steps + 2


def test_a_network_that_sanafe_would_run_differently_is_refused(graph, tmp_path):
    with pytest.raises(ValueError, match="delay of one step"):
        write_network(tmp_path, graph, np.zeros((1, 6, 3), np.uint8))


def test_an_architecture_has_the_chips_cores_and_prices():
    described = architecture(*chip_and_prices("loihi"), n_inputs=784)["architecture"]
    first, rest = described["tile"]
    assert (first["name"], rest["name"]) == ("tile0", "tile[1..31]")
    assert first["core"][0]["name"] == rest["core"][0]["name"] == "core[0..3]"
    assert [soma["name"] for soma in first["core"][0]["soma"]] == ["neurons", "input[0..783]"]
    joules = sorted(
        value
        for unit in (first["attributes"], *(u["attributes"] for k in ("synapse", "soma") for u in rest["core"][0][k]))
        for name, value in unit.items()
        if name.startswith("energy_") and value
    )
    assert joules == pytest.approx([1.7e-12, 3e-12, 3e-12, 4e-12, 4e-12, 23.6e-12, 81e-12])
    assert json.loads(json.dumps(described)) == described


def test_a_chip_without_cores_is_refused():
    with pytest.raises(ValueError, match="needs a mesh"):
        architecture(*chip_and_prices("cmos-45nm"), n_inputs=784)
