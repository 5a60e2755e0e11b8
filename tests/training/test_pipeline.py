"""A whole run on a few digits: what it leaves, and that killing it changes nothing."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gossamer.compiler import load_checkpoint, read_container, save_checkpoint
from gossamer.compiler.checkpoint import CHECKPOINT_VERSION
from gossamer.training import (
    STAGES,
    TorchNetwork,
    TrainingError,
    accuracy,
    density_of,
    load_dataset,
    load_recipe,
    mlp,
    run_recipe,
    split_validation,
)
from gossamer.training import pipeline as pipeline_module
from gossamer.training.optimizer import make_optimizer, set_learning_rate
from gossamer.training.recipe import parse_recipe

ADVERSARY = "beta = 1.0\neps = 0.1\n"
RECIPE = f"""
[recipe]
name = "tiny"
seed = 3
threads = 1
[data]
name = "digits"
limit = 90
augment = "crop"
pad = 1
[validation]
fraction = 0.3
limit = 20
attack_steps = 2
[model]
channels = [4, "A"]
hidden = [8]
[dense]
epochs = 3
batch_size = 16
optimizer = "adam"
lr = 0.01
[dense.robust]
{ADVERSARY}steps = 2
[prune]
method = "hydra"
density = 0.2
epochs = 2
batch_size = 32
[prune.robust]
{ADVERSARY}steps = 1
[finetune]
epochs = 2
batch_size = 32
lr = 0.01
[finetune.robust]
{ADVERSARY}steps = 1
[convert]
n_steps = 3
steps = 5
batches = 2
batch_size = 30
[snn]
epochs = 2
batch_size = 16
lr = 0.01
train_thresholds = true
[snn.robust]
{ADVERSARY}attack = "rfgsm"
"""
FILES = ["1-dense", "2-pruned", "3-sparse", "4-converted", "5-robust-snn"]


class Killed(Exception):
    """Stands for the end of the process."""


def killer(at):
    """A progress callback that raises at the given number of calls."""
    calls = 0

    def progress(_):
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed

    return progress


def digest(path):
    """SHA-256 over a checkpoint's header and arrays; the order of the fields in the file itself is not defined."""
    return read_container(path, "checkpoint", CHECKPOINT_VERSION)[2]


def digests(folder):
    return {name: digest(folder / f"{name}.safetensors") for name in FILES}


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def recipe(recipe_file):
    return load_recipe(recipe_file)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """An uninterrupted run: (result, folder, what it told)."""
    folder, told = tmp_path_factory.mktemp("whole"), []
    return run_recipe(recipe, out_dir=folder, progress=told.append, save_every_s=1e9), folder, told


def test_a_run_leaves_a_checkpoint_for_each_stage_a_log_and_no_state(whole):
    result, folder, _ = whole
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"{name}.safetensors" for name in FILES),
        "history.jsonl",
    ]
    assert list(result.checkpoints) == list(STAGES)
    assert result.final == folder / "5-robust-snn.safetensors"
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [(line["stage"], line["epoch"]) for line in lines] == [
        ("dense", 1), ("dense", 2), ("dense", 3), ("prune", 1), ("prune", 2), ("finetune", 1), ("finetune", 2),
        ("convert", 0), ("snn", 1), ("snn", 2),
    ]  # fmt: skip
    assert all(0 <= line["validation_robust"] <= 1 for line in lines)


def test_a_checkpoint_says_where_it_comes_from(whole, recipe):
    result, _, _ = whole
    parent = None
    for stage, path in result.checkpoints.items():
        network = load_checkpoint(path)
        record = network.metadata["training"]
        assert (record["stage"], record["seed"], record["dataset"], record["parent"]) == (stage, 3, "digits", parent)
        assert record["recipe"] == recipe.to_dict()
        parent = network.metadata["sha256"]


def test_the_stages_do_to_the_network_what_they_are_for(whole):
    result, _, _ = whole
    networks = {stage: load_checkpoint(path) for stage, path in result.checkpoints.items()}
    assert all(kept == total for kept, total in density_of(networks["dense"]).values())
    for stage in ("prune", "finetune", "convert", "snn"):
        for name, (kept, total) in density_of(networks[stage]).items():
            assert kept == total - int(0.8 * total + 1e-9), (stage, name)
    masks = {
        stage: [m.mask for c in networks[stage].connections for m in c.maps if hasattr(m, "mask")]
        for stage in ("prune", "finetune", "convert", "snn")
    }
    for stage in ("finetune", "convert", "snn"):
        for before, after in zip(masks["prune"], masks[stage], strict=True):
            np.testing.assert_array_equal(before, after)
    assert networks["prune"]["conv1"].kind == "relu"
    assert networks["convert"]["conv1"].kind == "spiking"
    assert networks["convert"].n_steps == 3
    assert networks["snn"]["conv1"].neuron.threshold != networks["convert"]["conv1"].neuron.threshold


