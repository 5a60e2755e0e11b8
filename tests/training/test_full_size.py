"""The recipes at full size, rehearsed: every stage of the real network, compiled, simulated, verified and priced."""

import numpy as np
import pytest

from gossamer.compiler import canonicalize, load_checkpoint, quantize, to_synaptic_graph
from gossamer.hwmodels import price
from gossamer.simulator import compare_spikes, simulate
from gossamer.training import Dataset, density_of, list_recipes, load_recipe, record_spikes, rehearsal, run_recipe
from gossamer.training.data import load_dataset, registry

FULL_SIZE = {"cifar10-vgg16": ("cifar10", 32), "tiny-imagenet-vgg11": ("tiny-imagenet", 64)}


def enlarged_digits(side, n_classes):
    """scikit-learn's digits as a reader of coloured squares of this side."""

    def read(split, root):
        digits = load_dataset("digits", split)
        x = np.kron(digits.x, np.ones((1, 3, side // 8, side // 8), np.uint8)).astype(np.uint8)
        names = tuple(f"class {i}" for i in range(n_classes))
        return Dataset(name="enlarged", x=x, y=digits.y, n_classes=n_classes, split=split, class_names=names)

    return read


@pytest.mark.parametrize("name", list_recipes())
def test_a_rehearsal_changes_amounts_alone(name):
    whole, short = load_recipe(name), rehearsal(load_recipe(name))
    assert short.name == f"{name}-rehearsal"
    assert (short.model, short.stages) == (whole.model, whole.stages)
    assert short.data.limit == 8
    for stage in short.stages:
        before, after = getattr(whole, stage).model_dump(), getattr(short, stage).model_dump()
        for settings in (before, after):
            settings["robust"] = {k: v for k, v in (settings.get("robust") or {}).items() if k != "steps"}
        assert {key for key in before if before[key] != after[key]} <= {"epochs", "batch_size", "batches", "steps"}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_recipe_runs_at_full_size(name, tmp_path, monkeypatch):
    data, side = FULL_SIZE[name]
    recipe = rehearsal(load_recipe(name))
    n_classes = {"cifar10": 10, "tiny-imagenet": 200}[data]
    monkeypatch.setitem(registry.READERS, data, enlarged_digits(side, n_classes))

    result = run_recipe(recipe, out_dir=tmp_path)

    assert list(result.checkpoints) == ["dense", "prune", "finetune", "convert", "snn"]
    assert {record["stage"] for record in result.history} == set(result.checkpoints)
    sparse = load_checkpoint(result.final)
    assert sparse.populations[0].shape == (3, side, side)
    kept, total = (sum(counts) for counts in zip(*density_of(sparse).values(), strict=True))
    assert kept / total == pytest.approx(recipe.prune.density, rel=1e-3)
    sizes = [result.checkpoints[stage].stat().st_size for stage in ("dense", "snn")]
    assert sizes[1] < 0.15 * sizes[0]

    integer = quantize(canonicalize(sparse), weight_bits=8)
    images = load_dataset(data, "test").limit(2).scaled()[:]
    run = simulate(to_synaptic_graph(integer), images, engine="event", record="*")
    assert 0 < price(run.layer_activities(), "cmos-45nm:op-only-int8", run.n_samples).per_sample_pj < np.inf
    spikes, logits = record_spikes(integer, images)
    assert compare_spikes({name: run.spikes[name] for name in spikes}, spikes).equal
    np.testing.assert_array_equal(run.logits, logits)
