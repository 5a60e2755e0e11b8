"""The record of a run: its file, its JSON, and what pricing makes of it."""

import json

import numpy as np
import pytest
from forgery import forge
from networks import assert_identical, refusal, small_convolutional

from gossamer.compiler import compile_network, load_graph
from gossamer.hwmodels import EVENT_NAMES, EventCounts, list_chips, price
from gossamer.simulator import SimulationError, load_activity, simulate

X = np.random.default_rng(0).random((4, 3, 8, 8), np.float32)


@pytest.fixture(scope="module")
def activity():
    return simulate(compile_network(small_convolutional()), X, np.array([1, 2, 3, 4]), record=["conv1", "in"])


@pytest.fixture
def path(activity, tmp_path):
    activity.save(tmp_path / "run")
    return tmp_path / "run"


def test_a_record_comes_back_in_every_field(activity, path):
    loaded = load_activity(path)
    assert_identical(loaded, activity)
    assert loaded.save(path) == activity.save(path)
    assert loaded.total == activity.total
    assert loaded.accuracy == activity.accuracy


def test_a_record_without_labels_and_spikes_comes_back(tmp_path):
    plain = simulate(compile_network(small_convolutional(), weight_bits=8), X)
    plain.save(tmp_path / "run")
    loaded = load_activity(tmp_path / "run")
    assert_identical(loaded, plain)
    assert loaded.accuracy is None


def test_a_record_names_the_graph_file_that_was_run(tmp_path):
    digest = compile_network(small_convolutional()).save(tmp_path / "graph")
    assert simulate(load_graph(tmp_path / "graph"), X).graph_sha256 == digest


def test_layers_add_up_to_the_total(activity):
    total = sum(activity.layer_counts(layer.name) for layer in activity.layers)
    assert total == activity.total
    assert total == EventCounts(**dict(zip(EVENT_NAMES, activity.counts.sum(axis=(0, 1)).tolist(), strict=True)))
    assert total.synaptic_ops > 0
    assert total.macs > 0


def test_the_json_is_as_designed(activity):
    record = json.loads(json.dumps(activity.to_dict()))
    assert list(record) == ["n_samples", "n_steps", "accuracy", "seconds", "threads", "engine", "counts", "layers"]
    assert (record["n_samples"], record["n_steps"]) == (4, 8)
    assert record["accuracy"] == activity.accuracy
    assert record["seconds"] > 0
    assert [layer["name"] for layer in record["layers"]] == ["in", "conv1", "conv2", "out"]
    assert {"spikes", "synaptic_ops", "macs", "neuron_updates"} <= set(record["counts"])
    for name in record["counts"]:
        assert record["counts"][name] == sum(layer["counts"][name] for layer in record["layers"])
    conv1 = record["layers"][1]
    assert {"name", "neurons", "synapses", "spike_rate", "counts"} <= set(conv1)
    assert conv1["neurons"] == 256
    assert conv1["spike_rate"] == conv1["counts"]["spikes"] / (256 * 8 * 4)
    assert conv1["spike_rate"] == pytest.approx(activity.spikes["conv1"].mean())


@pytest.mark.parametrize("chip", list_chips())
def test_every_chip_prices_a_run(activity, chip):
    report = price(activity.layer_activities(), chip, activity.n_samples, n_steps=activity.n_steps)
    assert report.layers == ("in", "conv1", "conv2", "out")
    assert sum(line.energy_pj for line in report.lines) > 0
    for line in report.lines:
        assert line.count > 0


def test_sizes_of_memories_are_those_of_the_graph(activity):
    graph = compile_network(small_convolutional())
    for layer in activity.layers[1:]:
        assert (layer.weight_bytes + layer.index_bytes, layer.unrolled_bytes) == graph.memory(layer.name)
        assert layer.n_synapses == graph.n_synapses(layer.name)
        assert layer.state_bytes == 8 * layer.n_neurons, "an accumulator and a membrane each"


def test_a_record_says_what_it_holds(activity):
    assert "4 samples x 8 steps" in repr(activity)
    assert "accuracy" in repr(activity)
    lines = activity.summary().splitlines()
    assert [line.split()[0] for line in lines] == ["population", "in", "conv1", "conv2", "out"]


@pytest.mark.parametrize("ask", ["layer_counts", "spike_rate"])
def test_a_population_that_was_not_there_is_asked_for_in_vain(ask, activity):
    error = refusal(lambda: getattr(activity, ask)("nobody"), "GSM-404", error=SimulationError)
    assert "conv1" in error.expected


def of_layer(name, value):
    return lambda h, a: h["layers"][1].update({name: value})


HOSTILE = {
    "no layers": lambda h, a: h.pop("layers"),
    "layers a number": lambda h, a: h.update(layers=4),
    "layers numbers": lambda h, a: h.update(layers=[1, 2, 3, 4]),
    "a layer too few": lambda h, a: h["layers"].pop(),
    "a layer's field missing": lambda h, a: h["layers"][1].pop("n_neurons"),
    "a layer's field surplus": of_layer("colour", "red"),
    "neurons a text": of_layer("n_neurons", "256"),
    "neurons negative": of_layer("n_neurons", -1),
    "neurons true": of_layer("n_neurons", True),
    "neurons others": of_layer("n_neurons", 255),
    "name a number": of_layer("name", 1),
    "surplus header": lambda h, a: h.update(more=1),
    "samples missing": lambda h, a: h.pop("n_samples"),
    "samples real": lambda h, a: h.update(n_samples=4.0),
    "samples none": lambda h, a: h.update(n_samples=0),
    "samples others": lambda h, a: h.update(n_samples=5),
    "steps others": lambda h, a: h.update(n_steps=7),
    "seconds NaN": lambda h, a: h.update(seconds=float("nan")),
    "seconds a text": lambda h, a: h.update(seconds="1"),
    "graph nothing": lambda h, a: h.update(graph=None),
    "other events": lambda h, a: h.update(events=h["events"][::-1]),
    "counts negative": lambda h, a: a.update(counts=a["counts"] - 1),
    "counts real": lambda h, a: a.update(counts=a["counts"] * 1.0),
    "counts missing": lambda h, a: a.pop("counts"),
    "logits flat": lambda h, a: a.update(logits=a["logits"].ravel()),
    "logits of 64 bits": lambda h, a: a.update(logits=a["logits"].astype(np.float64)),
    "logits of nothing": lambda h, a: a.update(logits=a["logits"][:, :0]),
    "labels real": lambda h, a: a.update(labels=a["labels"] * 1.0),
    "labels too few": lambda h, a: a.update(labels=a["labels"][:3]),
    "spikes of nobody": lambda h, a: a.update({"spikes.nobody": a["spikes.conv1"]}),
    "spikes of other samples": lambda h, a: a.update({"spikes.conv1": a["spikes.conv1"][:2]}),
    "spikes of other neurons": lambda h, a: a.update({"spikes.conv1": a["spikes.conv1"][:, :, :2]}),
    "spikes of texts": lambda h, a: a.update({"spikes.conv1": a["spikes.conv1"].astype(np.int8)}),
    "surplus array": lambda h, a: a.update(conv1=a["spikes.conv1"]),
}


@pytest.mark.parametrize("title", HOSTILE)
def test_a_record_that_contradicts_itself_is_refused(title, path):
    forge(path, HOSTILE[title])
    error = refusal(lambda: load_activity(path), "GSM-105", error=Exception)
    assert str(path) in error.where
