"""gossamer train, gossamer attack and gossamer demo, on seconds of training."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import gossamer as api


def test_train_writes_a_checkpoint_for_each_stage(gossamer, tiny_recipe):
    answer = gossamer("train", tiny_recipe, "--json")
    assert answer.status == 0, answer.err
    found = answer.json
    assert found["out"] == "runs/tiny"
    assert [s["stage"] for s in found["stages"]] == ["dense", "prune", "finetune", "convert", "snn"]
    assert found["final"] == found["stages"][-1]["checkpoint"]
    assert found["stages"][-1]["density"] == pytest.approx(0.3, abs=0.01)
    assert "dense     epoch 2/2" in answer.err
    converted = api.load_checkpoint(found["stages"][3]["checkpoint"])
    spiking = {p.name: p.neuron.threshold for p in converted.populations if p.kind == "spiking"}
    assert set(found["populations"]) == set(spiking)
    for name, fact in found["populations"].items():
        assert fact["threshold"] == pytest.approx(float(spiking[name]), rel=1e-4)
        assert 0 < fact["active_before"] < 1
        assert 0 <= fact["active"] <= 1
    again = gossamer("train", tiny_recipe, "--resume")
    assert again.status == 0
    assert "30.0" in again.out
    assert "Conversion, on the calibration batches" in again.out
    assert "epoch" not in again.err  # nothing was left to do


def test_stages_and_seed_can_be_chosen(gossamer, tiny_recipe):
    first = gossamer("train", tiny_recipe, "--stage", "dense", "--seed", 3, "--out", "a", "--json").json
    other = gossamer("train", tiny_recipe, "--stage", "dense", "--seed", 4, "--out", "b", "--json").json
    assert [s["stage"] for s in first["stages"]] == ["dense"]
    assert (first["seed"], other["seed"]) == (3, 4)
    assert first["stages"][0]["sha256"] != other["stages"][0]["sha256"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("no-such-recipe",), "GSM-604"),
        (("bad.toml",), "GSM-604"),
        (("tiny.toml", "--stage", "rest"), "GSM-608"),
        (("mnist.toml", "--data-dir", "nowhere"), "GSM-601"),
        (("mnist.toml", "--data", "nowhere"), "GSM-601"),
        (("tiny.toml", "--out", "tiny.toml/x"), "GSM-106"),
        (("tiny.toml", "--seed", "-1"), "GSM-604"),
    ],
)
def test_a_run_that_cannot_be_is_refused(gossamer, tiny_recipe, tmp_path, arguments, code):
    (tmp_path / "bad.toml").write_text("[recipe\n")
    (tmp_path / "mnist.toml").write_text(tiny_recipe.read_text().replace("digits", "mnist"))
    answer = gossamer("train", *arguments, "--json")
    assert answer.status == 2
    assert answer.json["error"]["code"] == code
    assert "Traceback" not in answer.err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_attack_says_how_many_are_right_with_and_without(gossamer, tiny_recipe):
    checkpoint = gossamer("train", tiny_recipe, "--stage", "dense", "--json").json["final"]
    command = ("attack", checkpoint, "--data", "digits", "--limit", 60)
    answer = gossamer(*command, "--eps", "32/255", "--steps", 3, "--step-size", "0.05", "--json")
    assert answer.status == 0, answer.err
    found = answer.json
    assert found["eps"] == 32 / 255
    assert found["n_samples"] == 60
    assert found["adversarial_accuracy"] < found["clean_accuracy"]
    text = gossamer(*command, "--attack", "fgsm").out
    assert "under fgsm" in text
    assert "eps 8/255" in text
    assert "loss ce" in text
    said = gossamer(*command, "--json").json
    assert (said["n_steps"], said["loss"]) == (20, "ce")
    assert said["step_size"] == 2.5 * (8 / 255) / 20
    report = api.attack(
        checkpoint, api.load_dataset("digits", "test").limit(60), eps=32 / 255, n_steps=3, step_size=0.05
    )
    assert report.adversarial_accuracy == found["adversarial_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--eps", "1/0"), "GSM-702"),
        (("--eps", "much"), "GSM-702"),
        (("--eps", "nan"), "GSM-702"),
        (("--eps", "2"), "GSM-608"),
        (("--eps", "-8/255"), "GSM-608"),
        (("--steps", "0"), "GSM-608"),
        (("--seed", "-1"), "GSM-608"),
        (("--attack", "magic"), "GSM-702"),
        (("--attack", "fgsm", "--steps", "3"), "GSM-702"),
        (("--data", "x.npz"), "GSM-603"),
    ],
)
def test_a_bad_attack_is_refused(gossamer, tiny_dense, arguments, code):
    answer = gossamer("attack", tiny_dense, "--data", "digits", "--limit", 20, *arguments, "--json")
    assert answer.status == 2
    assert answer.json["error"]["code"] == code, answer.err


def obey_interrupts():
    """A suite that runs in the background ignores Ctrl-C, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_during_training_leaves_nothing_half_written(tmp_path, tiny_recipe):
    long = tmp_path / "long.toml"
    long.write_text(tiny_recipe.read_text().replace("epochs = 2", "epochs = 100000"))
    # Warnings stay warnings: an interrupt between opening a file and its block leaves closing to the collector.
    command = [sys.executable, "-m", "gossamer", "train", str(long), "--out", "out", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, preexec_fn=obey_interrupts,
    )  # fmt: skip
    with process:
        try:
            assert "epoch 1/100000" in process.stderr.readline()
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.endswith("error GSM-703: interrupted\n")
    assert "--resume" in err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["code"] == "GSM-703"
    assert not list((tmp_path / "out").glob(".*"))  # no temporary file
    assert not list((tmp_path / "out").glob("1-dense*"))


def test_training_does_not_begin_over_the_checkpoints_of_another_recipe(
    gossamer, tiny_recipe, tiny_robust_recipe, tmp_path
):
    assert gossamer("train", tiny_recipe, "--out", "out", "--stage", "dense").status == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    answer = gossamer("train", tiny_robust_recipe, "--out", "out")
    assert answer.status == 2
    assert "GSM-606" in answer.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert gossamer("train", tiny_recipe, "--out", "out", "--stage", "dense").status == 0  # its own it makes again


def test_several_devices_are_one_command(tmp_path, tiny_recipe):
    """The command runs itself again; one of the two answers."""
    command = [
        sys.executable,
        "-m",
        "gossamer",
        "train",
        str(tiny_recipe),
        "--devices",
        "2",
        "--json",
        "--stage",
        "dense",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [s["stage"] for s in answer["stages"]] == ["dense"]
    assert done.stderr.count("epoch 2/2") == 1
    assert sorted(path.name for path in (tmp_path / answer["out"]).iterdir()) == [
        "1-dense.safetensors",
        "history.jsonl",
    ]
    again = subprocess.run([*command, "--seed", "9"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2
    assert json.loads(again.stdout)["error"]["code"] == "GSM-606"
