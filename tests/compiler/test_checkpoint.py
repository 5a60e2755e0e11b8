"""Checkpoints: every field comes back, and contents that are no network are refused with the place."""

from dataclasses import replace

import numpy as np
import pytest
from forgery import forge
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_identical, joined, refusal, small_convolutional
from strategies import networks

from gossamer.compiler import (
    AveragePool2d,
    BatchNorm,
    CompileError,
    Connection,
    Conv2d,
    Dense,
    InputCoding,
    Neuron,
    Population,
    Scale,
    Sparse,
    SumPool2d,
    canonicalize,
    load_checkpoint,
    quantize,
    save_checkpoint,
)

broad = settings(max_examples=80)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoint") / "network.ckpt"


@broad
@given(network=networks(tangled=True), quantized=st.booleans())
def test_any_network_comes_back_in_every_field(network, quantized, path):
    if quantized:
        try:
            network = quantize(canonicalize(network))
        except CompileError:
            return
    digest = save_checkpoint(network, path)
    loaded = load_checkpoint(path)
    assert_identical(loaded, network)
    assert loaded.metadata["sha256"] == digest
    assert save_checkpoint(loaded, path) == digest


def test_every_kind_of_map_and_every_option_comes_back(path):
    rng = np.random.default_rng(0)
    ones = np.ones(2)
    neuron = Neuron(
        threshold=np.array([1.0, 2.0]),
        leak=np.float32(0.3),
        current_decay=np.full((2, 3, 3), 0.25),
        v_init=-0.5,
        reset="zero",
        comparator=">",
        update_order="voltage-first",
        reset_delay=True,
        bias_target="membrane",
    )
    everything = (
        Scale(scale=rng.random((1, 6, 6)), shift=rng.random(1)),
        Conv2d(weight=rng.random((2, 1, 3, 3)), mask=rng.random((2, 1, 3, 3)) < 0.5, padding=(2, 1), dilation=(2, 1)),
        BatchNorm(mean=ones, variance=ones, gamma=-ones, beta=0 * ones, eps=1e-3),
        AveragePool2d(kernel=3, stride=2, padding=1),
        SumPool2d(kernel=(1, 1), stride=(1, 1)),
        Conv2d(weight=rng.random((2, 1, 1, 1)), bias=rng.random(2), groups=2),
    )
    n = joined(
        everything,
        (1, 6, 6),
        (2, 3, 3),
        neuron=neuron,
        bias=rng.random((2, 3, 3)),
        coding=InputCoding(kind="phase", phases=5, weighted=True, seed=7, levels=15, graded=True),
        reset_between_samples=False,
        metadata={"accuracy": 0.5, "recipe": {"stages": ["a", None, True]}, "name": "netz é", "type": "Dense"},
    )
    sparse = Sparse(
        row_start=np.array([0, 1, 2]),
        targets=np.array([17, 0], np.uint8),
        weights=np.array([1.5, 2.5]),
        delays=np.array([3, 0]),
        shape=(2, 3, 3),
    )
    delayed = Dense(weight=np.ones((2, 18)), delays=np.arange(36).reshape(2, 18), mask=np.eye(2, 18) > 0)
    n = replace(
        n,
        populations=(
            *n.populations,
            Population(name="q ♥", shape=(2,), kind="join"),
            Population(name="out", shape=(2,), kind="readout", neuron=Neuron(reset="none"), bias=ones),
        ),
        connections=(
            *n.connections,
            Connection(source="p", target="q ♥", maps=(delayed,), delay=4),
            Connection(source="q ♥", target="p", maps=(sparse,), delay=1),
            Connection(source="q ♥", target="out", maps=()),
            Connection(source="p", target="out", maps=(Dense(weight=rng.random((2, 18)), bias=ones),)),
        ),
        output="out",
    )
    save_checkpoint(n, path)
    loaded = load_checkpoint(path)
    assert_identical(loaded, n)
    stored = {type(m) for c in loaded.connections for m in c.maps}
    assert stored == {Dense, Conv2d, Sparse, Scale, BatchNorm, AveragePool2d, SumPool2d}


def set_field(*steps, value):
    """A change of one field of the network's record."""

    def change(header, arrays):
        record = header["network"]
        for step in steps[:-1]:
            record = record[step]
        record[steps[-1]] = value

    return change


def drop(*steps):
    def change(header, arrays):
        record = header["network"]
        for step in steps[:-1]:
            record = record[step]
        del record[steps[-1]]

    return change


def array_of(*steps, value):
    """A change of the array that a field refers to."""

    def change(header, arrays):
        record = header["network"]
        for step in steps:
            record = record[step]
        arrays[record["array"]] = np.asarray(value)

    return change


