"""gossamer simulate."""

import numpy as np
import pytest

import gossamer as api

EVENTS = (
    "spikes", "synaptic_ops", "macs", "neuron_updates", "weight_read_bytes", "index_read_bytes", "state_read_bytes",
    "state_write_bytes", "packets", "hops",
)  # fmt: skip


def test_simulate_prints_exactly_the_promised_json(gossamer, files):
    answer = gossamer("simulate", files / "net.graph", "--data", files / "x.npz", "--threads", 2, "--json")
    assert answer.status == 0
    found = answer.json
    assert set(found) == {"n_samples", "n_steps", "accuracy", "seconds", "threads", "engine", "counts", "layers"}
    assert (found["n_samples"], found["n_steps"], found["threads"]) == (12, 8, 2)
    assert 0 <= found["accuracy"] <= 1
    assert found["seconds"] > 0
    assert tuple(found["counts"]) == EVENTS
    assert [layer["name"] for layer in found["layers"]] == ["in", "conv1", "conv2", "out"]
    for layer in found["layers"]:
        assert {"name", "neurons", "synapses", "spike_rate", "counts"} <= set(layer)
        assert tuple(layer["counts"]) == EVENTS
    for event in EVENTS:
        assert found["counts"][event] == sum(layer["counts"][event] for layer in found["layers"])


def test_energy_is_there_only_with_a_chip_and_says_what_has_no_price(gossamer, files):
    answer = gossamer(
        "simulate",
        files / "net.graph",
        "--data",
        files / "unlabelled.npz",
        "--chip",
        "loihi",
        "--chip",
        "cmos-45nm",
        "--json",
    )
    found = answer.json
    assert found["accuracy"] is None
    assert list(found["energy_pj"]) == ["loihi", "cmos-45nm"]
    loihi = found["energy_pj"]["loihi"]
    assert loihi["partial"]
    assert loihi["unpriced"] == {"mac": found["counts"]["macs"]}
    assert loihi["per_sample_pj"] == pytest.approx(loihi["total_pj"] / 12)
    cmos = found["energy_pj"]["cmos-45nm"]
    expected = 4.6 * found["counts"]["macs"] + 0.9 * found["counts"]["synaptic_ops"]
    assert not cmos["partial"]
    assert cmos["total_pj"] == pytest.approx(expected)


def test_the_table_says_what_the_json_says(gossamer, files):
    answer = gossamer("simulate", files / "net.graph", "--data", files / "x.npz", "--chip", "loihi")
    assert answer.status == 0
    assert "PARTIAL: this list has no price for mac" in answer.out
    assert "conv2" in answer.out
    assert "\x1b" not in answer.out


def test_a_checkpoint_is_compiled_on_the_fly_with_a_remark(gossamer, files):
    a = gossamer("simulate", files / "net.safetensors", "--data", files / "x.npz", "--json")
    b = gossamer("simulate", files / "net.graph", "--data", files / "x.npz", "--json")
    assert "compiled on the fly" in a.err
    assert a.json["counts"] == b.json["counts"]


def test_steps_limit_record_and_output(gossamer, files):
    command = (
        "simulate",
        files / "net.graph",
        "--data",
        files / "x.npz",
        "--steps",
        3,
        "--limit",
        5,
        "--record",
        "-o",
        "r",
    )
    assert gossamer(*command).status == 0
    run = api.load_activity("r")
    assert (run.n_samples, run.n_steps) == (5, 3)
    assert run.spikes["conv1"].shape == (5, 3, 4, 8, 8)


def test_python_simulates_the_same(files):
    graph = api.load_graph(files / "net.graph")
    with np.load(files / "x.npz") as data:
        run = api.simulate(graph, data["x"], data["y"])
    assert run.total == api.load_activity(files / "run").total
    assert api.energy(files / "run", "loihi")["loihi"].total_pj == api.energy(run, ["loihi"])["loihi"].total_pj


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--data", "x.npz", "--chip", "lohi"), "GSM-501"),
        (("--data", "x.npz", "--chip", "loihi:free"), "GSM-503"),
        (("--data", "digit"), "GSM-603"),
        (("--data", "digits", "--split", "all"), "GSM-603"),
        (("--data", "mnist", "--data-dir", "nowhere"), "GSM-601"),
        (("--data", "digits"), "GSM-401"),  # 1x8x8 pictures for a 3x8x8 input
        (("--data", "missing.npz"), "GSM-601"),
        (("--data", "nan.npz"), "GSM-602"),
        (("--data", "shape.npz"), "GSM-401"),
        (("--data", "labels.npz"), "GSM-402"),
        (("--data", "text.npz"), "GSM-602"),
        (("--data", "x.npz", "--steps", "0"), "GSM-404"),
        (("--data", "x.npz", "--threads", "0"), "GSM-404"),
        (("--data", "x.npz", "--limit", "0"), "GSM-702"),
        (("--data", "digits", "--limit", "0"), "GSM-605"),
        (("--data", "x.npz", "-o", "nowhere/r"), "GSM-106"),
        ((), "GSM-702"),
    ],
)
def test_bad_data_and_options_are_refused_with_a_code(gossamer, files, tmp_path, arguments, code):
    x = np.zeros((4, 3, 8, 8), np.float32)
    np.savez("x.npz", x=x)
    np.savez("nan.npz", x=np.where(np.arange(8) == 3, np.nan, x))
    np.savez("shape.npz", x=x[:, :2])
    np.savez("labels.npz", x=x, y=np.array([0, 1, 2, 10]))
    np.savez("text.npz", x=np.array([["a", "b"]]))
    before = sorted(tmp_path.iterdir())
    answer = gossamer("simulate", files / "net.graph", *arguments, "--json")
    assert answer.status == 2
    assert answer.err.startswith(f"error {code}: ")
    assert answer.json["error"]["code"] == code
    assert "Traceback" not in answer.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_data_set_with_other_classes_is_refused(gossamer, files, tmp_path):
    from gossamer.compiler import Connection, Dense, Network, Population, integrate_and_fire

    network = Network(
        name="three", output="out", n_steps=2,
        populations=(
            Population(name="in", shape=(1, 8, 8), kind="input"),
            Population(name="out", shape=(3,), neuron=integrate_and_fire(1.0)),
        ),
        connections=(Connection(source="in", target="out", maps=(Dense(weight=np.ones((3, 64), np.float32)),)),),
    )  # fmt: skip
    api.save_checkpoint(network, "three")
    answer = gossamer("simulate", "three", "--data", "digits")
    assert answer.status == 2
    assert "GSM-605" in answer.err
    assert "10 classes" in answer.err
