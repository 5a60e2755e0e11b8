"""gossamer diff: is it still the same network?"""

from dataclasses import replace

import numpy as np
import pytest

import gossamer as api
from gossamer.compiler import Dense, InputCoding, integrate_and_fire


@pytest.fixture
def changed(gossamer, files, small_network):
    """Save a changed copy of the network; compare it with the original."""

    def compare(change):
        api.save_checkpoint(change(small_network), "changed")
        answer = gossamer("diff", files / "net.safetensors", "changed", "--json")
        return answer.status, {(d["where"], d["what"]): d for d in answer.json["differences"]}

    return compare


def with_population(network, index, **fields):
    populations = list(network.populations)
    populations[index] = replace(populations[index], **fields)
    return replace(network, populations=tuple(populations))


@pytest.mark.parametrize(
    ("a", "b"),
    [("net.safetensors", "net.safetensors"), ("net.safetensors", "net.graph"), ("net.graph", "unrolled.graph")],
)
def test_the_same_network_in_other_files_is_the_same(gossamer, files, a, b):
    answer = gossamer("diff", files / a, files / b)
    assert answer.status == 0
    assert answer.out.startswith("the same network")


def test_shared_and_unrolled_differ_if_a_single_weight_differs(gossamer, files, small_network):
    dense = small_network.connections[2].maps[1]
    weight = dense.weight.copy()
    weight[3, 5] += 0.25
    connection = replace(
        small_network.connections[2], maps=(small_network.connections[2].maps[0], replace(dense, weight=weight))
    )
    network = replace(small_network, connections=(*small_network.connections[:2], connection))
    api.compile(network, unroll=True).save("other")
    answer = gossamer("diff", files / "net.graph", "other", "--json")
    assert answer.status == 1
    (found,) = answer.json["differences"]
    assert found["what"] == "weights"
    assert found["n_different"] == 4  # the average pool before it: four pixels each
    assert found["max_difference"] == pytest.approx(0.0625)


def test_every_convention_is_named(changed):
    neuron = integrate_and_fire(1.0, reset="zero", comparator=">")
    status, found = changed(lambda n: with_population(n, 1, neuron=replace(neuron, reset_delay=True)))
    assert status == 1
    assert set(found) == {("population 'conv1'", what) for what in ("reset", "comparator", "reset_delay")}
    assert (found["population 'conv1'", "reset"]["a"], found["population 'conv1'", "reset"]["b"]) == (
        "subtract",
        "zero",
    )


def test_steps_and_coding_are_named(changed):
    _, found = changed(lambda n: replace(n, n_steps=4, coding=InputCoding(kind="rate", seed=1)))
    assert set(found) == {("network", "n_steps"), ("network", "input coding")}


def test_coefficients_are_compared_one_by_one(changed):
    thresholds = np.where(np.arange(4) == 2, 1.5, 1.0).astype(np.float32)
    _, found = changed(lambda n: with_population(n, 1, neuron=integrate_and_fire(thresholds)))
    (difference,) = found.values()
    assert difference["what"] == "threshold"
    assert difference["n_different"] == 64  # one channel of 8x8
    assert difference["max_difference"] == 0.5


def test_a_pruned_weight_is_a_missing_synapse(changed):
    def prune(network):
        connection = network.connections[2]
        dense = connection.maps[1]
        mask = np.ones(dense.weight.shape, bool)
        mask[0, :3] = False
        maps = (connection.maps[0], Dense(weight=dense.weight, bias=dense.bias, mask=mask))
        return replace(network, connections=(*network.connections[:2], replace(connection, maps=maps)))

    status, found = changed(prune)
    assert status == 1
    (difference,) = found.values()
    assert "synapses" in difference["what"]


def test_quantizing_is_told_once_and_not_value_by_value(gossamer, files):
    answer = gossamer("diff", files / "net.graph", files / "net8.graph", "--json")
    assert answer.status == 1
    whats = {d["what"] for d in answer.json["differences"]}
    assert "arithmetic" in whats
    assert "weights" not in whats
    assert "threshold" not in whats
    assert answer.json["notes"]


def test_names_do_not_matter_and_other_populations_do(gossamer, files, small_network):
    new = {p.name: f"layer {i}" for i, p in enumerate(small_network.populations)}
    renamed = replace(
        small_network,
        populations=tuple(replace(p, name=new[p.name]) for p in small_network.populations),
        connections=tuple(replace(c, source=new[c.source], target=new[c.target]) for c in small_network.connections),
        output=new["out"],
    )
    api.save_checkpoint(renamed, "renamed")
    answer = gossamer("diff", files / "net.safetensors", "renamed")
    assert answer.status == 0
    assert "other names" in answer.out


def test_a_network_survives_nir(gossamer, files, small_network):
    pytest.importorskip("nir")
    from gossamer.compiler import canonicalize

    api.to_nir(canonicalize(small_network), "net.nir")
    answer = gossamer("diff", files / "net.safetensors", "net.nir")
    assert answer.status == 0, answer.out + answer.err
