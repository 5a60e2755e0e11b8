"""What the benchmarks do to rivals: those not installed here get our graph and chip, and wrong outputs are refused."""

import json
from dataclasses import replace

import compare
import numpy as np
import pytest
import recurrent
from sanafe_compare import with_delays
from sanafe_files import architecture, write_network
from second_process import PARTS, measure

from gossamer.compiler import Connection, Dense, InputCoding, Network, Population, compile_network, integrate_and_fire
from gossamer.hwmodels import chip_and_prices


@pytest.fixture
def chain():
    rng = np.random.default_rng(5)
    populations = [Population(name="in", shape=(3,), kind="input")]
    connections = []
    for source, target, n_in, n_out in (("in", "a", 3, 4), ("a", "b", 4, 2)):
        weight = rng.standard_normal((n_out, n_in)) * (rng.random((n_out, n_in)) < 0.5)
        populations.append(Population(name=target, shape=(n_out,), neuron=integrate_and_fire(1.0)))
        connections.append(Connection(source=source, target=target, maps=(Dense(weight=weight),)))
    return Network(
        name="chain",
        populations=tuple(populations),
        connections=tuple(connections),
        output="b",
        n_steps=6,
        coding=InputCoding(kind="events"),
    )


@pytest.fixture
def graph(chain):
    return compile_network(chain, weight_bits=8)


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


@pytest.fixture
def checked(chain, graph):
    """Candidates that are right, samples, and what the reference says of the first ones."""
    x = np.random.default_rng(6).integers(0, 2, (compare.CHECKED + 2, 6, 3), np.uint8)
    exact = compare.SparseProduct(graph, with_torch=False)
    candidates = {"ours": compare.by_gossamer(graph), "SciPy": compare.Candidate(exact)}
    return candidates, x, compare.expected(compile_network(chain), graph, x)


def test_outputs_are_checked_against_the_reference(chain, checked):
    candidates, x, wanted = checked
    assert wanted["int"].any()
    rounded = compare.by_gossamer(compile_network(chain))
    assert not rounded.exact
    shares = compare.check({**candidates, "rounded": rounded}, x, wanted)
    assert shares == {"ours": 1, "SciPy": 1, "rounded": 1}
    compare.check(candidates, x[:1], wanted)


@pytest.mark.parametrize("sample", [0, -1], ids=["that the reference runs", "that only the others run"])
def test_a_rival_with_other_outputs_stops_the_comparison(checked, sample):
    candidates, x, wanted = checked

    def wrong(x):
        outputs = candidates["SciPy"].run(x).copy()
        outputs[sample, 0] += 1
        return outputs

    with pytest.raises(SystemExit, match="rival: 1 of 20 outputs are not the reference's"):
        compare.check({**candidates, "rival": compare.Candidate(wrong)}, x, wanted)


def test_outputs_that_are_not_exact_are_counted(checked):
    candidates, x, wanted = checked
    rival = compare.Candidate(lambda x: candidates["SciPy"].run(x) + np.arange(2), exact=False)
    assert compare.check({**candidates, "rival": rival}, x, wanted)["rival"] == 0.5


def test_a_recurrent_network_with_a_longer_delay_stops_the_comparison():
    n, n_steps = 300, 8
    network = recurrent.network(n, *recurrent.synapses(n, 50), n_steps)
    x = (np.random.default_rng(4).random((n_steps, n)) < 0.05).astype(np.uint8)
    wanted = recurrent.expected(network, x)
    _, right = recurrent.by_gossamer(compile_network(network), x, 1)
    assert recurrent.check({"right": right}, wanted) == {"right": 1}
    late = replace(
        network, connections=tuple(replace(c, delay=2) if c.source == c.target else c for c in network.connections)
    )
    _, wrong = recurrent.by_gossamer(compile_network(late), x, 1)
    with pytest.raises(SystemExit, match=r"late: [\d.]+% of the first spikes are the reference's"):
        recurrent.check({"right": right, "late": wrong}, wanted)


def test_a_second_process_is_measured_in_parts():
    seconds = measure(1)
    whole, *parts, bare = (seconds[part][0] for part in PARTS)
    assert min(parts) > 0 < bare
    assert sum(parts) == pytest.approx(whole)