def test_the_best_epoch_is_the_one_whose_network_is_kept(whole, recipe):
    result, _, _ = whole
    _, validation = split_validation(load_dataset("digits", "train").limit(90), 0.3, recipe.seed)
    for stage in ("dense", "prune", "finetune", "snn"):
        network = load_checkpoint(result.checkpoints[stage])
        record = network.metadata["training"]
        lines = [line for line in result.history if line["stage"] == stage]
        ranks = [(line["validation_robust"], line["validation_clean"], line["epoch"]) for line in lines]
        assert record["epoch"] == max(ranks)[2]
        assert accuracy(TorchNetwork(network), validation) == record["validation"]["clean"]


def test_progress_counts_every_batch_up(whole):
    _, _, told = whole
    for stage in STAGES:
        seen = [(p.epoch, p.batch) for p in told if p.stage == stage]
        last = [p for p in told if p.stage == stage][-1]
        assert seen == [(e + 1, b + 1) for e in range(last.n_epochs) for b in range(last.n_batches)]
        assert last.seconds_left == 0
    assert [p.stage for p in told] == sorted((p.stage for p in told), key=list(STAGES).index)


def test_no_test_image_is_seen_before_the_end(whole, recipe, monkeypatch, tmp_path):
    splits = []

    def spy(name, split, **options):
        splits.append(split)
        return load_dataset(name, split, **options)

    monkeypatch.setattr(pipeline_module, "load_dataset", spy)
    run_recipe(recipe, out_dir=tmp_path, stages=["dense"])
    assert splits == ["train"]


def test_another_seed_gives_another_network(recipe, whole, tmp_path):
    result = run_recipe(recipe.with_seed(4), out_dir=tmp_path, stages=["dense"])
    a, b = (
        load_checkpoint(path).connections[0].maps[1].weight for path in (result.final, whole[0].checkpoints["dense"])
    )
    assert not np.array_equal(a, b)


def test_an_interrupted_run_ends_bit_identical(recipe, whole, tmp_path):
    """Killed again and again, in the middle of epochs, at their ends, in every stage."""
    _, folder, told = whole
    n_killed = 0
    for step in (2, 5, 3, 7, 1, 4, 6, 9, 8, 11, 10, 13, 1, 1, 12) * 4:
        try:
            run_recipe(recipe, out_dir=tmp_path, resume=True, progress=killer(step), save_every_s=0)
            break
        except Killed:
            n_killed += 1
    assert n_killed > 5
    assert len(told) > 30
    assert digests(tmp_path) == digests(folder)
    assert (tmp_path / "history.jsonl").read_text() == (folder / "history.jsonl").read_text()


@pytest.mark.parametrize("at", [1, 4, 5, 12])
def test_a_run_that_saves_at_the_end_of_epochs_alone_ends_bit_identical_too(recipe, whole, tmp_path, at):
    with pytest.raises(Killed):
        run_recipe(recipe, out_dir=tmp_path, stages=["dense"], progress=killer(at), save_every_s=1e9)
    run_recipe(recipe, out_dir=tmp_path, resume=True, stages=["dense"])
    assert digest(tmp_path / "1-dense.safetensors") == digest(whole[0].checkpoints["dense"])


KILLED_IN = """
import os, random, signal, sys, threading
from gossamer.training import load_recipe, run_recipe
recipe, out, stage, delay = sys.argv[1:]
started = []

def progress(p):
    if p.stage == stage and not started:
        started.append(threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL)))
        started[0].start()

run_recipe(load_recipe(recipe), out_dir=out, resume=True, progress=progress, save_every_s=0)
"""


def test_a_run_killed_by_the_system_ends_bit_identical(recipe, recipe_file, whole, tmp_path):
    """kill -9 of a real process ten times, twice in every stage, at random moments."""
    draw = random.Random(0)
    for stage in [s for s in STAGES for _ in range(2)]:
        killed = False
        while not killed:
            arguments = [str(recipe_file), str(tmp_path), stage, str(draw.uniform(0, 0.03))]
            killed = subprocess.run([sys.executable, "-c", KILLED_IN, *arguments]).returncode == -signal.SIGKILL
            if not killed:  # the whole run has ended before the shot
                for name in FILES[list(STAGES).index(stage) :]:
                    (tmp_path / f"{name}.safetensors").unlink()
    for written in ("training-state.safetensors", "history.jsonl"):  # a kill in the middle of writing leaves that
        (tmp_path / f".{written}.x.tmp").write_bytes(b"half")
    run_recipe(recipe, out_dir=tmp_path, resume=True)
    assert digests(tmp_path) == digests(whole[1])
    assert len(list(tmp_path.iterdir())) == len(FILES) + 1


