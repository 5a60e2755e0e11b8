"""Mixed precision: what is computed in it, what is not, and that training arrives at the same place."""

import numpy as np
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision

from gossamer.compiler import load_checkpoint, read_container
from gossamer.compiler.checkpoint import CHECKPOINT_VERSION
from gossamer.training import (
    TorchNetwork,
    TrainingError,
    convnet,
    load_dataset,
    run_recipe,
    split_validation,
    to_spiking,
)
from gossamer.training.fit import fit
from gossamer.training.neurons import LeakyIntegrateAndFire
from gossamer.training.objective import make_objective
from gossamer.training.recipe import Robust, parse_recipe
from gossamer.training.session import Session
from gossamer.training.team import Team


def a_recipe(**about):
    return parse_recipe(
        {
            "recipe": {"name": "mixed", "seed": 1, "threads": 1, **about},
            "data": {"name": "digits", "limit": 900},
            "validation": {"fraction": 0.4},
            "model": {"channels": [8, "A"], "hidden": [32]},
            "dense": {"epochs": 2, "batch_size": 32, "lr": 0.05},
            "convert": {"n_steps": 4, "steps": 20, "batches": 2},
            "snn": {
                "epochs": 2,
                "batch_size": 32,
                "lr": 0.02,
                "robust": {"beta": 1.0, "eps": 0.02, "attack": "rfgsm"},
            },
        },
        where="mixed",
    )


@pytest.fixture
def spiking():
    network = convnet((1, 8, 8), 10, seed=0, channels=(4, "A"), hidden=(8,), mean=[0.3], std=[0.3])
    thresholds = {p.name: 0.5 for p in network.populations if p.kind == "relu"}
    return to_spiking(network, thresholds, n_steps=4)


@pytest.fixture
def batch(generator):
    return torch.rand((6, 1, 8, 8), generator=generator), torch.arange(6)


def bf16():
    return Team(precision=MixedPrecision("bf16-mixed", "cpu"))


def gradients(model, batch, team, robust=None):
    objective = make_objective(robust)
    model.zero_grad()
    with team.autocast():
        loss, logits = objective(model, *batch, torch.Generator().manual_seed(0))
    team.backward(loss)
    assert loss.dtype == logits.dtype == torch.float32
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_convolutions_are_mixed_and_neurons_are_not(spiking, batch, monkeypatch):
    seen = []
    convolve = torch.nn.functional.conv2d

    def spy(*arguments):
        seen.append(convolve(*arguments))
        return seen[-1]

    def unfused(*arguments):
        raise AssertionError("these neurons can be fused")

    monkeypatch.setattr("gossamer.training.torch_maps.F.conv2d", spy)
    monkeypatch.setattr(LeakyIntegrateAndFire, "apply", unfused)
    model = TorchNetwork(spiking)
    with torch.no_grad():
        exact, _ = model(batch[0], record=True)
        with bf16().autocast():
            mixed, emitted = model(batch[0], record=True)
    assert [y.dtype for y in seen] == [torch.float32, torch.bfloat16]
    assert {signal.dtype for signal in emitted.values()} == {torch.float32}
    assert 0 < (mixed - exact).abs().max() < 0.5


def test_gradients_are_close_to_those_of_float32(spiking, batch):
    model = TorchNetwork(spiking)
    robust = Robust(beta=1.0, eps=0.1, attack="rfgsm")
    exact, mixed = gradients(model, batch, Team(), robust), gradients(model, batch, bf16(), robust)
    cosine = torch.nn.functional.cosine_similarity(exact, mixed, dim=0)
    assert 0.9 < cosine < 1 - 1e-7


def test_layers_that_are_computed_again_are_computed_in_the_same_precision(spiking, batch):
    for team in (Team(), bf16()):
        kept, again = (
            gradients(TorchNetwork(spiking, low_memory=low_memory), batch, team) for low_memory in (False, True)
        )
        torch.testing.assert_close(again, kept, rtol=1e-5, atol=1e-7)


def test_training_in_bf16_gets_as_far_and_resumes(tmp_path):
    scores = {}
    for precision in ("32", "bf16"):
        result = run_recipe(a_recipe(precision=precision), out_dir=tmp_path / precision)
        scores[precision] = load_checkpoint(result.final).metadata["training"]["validation"]["clean"]
    assert scores["32"] > 0.8
    assert abs(scores["bf16"] - scores["32"]) < 0.05
    exact, mixed = (load_checkpoint(tmp_path / p / "1-dense.safetensors").connections[0].maps[1].weight for p in scores)
    assert not np.array_equal(exact, mixed)


class Stopped(Exception):
    """Stands for the end of the process."""


def test_a_mixed_run_that_is_resumed_ends_bit_identical(tmp_path):
    recipe = a_recipe(precision="bf16")
    calls = iter(range(20))

    def stop(_):
        if next(calls) == 19:
            raise Stopped

    run_recipe(recipe, out_dir=tmp_path / "whole", stages=["dense"])
    with pytest.raises(Stopped):
        run_recipe(recipe, out_dir=tmp_path / "parts", stages=["dense"], progress=stop, save_every_s=0)
    run_recipe(recipe, out_dir=tmp_path / "parts", stages=["dense"], resume=True)
    whole, parts = (
        read_container(tmp_path / name / "1-dense.safetensors", "checkpoint", CHECKPOINT_VERSION)[2]
        for name in ("whole", "parts")
    )
    assert whole == parts


def test_float16_scales_the_loss_and_the_factor_is_kept(spiking):
    """On a CPU, which float16 is not offered for, because that is where tests run."""

    def a_team():
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=4)
        return Team(precision=MixedPrecision("16-mixed", "cpu", scaler))

    train, validation = split_validation(load_dataset("digits", "train").limit(200), 0.3, 0)
    after = []
    for team in (a_team(), Team()):
        session = Session(recipe=a_recipe(), train=train, validation=validation, team=team)
        model = TorchNetwork(spiking)
        fit(model, "snn", session.recipe.snn.model_copy(update={"robust": None}), session)
        after.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    before = torch.cat([p.detach().flatten() for p in TorchNetwork(spiking).parameters()])
    moved = [a - before for a in after]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.8
    assert 0.8 < moved[0].norm() / moved[1].norm() < 1.25, "what is scaled up is scaled down again"
    team, other = a_team(), a_team()
    one = torch.nn.Parameter(torch.ones(()))
    for _ in range(4):
        optimizer = torch.optim.SGD([one], lr=0.1)
        team.backward(one * 1.0)
        team.step(optimizer)
    assert team.scaling()["scale"] == 512, "it grows where nothing overflows"
    other.restore_scaling(team.scaling())
    assert other.scaling() == team.scaling()
    one.grad = torch.tensor(torch.inf)
    value = one.item()
    team.step(torch.optim.SGD([one], lr=0.1))
    assert one.item() == value
    assert team.scaling()["scale"] == 256, "and goes down where something does"


def test_float16_on_a_cpu_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"GSM-608.*recipe\.precision.*float16.*'32' or 'bf16'"):
        run_recipe(a_recipe(precision="16"), out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_precision_and_compiling_belong_to_the_digest_if_they_are_not_the_usual_ones():
    plain = a_recipe()
    same = a_recipe(precision="32", compile=False)
    others = [a_recipe(precision="bf16"), a_recipe(precision="16"), a_recipe(compile=True)]
    assert plain.sha256() == same.sha256()
    assert len({r.sha256() for r in (plain, *others)}) == 4