DENSE = ("connections", 2, "maps", 1)
HOSTILE = {
    "another record": (lambda h, a: h.update(network=h["network"]["coding"]), "GSM-105"),
    "no record": (lambda h, a: h.update(network=7), "GSM-105"),
    "only metadata": (lambda h, a: h.update(network={"metadata": {}}), "GSM-105"),
    "header field missing": (lambda h, a: h.pop("network"), "GSM-105"),
    "header field surplus": (lambda h, a: h.update(more=1), "GSM-105"),
    "unknown type": (set_field("type", value="Netzwerk"), "GSM-105"),
    "type of another kind": (set_field("type", value=["Network"]), "GSM-105"),
    "surplus field": (set_field("colour", value="red"), "GSM-105"),
    "surplus field below": (set_field(*DENSE, "colour", value="red"), "GSM-105"),
    "missing field": (drop("n_steps"), "GSM-105"),
    "missing field below": (drop(*DENSE, "weight"), "GSM-105"),
    "missing array": (set_field(*DENSE, "weight", value={"array": "nowhere"}), "GSM-105"),
    "array of arrays": (set_field(*DENSE, "weight", value={"array": ["a"]}), "GSM-105"),
    "array where text is": (set_field("name", value={"array": "network.connections.2.maps.1.bias"}), "GSM-204"),
    "name a number": (set_field("name", value=3), "GSM-204"),
    "name unprintable": (set_field("name", value="\x1b[31mred"), "GSM-204"),
    "name a lone surrogate": (set_field("populations", 1, "name", value="\ud800"), "GSM-204"),
    "name too long": (set_field("populations", 1, "name", value="x" * 10_000), "GSM-204"),
    "populations a text": (set_field("populations", value="in"), "GSM-105"),
    "populations numbers": (set_field("populations", value=[1, 2]), "GSM-105"),
    "populations nothing": (set_field("populations", value=None), "GSM-105"),
    "populations empty": (set_field("populations", value=[]), "GSM-204"),
    "connections empty": (set_field("connections", value=[]), "GSM-206"),
    "connections of populations": (
        lambda h, a: set_field("connections", value=h["network"]["populations"])(h, a),
        "GSM-105",
    ),
    "shape a text": (set_field("populations", 1, "shape", value="388"), "GSM-201"),
    "shape of reals": (set_field("populations", 1, "shape", value=[4.0, 8.0, 8.0]), "GSM-201"),
    "shape infinite": (set_field("populations", 1, "shape", value=[float("inf")]), "GSM-201"),
    "shape negative": (set_field("populations", 1, "shape", value=[-4, -8, 8]), "GSM-201"),
    "shape of two": (set_field("populations", 1, "shape", value=[4, 64]), "GSM-201"),
    "shape past 64 bits": (set_field("populations", 1, "shape", value=[2**40, 2**40, 2**40]), "GSM-201"),
    "shape past 31 bits": (set_field("populations", 1, "shape", value=[2, 2**15, 2**15]), "GSM-201"),
    "shape another": (set_field("populations", 1, "shape", value=[4, 8, 7]), "GSM-201"),
    "kind a list": (set_field("populations", 1, "kind", value=[]), "GSM-206"),
    "kind unknown": (set_field("populations", 1, "kind", value="magic"), "GSM-206"),
    "kind without a neuron": (set_field("populations", 1, "kind", value="join"), "GSM-206"),
    "neuron a coding": (
        lambda h, a: set_field("populations", 1, "neuron", value=h["network"]["coding"])(h, a),
        "GSM-105",
    ),
    "neuron a text": (set_field("populations", 1, "neuron", value="IF"), "GSM-105"),
    "reset unknown": (set_field("populations", 1, "neuron", "reset", value="soft"), "GSM-203"),
    "reset_delay a number": (set_field("populations", 1, "neuron", "reset_delay", value=0), "GSM-105"),
    "threshold a text": (set_field("populations", 1, "neuron", "threshold", value="1"), "GSM-201"),
    "threshold negative": (array_of("populations", 1, "neuron", "threshold", value=np.float32(-1)), "GSM-203"),
    "threshold NaN": (array_of("populations", 1, "neuron", "threshold", value=np.float32("nan")), "GSM-202"),
    "leak out of range": (array_of("populations", 1, "neuron", "leak", value=np.float32(1.5)), "GSM-203"),
    "bias of another shape": (array_of("populations", 1, "bias", value=np.zeros(5)), "GSM-201"),
    "weights NaN": (array_of(*DENSE, "weight", value=np.full((10, 24), np.nan)), "GSM-202"),
    "weights infinite": (array_of(*DENSE, "weight", value=np.full((10, 24), np.inf)), "GSM-202"),
    "weights transposed": (array_of(*DENSE, "weight", value=np.ones((24, 10))), "GSM-201"),
    "weights true or false": (array_of(*DENSE, "weight", value=np.ones((10, 24), bool)), "GSM-201"),
    "weights null": (set_field(*DENSE, "weight", value=None), "GSM-201"),
    "mask of numbers": (set_field(*DENSE, "mask", value={"array": "network.connections.2.maps.1.weight"}), "GSM-201"),
    "maps a text": (set_field("connections", 2, "maps", value="Dense"), "GSM-105"),
    "maps of neurons": (
        lambda h, a: set_field("connections", 2, "maps", value=[h["network"]["populations"][1]["neuron"]])(h, a),
        "GSM-105",
    ),
    "stride zero": (set_field("connections", 0, "maps", 1, "stride", value=[0, 1]), "GSM-201"),
    "stride a text": (set_field("connections", 0, "maps", 1, "stride", value="11"), "GSM-201"),
    "stride of three": (set_field("connections", 0, "maps", 1, "stride", value=[1, 1, 1]), "GSM-201"),
    "padding huge": (set_field("connections", 0, "maps", 1, "padding", value=[2**62, 1]), "GSM-201"),
    "groups zero": (set_field("connections", 0, "maps", 1, "groups", value=0), "GSM-201"),
    "groups a text": (set_field("connections", 0, "maps", 1, "groups", value="1"), "GSM-201"),
    "eps a text": (set_field("connections", 0, "maps", 2, "eps", value="small"), "GSM-105"),
    "eps NaN": (set_field("connections", 0, "maps", 2, "eps", value=float("nan")), "GSM-203"),
    "delay negative": (set_field("connections", 0, "delay", value=-1), "GSM-203"),
    "delay real": (set_field("connections", 0, "delay", value=1.0), "GSM-203"),
    "delay true": (set_field("connections", 0, "delay", value=True), "GSM-203"),
    "delay past 64 bits": (set_field("connections", 0, "delay", value=2**70), "GSM-203"),
    "source unknown": (set_field("connections", 0, "source", value="nobody"), "GSM-204"),
    "source a list": (set_field("connections", 0, "source", value=["in"]), "GSM-204"),
    "output unknown": (set_field("output", value="nobody"), "GSM-206"),
    "output a list": (set_field("output", value=["out"]), "GSM-206"),
    "n_steps zero": (set_field("n_steps", value=0), "GSM-203"),
    "n_steps a text": (set_field("n_steps", value="8"), "GSM-203"),
    "n_steps past 31 bits": (set_field("n_steps", value=2**31), "GSM-203"),
    "coding nothing": (set_field("coding", value=None), "GSM-105"),
    "coding a neuron": (
        lambda h, a: set_field("coding", value=h["network"]["populations"][1]["neuron"])(h, a),
        "GSM-105",
    ),
    "coding unknown": (set_field("coding", "kind", value="morse"), "GSM-208"),
    "levels real": (set_field("coding", "levels", value=2.5), "GSM-208"),
    "seed negative": (set_field("coding", "seed", value=-1), "GSM-208"),
    "weighted a text": (set_field("coding", "weighted", value="no"), "GSM-105"),
    "arithmetic unknown": (set_field("arithmetic", value="float64"), "GSM-207"),
    "arithmetic of other numbers": (set_field("arithmetic", value="int"), "GSM-207"),
    "reset_between_samples a text": (set_field("reset_between_samples", value="false"), "GSM-105"),
    "metadata a list": (set_field("metadata", value=[]), "GSM-105"),
    "nested too deep": (lambda h, a: set_field("name", value=nested(400))(h, a), "GSM-204"),
}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("title", HOSTILE)
def test_contents_that_are_no_network_are_refused(title, tmp_path):
    change, code = HOSTILE[title]
    save_checkpoint(small_convolutional(), tmp_path / "file")
    forge(tmp_path / "file", change)
    error = refusal(lambda: load_checkpoint(tmp_path / "file"), code)
    assert str(tmp_path / "file") in error.where


def test_the_message_names_the_connection_and_the_population_at_fault(tmp_path):
    path = tmp_path / "file"
    save_checkpoint(small_convolutional(), path)
    forge(path, HOSTILE["weights NaN"][0])
    where = refusal(lambda: load_checkpoint(path), "GSM-202").where
    assert "connections[2] ('conv2' -> 'out').maps[1]" in where
    assert where.endswith("Dense.weight")
    save_checkpoint(small_convolutional(), path)
    forge(path, HOSTILE["threshold negative"][0])
    assert (
        "populations[1] ('conv1').neuron: Neuron.threshold" in refusal(lambda: load_checkpoint(path), "GSM-203").where
    )