def test_a_finished_run_is_kept_when_resumed_and_made_anew_when_not(recipe, whole):
    result, folder, _ = whole
    before, times = digests(folder), {name: (folder / f"{name}.safetensors").stat().st_mtime_ns for name in FILES}
    again = run_recipe(recipe, out_dir=folder, resume=True)
    assert again.history == result.history
    assert times == {name: (folder / f"{name}.safetensors").stat().st_mtime_ns for name in FILES}
    alone = run_recipe(recipe, out_dir=folder, stages=["convert"])
    assert [line["stage"] for line in alone.history if line["stage"] == "convert"] == ["convert"]
    assert len(alone.history) == len(result.history)
    assert times["4-converted"] != (folder / "4-converted.safetensors").stat().st_mtime_ns
    assert digests(folder) == before


def test_a_single_stage_starts_from_the_checkpoint_before_it(recipe, whole, tmp_path):
    (tmp_path / "1-dense.safetensors").write_bytes(whole[0].checkpoints["dense"].read_bytes())
    result = run_recipe(recipe, out_dir=tmp_path, stages=["prune"])
    assert digest(result.final) == digest(whole[0].checkpoints["prune"])


def test_a_stage_without_the_one_before_it_is_refused(recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"GSM-606.*1-dense"):
        run_recipe(recipe, out_dir=tmp_path, stages=["prune"])


def test_an_unknown_stage_is_refused(recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"GSM-608.*dance"):
        run_recipe(recipe, out_dir=tmp_path, stages=["dance"])


def test_the_state_of_a_stage_that_is_not_asked_for_is_kept(recipe, whole, tmp_path):
    (tmp_path / "1-dense.safetensors").write_bytes(whole[0].checkpoints["dense"].read_bytes())
    with pytest.raises(Killed):
        run_recipe(recipe, out_dir=tmp_path, resume=True, progress=killer(3), save_every_s=0)
    run_recipe(recipe, out_dir=tmp_path, resume=True, stages=["dense"])
    result = run_recipe(recipe, out_dir=tmp_path, resume=True, stages=["dense", "prune"])
    assert digest(result.final) == digest(whole[0].checkpoints["prune"])


@pytest.fixture
def interrupted(recipe, tmp_path):
    with pytest.raises(Killed):
        run_recipe(recipe, out_dir=tmp_path, progress=killer(2), save_every_s=0)
    return tmp_path


def test_a_state_of_another_recipe_is_refused(recipe, interrupted):
    with pytest.raises(TrainingError, match=r"GSM-606.*another recipe"):
        run_recipe(recipe.with_seed(9), out_dir=interrupted, resume=True)


def test_a_state_of_other_data_is_refused(recipe, interrupted, monkeypatch):
    def altered(name, split, **options):
        dataset = load_dataset(name, split, **options)
        return replace(dataset, x=255 - dataset.x)

    monkeypatch.setattr(pipeline_module, "load_dataset", altered)
    with pytest.raises(TrainingError, match=r"GSM-606.*another data"):
        run_recipe(recipe, out_dir=interrupted, resume=True)


