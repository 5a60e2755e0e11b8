"""Rows of a study: what differs from the base, and that nothing else does."""

import pytest

from gossamer.training import TrainingError, load_recipe
from gossamer.training.recipe import parse_recipe
from gossamer.training.studies import METHODS, only, rows_of


@pytest.fixture(scope="module")
def base():
    return load_recipe("digits")


def test_there_is_a_row_for_the_dense_network_and_for_each_method_and_density(base):
    rows = rows_of(base, densities=(0.1, 0.01))
    assert [row.name for row in rows][:3] == ["digits-dense", "digits-hydra-90", "digits-harp-90"]
    assert len(rows) == 1 + 2 * len(METHODS)
    assert len({row.recipe.sha256() for row in rows}) == len(rows)
    for row in rows[1:]:
        assert row.recipe.prune.density == row.density


def test_rows_differ_from_the_base_in_what_they_are_about(base):
    rows = {row.method: row.recipe for row in rows_of(base, densities=(0.05,))}
    for method in ("hydra", "harp", "magnitude", "random"):
        recipe = rows[method]
        assert recipe.prune.method == method
        assert (recipe.dense, recipe.finetune, recipe.convert, recipe.snn) == (
            base.dense, base.finetune, base.convert, base.snn,
        )  # fmt: skip
    for method, pattern in (("hydra-channels", "channels"), ("hydra-kernels", "kernels"), ("hydra-n-of-m", "1:20")):
        assert rows[method].prune.pattern == pattern
    assert rows["hydra-rewired"].snn.rewire is not None
    for method in ("hydra", "harp"):
        assert rows[method].prune.robust == base.prune.robust
        assert rows[method].prune.epochs == base.prune.epochs
    assert rows["none"].stages == ["dense", "convert", "snn"]


def test_end_to_end_training_sees_the_images_as_often_as_all_stages_together(base):
    rows = {row.method: row.recipe for row in rows_of(base, densities=(0.05,))}
    for method in ("end-to-end", "end-to-end-rigl"):
        recipe = rows[method]
        assert recipe.stages == ["prune", "convert", "snn"]
        assert recipe.snn.epochs == sum(t.epochs for t in (base.dense, base.prune, base.finetune, base.snn))
        assert (recipe.snn.optimizer, recipe.snn.lr) == (base.dense.optimizer, base.dense.lr)
        assert recipe.snn.robust == base.snn.robust
        assert recipe.prune.spread == "erdos-renyi"
    assert rows["end-to-end"].snn.rewire is None
    assert rows["end-to-end-rigl"].snn.rewire is not None


def test_stages_can_be_run_alone_from_another_network(base):
    last = only(base, ["convert", "snn"], start="some/file.safetensors")
    assert last.stages == ["convert", "snn"]
    assert last.model.checkpoint == "some/file.safetensors"
    assert (last.snn, last.seed, last.data) == (base.snn, base.seed, base.data)
    assert parse_recipe(last.to_dict(), where="again") == last
    with pytest.raises(TrainingError, match=r"GSM-604.*a checkpoint says all"):
        parse_recipe({**last.to_dict(), "model": {"checkpoint": "x", "builder": "mlp"}}, where="both")


def test_a_base_without_all_stages_is_refused(base):
    with pytest.raises(TrainingError, match=r"GSM-604.*digits-natural.*hydra or harp"):
        rows_of(load_recipe("digits-natural"), densities=(0.1,))
    tables = base.to_dict()
    del tables["finetune"]
    with pytest.raises(TrainingError, match=r"GSM-604.*all five"):
        rows_of(parse_recipe(tables, where="partial"), densities=(0.1,))
