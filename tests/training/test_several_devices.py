"""Two processes train as one does, and none is left waiting."""

import json
import sys

import numpy as np
import pytest
import torch
from dying import DiesAt

from gossamer.compiler import load_checkpoint, read_container
from gossamer.compiler.checkpoint import CHECKPOINT_VERSION
from gossamer.training import TorchNetwork, TrainingError, load_dataset, mlp, run_recipe, split_validation
from gossamer.training import session as session_module
from gossamer.training.fit import fit
from gossamer.training.recipe import parse_recipe
from gossamer.training.session import Session
from gossamer.training.team import Team

TABLES = {
    "recipe": {"name": "two", "seed": 3, "threads": 1},
    "data": {"name": "digits", "limit": 200, "augment": "crop-flip", "pad": 1},
    "validation": {"fraction": 0.2, "limit": 20, "attack_steps": 2},
    "model": {"channels": [4, "A"], "hidden": [8], "batch_norm": False},
    "dense": {
        "epochs": 1,
        "batch_size": 27,
        "lr": 0.05,
        "robust": {"loss": "pgd-at", "eps": 0.1, "steps": 1, "start": "clean"},
    },
    "prune": {"method": "magnitude", "density": 0.4},
    "finetune": {"epochs": 2, "batch_size": 27, "lr": 0.02, "rewire": {"every": 2, "until": 1.0}},
}
FILES = ["1-dense.safetensors", "2-pruned.safetensors", "3-sparse.safetensors"]


def a_recipe(**tables):
    return parse_recipe({**TABLES, **tables}, where="two")


def maps_of(path):
    return [m for c in load_checkpoint(path).connections for m in c.maps if hasattr(m, "mask")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same recipe by one process and by two: {number: (result, folder)}."""
    done = {}
    for n in (1, 2):
        folder = tmp_path_factory.mktemp(f"by-{n}")
        done[n] = run_recipe(a_recipe(), out_dir=folder, devices=n), folder
    return done


def test_two_processes_end_with_the_weights_of_one(runs):
    (one, _), (two, _) = runs[1], runs[2]
    assert [len(run.history) for run in (one, two)] == [4, 4]
    for a, b in zip(one.history, two.history, strict=True):
        assert {**a, "loss": 0} == {**b, "loss": 0}
        assert a.get("loss", 0) == pytest.approx(b.get("loss", 0), rel=1e-4)
    for stage in ("dense", "finetune"):
        for a, b in zip(maps_of(one.checkpoints[stage]), maps_of(two.checkpoints[stage]), strict=True):
            np.testing.assert_allclose(a.weight, b.weight, atol=2e-5)
            assert a.mask is None or np.array_equal(a.mask, b.mask)
    began = load_checkpoint(one.checkpoints["prune"]).metadata["training"]
    assert began["processes"] == 1
    assert load_checkpoint(two.final).metadata["training"]["processes"] == 2
    before, after = maps_of(two.checkpoints["prune"]), maps_of(two.final)
    assert any(not np.array_equal(a.mask, b.mask) for a, b in zip(before, after, strict=True)), "masks have moved"


def test_one_set_of_files_is_left(runs):
    result, folder = runs[2]
    assert sorted(path.name for path in folder.iterdir()) == [*FILES, "history.jsonl"]
    assert [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()] == result.history
    assert result.rank == 0


def test_a_killed_process_ends_the_others_and_the_run_goes_on(runs, tmp_path):
    with pytest.raises(TrainingError, match=r"GSM-609.*SIGKILL.*--resume"):
        run_recipe(a_recipe(), out_dir=tmp_path, devices=2, progress=DiesAt(9), save_every_s=0)
    assert (tmp_path / "training-state.safetensors").exists()
    run_recipe(a_recipe(), out_dir=tmp_path, devices=2, resume=True)
    for name in FILES:
        whole, resumed = (
            read_container(folder / name, "checkpoint", CHECKPOINT_VERSION)[2] for folder in (runs[2][1], tmp_path)
        )
        assert whole == resumed


def test_an_error_of_ours_comes_back_whole(runs):
    _, folder = runs[2]
    with pytest.raises(TrainingError) as refused:
        run_recipe(a_recipe(recipe={**TABLES["recipe"], "seed": 4}), out_dir=folder, devices=2)
    assert refused.value.code == "GSM-606"
    assert refused.value.where.endswith("1-dense.safetensors")


@pytest.fixture
def data():
    return split_validation(load_dataset("digits", "train").limit(50), 0.3, 0)


def test_the_shares_of_a_batch_are_the_batch(data):
    def drawn(team):
        session = Session(recipe=a_recipe(), train=data[0], validation=data[1], team=team)
        return list(session.batches("dense", 0, 16, cutout=3, shared=True))

    whole, *shares = drawn(Team()), *(drawn(Team(rank=r, size=3)) for r in range(3))
    for (_, x, y, _), *parts in zip(whole, *shares, strict=True):
        assert max(len(p[2]) for p in parts) - min(len(p[2]) for p in parts) <= 1
        torch.testing.assert_close(torch.cat([p[1] for p in parts]), x, rtol=0, atol=0)
        torch.testing.assert_close(torch.cat([p[2] for p in parts]), y, rtol=0, atol=0)
    assert len({int(torch.randint(1 << 30, (), generator=share[0][3])) for share in shares}) == 3, "noise of its own"


def test_images_that_are_held_on_the_device_are_the_same(data, monkeypatch):
    def drawn():
        session = Session(recipe=a_recipe(), train=data[0], validation=data[1])
        return [(x, y) for _, x, y, _ in session.batches("dense", 0, 16)]

    sent = drawn()
    monkeypatch.setattr(session_module, "_is_held", lambda device, n_bytes: True)
    torch.testing.assert_close(drawn(), sent, rtol=0, atol=0)


def test_batches_that_are_too_small_to_divide_are_refused(data):
    session = Session(recipe=a_recipe(), train=data[0], validation=data[1], team=Team(size=16))
    model = TorchNetwork(mlp((1, 8, 8), 10, seed=0, mean=[0.5], std=[0.5]))
    with pytest.raises(TrainingError, match=r"GSM-608.*too small.*17 images, 16 processes"):
        fit(model, "dense", session.recipe.dense, session)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"devices": 0}, "devices.*found: 0"),
        ({"nodes": 2}, "other machines"),
        ({"device": "cuda:0", "devices": 2}, "one device is named"),
        ({"device": "fpga", "devices": 2}, "device"),
    ],
)
def test_what_cannot_be_started_is_refused(asked, what, tmp_path):
    with pytest.raises(TrainingError, match=rf"GSM-608.*{what}"):
        run_recipe(a_recipe(), out_dir=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_several_devices_need_fabric_and_one_does_not(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(TrainingError, match=r"GSM-701.*lightning-fabric.*gossamer\[train\]"):
        run_recipe(a_recipe(), out_dir=tmp_path, devices=2)
    with pytest.raises(TrainingError, match=r"GSM-701.*bf16"):
        run_recipe(a_recipe(recipe={**TABLES["recipe"], "precision": "bf16"}), out_dir=tmp_path)
    assert run_recipe(a_recipe(), out_dir=tmp_path, stages=["dense"]).final.exists()