def test_a_state_of_another_torch_is_refused(recipe, interrupted, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    with pytest.raises(TrainingError, match=r"GSM-606.*version of torch"):
        run_recipe(recipe, out_dir=interrupted, resume=True)


def test_an_unfinished_run_is_not_overwritten(recipe, interrupted):
    with pytest.raises(TrainingError, match=r"GSM-606.*unfinished.*--resume"):
        run_recipe(recipe, out_dir=interrupted)


def test_a_damaged_state_is_refused(recipe, interrupted):
    path = interrupted / "training-state.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match="GSM-104"):
        run_recipe(recipe, out_dir=interrupted, resume=True)


def test_a_checkpoint_of_another_run_is_not_taken_for_a_finished_stage(recipe, whole, tmp_path):
    (tmp_path / "1-dense.safetensors").write_bytes(whole[0].checkpoints["dense"].read_bytes())
    with pytest.raises(TrainingError, match=r"GSM-606.*another recipe"):
        run_recipe(recipe.with_seed(9), out_dir=tmp_path, resume=True)


def test_a_state_holds_the_next_batch_and_the_optimizer(interrupted):
    header, arrays, _ = read_container(interrupted / "training-state.safetensors", "training-state", 1)
    assert (header["state"]["stage"], header["state"]["epoch"], header["state"]["batch"]) == ("dense", 0, 2)
    assert {key.split("/")[0] for key in arrays} == {"model", "optimizer"}
    assert arrays["optimizer/0/step"] == 2


def test_a_diverging_run_says_where_and_what_to_do(recipe_file, tmp_path):
    text = RECIPE.replace('optimizer = "adam"\nlr = 0.01', 'optimizer = "sgd"\nlr = 1e30')
    path = tmp_path / "diverging.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"GSM-607.*stage dense, epoch 1, batch \d.*lower lr in \[dense\]"):
        run_recipe(load_recipe(path), out_dir=tmp_path / "out")


def test_a_natural_recipe_prunes_by_magnitude_and_ends_under_its_own_name(recipe, tmp_path):
    content = recipe.to_dict()
    for stage in ("dense", "finetune", "snn"):
        del content[stage]["robust"]
    del content["validation"]["limit"], content["validation"]["attack_steps"], content["validation"]["choose_by"]
    content["prune"] = {"method": "magnitude", "density": 0.2}
    result = run_recipe(parse_recipe(content, where="natural"), out_dir=tmp_path)
    assert result.final.name == "5-snn.safetensors"
    assert all("validation_robust" not in line for line in result.history)
    kept, total = density_of(load_checkpoint(result.final))["fc1"]
    assert kept == total - int(0.8 * total + 1e-9)


def variant(recipe, **tables):
    """The recipe with other tables; None leaves one out."""
    content = {**recipe.to_dict(), **tables}
    return parse_recipe({name: table for name, table in content.items() if table is not None}, where="variant")


def densities(path):
    return {name: kept / total for name, (kept, total) in density_of(load_checkpoint(path)).items()}


def test_harp_ends_at_its_density_and_survives_being_killed(recipe, whole, tmp_path):
    table = {"method": "harp", "density": 0.2, "initial": 0.4, "penalty": 0.05, "epochs": 2, "batch_size": 32}
    harp, stages = variant(recipe, prune={**table, "robust": recipe.to_dict()["prune"]["robust"]}), ["dense", "prune"]
    for folder in ("whole", "killed"):
        result = None
        while result is None:
            try:
                stop = killer(9) if folder == "killed" else None
                result = run_recipe(
                    harp,
                    out_dir=tmp_path / folder,
                    resume=True,
                    stages=stages,
                    progress=stop,
                    save_every_s=0,
                )
            except Killed:
                pass
    assert digest(tmp_path / "whole" / "2-pruned.safetensors") == digest(result.final)
    kept, total = (sum(n) for n in zip(*density_of(load_checkpoint(result.final)).values(), strict=True))
    assert kept / total <= 0.2 + 4 / total, "at most a weight of each layer more"
    assert all("validation_excess" in line for line in result.history if line["stage"] == "prune")


def test_a_spiking_network_can_be_trained_from_scratch_with_a_random_mask(recipe, tmp_path):
    scratch = variant(
        recipe,
        dense=None,
        finetune=None,
        prune={"method": "random", "density": 0.2},
        convert={"n_steps": 3, "threshold": 1.0, "batches": 2, "batch_size": 30},
    )
    result = run_recipe(scratch, out_dir=tmp_path)
    assert list(result.checkpoints) == ["prune", "convert", "snn"]
    assert load_checkpoint(result.checkpoints["convert"])["conv1"].neuron.threshold == 1.0
    assert densities(result.checkpoints["prune"]) == densities(result.final)
    with pytest.raises(TrainingError, match=r"GSM-608.*no such stage.*dense.*prune, convert, snn"):
        run_recipe(scratch, out_dir=tmp_path, stages=["dense"])


def test_masks_move_while_the_spiking_network_trains_if_the_recipe_says_so(recipe, whole, tmp_path):
    moving = variant(recipe, snn={**recipe.to_dict()["snn"], "rewire": {"every": 2, "fraction": 0.5, "until": 1.0}})
    for folder in ("whole", "killed"):
        result = None
        while result is None:
            try:
                stop = killer(14) if folder == "killed" else None
                result = run_recipe(moving, out_dir=tmp_path / folder, resume=True, progress=stop, save_every_s=0)
            except Killed:
                pass
    assert digest(tmp_path / "whole" / "5-robust-snn.safetensors") == digest(result.final)
    before, after = (
        [m.mask for c in load_checkpoint(result.checkpoints[stage]).connections for m in c.maps if hasattr(m, "mask")]
        for stage in ("convert", "snn")
    )
    for old, new in zip(before, after, strict=True):
        assert old.sum() == new.sum()
    assert any((old != new).any() for old, new in zip(before, after, strict=True))


def test_the_masks_of_another_run_can_be_trained_from_scratch(recipe, whole, tmp_path):
    like = {"method": "like", "checkpoint": str(whole[0].checkpoints["prune"])}
    scratch = variant(recipe, dense=None, finetune=None, prune=like)
    result = run_recipe(scratch, out_dir=tmp_path, stages=["prune"])
    assert densities(result.final) == pytest.approx(densities(whole[0].checkpoints["prune"]), abs=1e-9)


def test_a_run_can_start_from_another_ones_network(recipe, whole, tmp_path):
    """The stages after the first, from its checkpoint, are what they are in the whole run."""
    started = variant(recipe, dense=None, model={"checkpoint": str(whole[0].checkpoints["dense"])})
    result = run_recipe(started, out_dir=tmp_path)
    for stage in ("prune", "finetune", "convert", "snn"):
        ours, theirs = (load_checkpoint(r.checkpoints[stage]) for r in (result, whole[0]))
        for a, b in zip(ours.connections, theirs.connections, strict=True):
            for m, n in zip(a.maps, b.maps, strict=True):
                np.testing.assert_array_equal(getattr(m, "weight", 0), getattr(n, "weight", 0))


def test_a_network_for_other_images_is_no_start(recipe, tmp_path):
    path = tmp_path / "other.safetensors"
    save_checkpoint(mlp((1, 4, 4), 10, seed=0, mean=[0.5], std=[0.5]), path)
    with pytest.raises(TrainingError, match=r"GSM-604.*other images.*1x4x4, 10 outputs.*1x8x8, 10 classes"):
        run_recipe(variant(recipe, model={"checkpoint": str(path)}), out_dir=tmp_path / "out")


@pytest.mark.parametrize("loss", ["pgd-at", "mart"])
def test_other_robust_losses_train(loss, recipe, tmp_path):
    robust = {"loss": loss, "eps": 0.1, "steps": 2, **({"beta": 2.0} if loss == "mart" else {})}
    changed = variant(recipe, dense={**recipe.to_dict()["dense"], "robust": robust})
    result = run_recipe(changed, out_dir=tmp_path, stages=["dense"])
    losses = [line["loss"] for line in result.history]
    assert losses[-1] < losses[0]


def test_the_mean_of_both_accuracies_can_choose_the_epoch(recipe, whole, tmp_path):
    content = recipe.to_dict()
    content["validation"]["choose_by"] = "mean"
    content["dense"]["epochs"] = 6
    result = run_recipe(parse_recipe(content, where="mean"), out_dir=tmp_path, stages=["dense"])
    scores = [(line["validation_robust"], line["validation_clean"], line["epoch"]) for line in result.history]
    ranks = [(robust + clean, clean, epoch) for robust, clean, epoch in scores]
    assert load_checkpoint(result.final).metadata["training"]["epoch"] == max(ranks)[2]


def test_threads_are_as_before_after_a_run(recipe, tmp_path):
    before = torch.get_num_threads()
    with pytest.raises(Killed):
        run_recipe(recipe, out_dir=tmp_path, progress=killer(1))
    assert torch.get_num_threads() == before


def test_the_learning_rate_goes_down_a_cosine(recipe):
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], recipe.finetune)
    rates = []
    for done in (0.0, 0.5, 1.0):
        set_learning_rate(optimizer, recipe.finetune, done)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.005, 0.0])
    set_learning_rate(optimizer, recipe.finetune.model_copy(update={"schedule": "constant"}), 0.5)
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_crops_wider_than_the_image_are_refused(recipe, tmp_path):
    wide = parse_recipe(
        {**recipe.to_dict(), "data": {**recipe.to_dict()["data"], "augment": "crop", "pad": 8}}, where=""
    )
    with pytest.raises(TrainingError, match=r"GSM-604.*data\.pad.*expected: < 8"):
        run_recipe(wide, out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["fpga", "nowhere"])
def test_a_device_that_torch_does_not_have_is_refused(device, recipe, tmp_path):
    with pytest.raises(TrainingError, match=r"GSM-608.*device"):
        run_recipe(recipe, out_dir=tmp_path / "out", device=device)
    assert not (tmp_path / "out").exists()
